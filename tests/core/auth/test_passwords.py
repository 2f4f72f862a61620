import threading

import pytest
from argon2 import PasswordHasher

from yeoul.core.auth import passwords


async def test_a_hash_verifies_its_password_alone() -> None:
    stored = await passwords.hash_password("비밀번호 하나")
    assert stored.startswith("$argon2id$")
    assert "비밀번호" not in stored
    assert await passwords.verify_password(stored, "비밀번호 하나")
    assert not await passwords.verify_password(stored, "비밀번호 둘")
    assert stored != await passwords.hash_password("비밀번호 하나")
    assert not passwords.is_outdated(stored)


@pytest.mark.parametrize("stored", ["", "plain", "$argon2id$v=19$m=8,t=1,p=1$", "$2b$12$abcdefghijklmnopqrstuv"])
async def test_a_broken_hash_verifies_nothing(stored: str) -> None:
    assert not await passwords.verify_password(stored, "password")


def test_nobodys_hash_costs_what_a_real_one_does() -> None:
    assert not passwords.is_outdated(passwords._NOBODYS)


def test_other_parameters_are_outdated() -> None:
    assert passwords.is_outdated(PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("x"))


async def test_work_is_done_in_two_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    names: set[str] = set()

    class Watching:
        def verify(self, _stored: str, _password: str) -> bool:
            names.add(threading.current_thread().name)
            return True

    monkeypatch.setattr(passwords, "_hasher", Watching())
    for _ in range(5):
        await passwords.verify_password("x", "y")
    assert names
    assert all(name.startswith("argon2") for name in names)
    assert passwords._threads._max_workers == 2
