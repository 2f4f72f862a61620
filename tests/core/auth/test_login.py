import asyncio
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from tests.core.auth.conftest import PASSWORD, Make, bearer, body, registered
from tests.core.http.small_app import assert_problem
from yeoul.core.auth import passwords, throttle
from yeoul.core.auth.tables import AuthSession, LoginAttempt, User
from yeoul.core.db.database import Database


async def test_signing_in(program: Make) -> None:
    client = await program()
    made = await registered(client)
    response = await client.post("/api/auth/login", json=body() | {"email": "MINA@example.com"})
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    signed_in = response.json()
    assert set(signed_in) == set(made)
    assert signed_in["user"] == made["user"]
    assert (await client.get("/api/me", headers=bearer(signed_in["access_token"]))).json() == made["user"]


async def test_unknown_user_and_wrong_password_get_the_same_answer_after_the_same_work(
    program: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await program()
    await registered(client)
    verified: list[str] = []
    verify = passwords._verify

    def watching(stored: str, password: str) -> bool:
        verified.append(stored.rsplit("$", 2)[0])
        return verify(stored, password)

    monkeypatch.setattr(passwords, "_verify", watching)
    wrong = await client.post("/api/auth/login", json=body(password="not the password"))
    unknown = await client.post("/api/auth/login", json=body("nobody", password="not the password"))
    for response in (wrong, unknown):
        assert_problem(response, 401, "wrong_credentials")
        assert response.headers["www-authenticate"] == "Bearer"
    same = [r.json() | {"request_id": ""} for r in (wrong, unknown)]
    assert same[0] == same[1]
    assert len(verified) == 2
    assert verified[0] == verified[1]  # algorithm and parameters: the same cost


async def test_the_password_of_the_stand_in_hash_opens_nothing(
    program: Make, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await program()
    async with database.as_service("test") as session:
        session.add(User(email="outside@example.com"))  # signs in elsewhere, so has no password
    monkeypatch.setattr(passwords, "_verify", lambda *_: True)
    for user in ("nobody", "outside"):
        assert_problem(await client.post("/api/auth/login", json=body(user)), 401, "wrong_credentials")


async def test_disabled_accounts_are_told_so_with_the_right_password_only(program: Make, database: Database) -> None:
    client = await program()
    await registered(client)
    async with database.as_service("test") as session:
        await session.execute(update(User).values(disabled_at=func.now()))
    assert_problem(await client.post("/api/auth/login", json=body()), 403, "account_disabled")
    assert_problem(await client.post("/api/auth/login", json=body(password="wrong")), 401, "wrong_credentials")


async def test_hashes_of_former_parameters_are_renewed(program: Make, database: Database) -> None:
    client = await program()
    await registered(client)
    old = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    async with database.as_service("test") as session:
        await session.execute(update(User).values(password_hash=old))
    for _ in range(2):
        assert (await client.post("/api/auth/login", json=body())).status_code == 200
        async with database.as_service("test") as session:
            now = (await session.scalars(select(User.password_hash))).one()
        assert now
        assert not passwords.is_outdated(now)


async def test_an_accounts_failures_are_limited_wherever_they_come_from(program: Make) -> None:
    clients = [await program(f"10.0.0.{n}", login_attempts=3) for n in range(5)]
    await registered(clients[0])
    for n in range(3):
        assert_problem(await clients[n].post("/api/auth/login", json=body(password="wrong")), 401, "wrong_credentials")
    right = await clients[3].post("/api/auth/login", json=body())
    problem = assert_problem(right, 429, "rate_limited")
    assert 890 <= int(right.headers["retry-after"]) <= 900
    assert right.headers["ratelimit-policy"] == '"sign-in";q=3;w=900'
    assert right.headers["ratelimit"].startswith('"sign-in";r=0;t=')
    assert "Try again in 15 min" in problem["detail"]
    await registered(clients[4], "other")
    assert (await clients[4].post("/api/auth/login", json=body("other"))).status_code == 200


async def test_an_addresss_failures_are_limited_whatever_the_account(program: Make) -> None:
    guesser, other = await program("10.0.0.1", login_attempts=3), await program("10.0.0.2", login_attempts=3)
    await registered(guesser)
    for n in range(3):
        response = await guesser.post("/api/auth/login", json=body(f"user{n}", password="wrong"))
        assert_problem(response, 401, "wrong_credentials")
    assert_problem(await guesser.post("/api/auth/login", json=body()), 429, "rate_limited")
    assert (await other.post("/api/auth/login", json=body())).status_code == 200


async def test_unknown_accounts_are_limited_like_known_ones(program: Make) -> None:
    for n in range(3):
        client = await program(f"10.0.0.{n}", login_attempts=2)
        response = await client.post("/api/auth/login", json=body("nobody"))
        assert_problem(response, *((401, "wrong_credentials") if n < 2 else (429, "rate_limited")))


async def test_many_guesses_at_once_get_no_more_answers_than_the_quota(
    program: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await program(login_attempts=3)
    await registered(client)
    monkeypatch.setattr(passwords, "_verify", lambda *_: False)  # so quick that they really meet in the database
    answers = await asyncio.gather(
        *(client.post("/api/auth/login", json=body(password=f"guess {n}")) for n in range(12))
    )
    assert sorted(a.status_code for a in answers) == [401] * 3 + [429] * 9


async def test_a_right_guess_after_the_quota_gets_no_answer_either(program: Make) -> None:
    client = await program(login_attempts=3)
    await registered(client)
    guesses = [f"guess {n}" for n in range(3)]
    for guess in guesses:
        await client.post("/api/auth/login", json=body(password=guess))
    assert_problem(await client.post("/api/auth/login", json=body()), 429, "rate_limited")


async def test_many_right_sign_ins_at_once_are_fine(program: Make) -> None:
    client = await program(login_attempts=1)
    await registered(client)
    answers = await asyncio.gather(*(client.post("/api/auth/login", json=body()) for _ in range(6)))
    assert {a.status_code for a in answers} == {200}


async def test_success_clears_the_accounts_failures_but_not_the_addresss(program: Make, database: Database) -> None:
    client = await program(login_attempts=3)
    await registered(client)
    for _ in range(2):
        await client.post("/api/auth/login", json=body(password="wrong"))
    assert (await client.post("/api/auth/login", json=body())).status_code == 200
    async with database.as_service("test") as session:
        failures = select(LoginAttempt.subject).where(~LoginAttempt.subject.startswith("register:"))
        left = (await session.scalars(failures)).all()
    assert left == ["ip:127.0.0.1"] * 2


async def test_failures_are_forgotten_after_the_window(program: Make, database: Database) -> None:
    client = await program(login_attempts=2)
    await registered(client)
    for _ in range(2):
        await client.post("/api/auth/login", json=body(password="wrong"))
    blocked = await client.post("/api/auth/login", json=body())
    assert_problem(blocked, 429, "rate_limited")

    await _age(database, throttle.WINDOW - timedelta(seconds=60))
    nearly = await client.post("/api/auth/login", json=body())
    assert 50 <= int(nearly.headers["retry-after"]) <= 60

    await _age(database, timedelta(seconds=61))
    assert (await client.post("/api/auth/login", json=body())).status_code == 200
    await client.post("/api/auth/login", json=body(password="wrong"))
    async with database.as_service("test") as session:
        assert await session.scalar(select(func.count()).select_from(LoginAttempt)) == 2  # the old ones are deleted


async def _age(database: Database, by: timedelta) -> None:
    async with database.as_service("test") as session:
        await session.execute(
            update(LoginAttempt).values(at=LoginAttempt.at - by).execution_options(synchronize_session=False)
        )


async def test_a_users_ended_sessions_are_forgotten_at_sign_in(program: Make, database: Database) -> None:
    client = await program()
    for name in ("mina", "other"):
        await registered(client, name)
    async with database.as_service("test") as session:
        await session.execute(update(AuthSession).values(revoked_at=func.now() - timedelta(days=2)))
    await client.post("/api/auth/login", json=body())
    async with database.as_service("test") as session:
        kept = (await session.scalars(select(AuthSession.revoked_at).order_by(AuthSession.created_at))).all()
    assert [at is None for at in kept] == [False, True]


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("10.1.2.3", "ip:10.1.2.3"),
        ("::ffff:10.1.2.3", "ip:10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "ip:2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002::1", "ip:2001:db8:1:2::/64"),
        ("unknown", "ip:unknown"),
    ],
)
def test_addresses_are_counted_by_customer(address: str, subject: str) -> None:
    assert throttle.address_subject(address) == subject


def test_accounts_are_counted_without_their_email() -> None:
    subject = throttle.account_subject("mina@example.com")
    assert subject.startswith("email:")
    assert "mina" not in subject
