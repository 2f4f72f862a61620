"""``yeoul users``."""

import json

from tests.commands.conftest import Yeoul, one
from yeoul.core.runtime.services import DatabaseUrls

PASSWORD = "a long passphrase\n"


def test_nobody_yet(yeoul: Yeoul) -> None:
    done = yeoul("users", "list")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert "`yeoul users add EMAIL --admin`" in done.stderr
    assert yeoul("users", "list", "--json").stdout == "[]\n"


def test_an_operators_day(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    assert yeoul("users", "add", "Mina@example.com", "--admin", "--stdin", input=PASSWORD).exit_code == 0
    typed = yeoul("users", "add", "jun@example.com", input=PASSWORD + PASSWORD)
    assert typed.exit_code == 0, typed.stderr
    assert "passphrase" not in typed.output

    found = [line.split() for line in yeoul("users", "list").stdout.splitlines()]
    assert found[0] == ["email", "name", "role", "state", "since"]
    assert found[1][:3] == ["mina@example.com", "admin", "active"]
    assert found[2][:3] == ["jun@example.com", "user", "active"]

    before = one(urls, "SELECT password_hash FROM yeoul.users WHERE email = 'jun@example.com'")
    changed = yeoul("users", "set-password", "jun@example.com", "--stdin", input="another passphrase\n")
    assert "jun@example.com has a new password" in changed.stderr
    assert one(urls, "SELECT password_hash FROM yeoul.users WHERE email = 'jun@example.com'") != before

    weighed = yeoul("users", "set-weight", "jun@example.com", "2.5")
    assert "have weight 2.5" in weighed.stderr
    assert one(urls, "SELECT queue_weight FROM yeoul.users WHERE email = 'jun@example.com'") == 2.5
    assert yeoul("users", "set-weight", "jun@example.com", "0").exit_code == 2
    assert yeoul("users", "set-weight", "nobody@example.com", "2").exit_code == 1

    refused = yeoul("users", "set-role", "mina@example.com", "user")
    assert refused.exit_code == 1
    assert "the only administrator" in refused.stderr
    assert yeoul("users", "set-role", "jun@example.com", "admin").exit_code == 0
    assert "is locked and signed out everywhere" in yeoul("users", "disable", "mina@example.com").stderr
    states = {
        user["email"]: (user["role"], user["state"]) for user in json.loads(yeoul("users", "list", "--json").stdout)
    }
    assert states == {"mina@example.com": ("admin", "disabled"), "jun@example.com": ("admin", "active")}
    assert "may sign in again" in yeoul("users", "enable", "mina@example.com").stderr


def test_what_cannot_be_done_is_said(yeoul: Yeoul) -> None:
    unknown = yeoul("users", "disable", "nobody@example.com")
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("error: Nobody has the email nobody@example.com.")
    weak = yeoul("users", "add", "mina@example.com", "--stdin", input="short\n")
    assert weak.exit_code == 1
    assert "at least 8" in weak.stderr
    assert yeoul("users", "set-role", "mina@example.com", "king").exit_code == 2
