"""``yeoul doctor``: what is well is said to be, what is not comes with how to mend it."""

import asyncio
import json
import os
import shutil
import socket
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import SECONDS, Start, Yeoul, change
from tests.conftest import process
from yeoul.core.llm.weights import CATALOGUE
from yeoul.core.runtime.services import DatabaseUrls
from yeoul.settings import Settings
from yeoul.worker import all_kinds


def look(yeoul: Yeoul, **variables: str | None) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    """The exit code, and the findings by the name of their check."""
    done = yeoul("doctor", "--json", **variables)
    found: dict[str, list[dict[str, Any]]] = {}
    answer = json.loads(done.stdout)
    assert answer["ok"] == (done.exit_code == 0)
    for finding in answer["checks"]:
        found.setdefault(finding["name"], []).append(finding)
        assert finding["state"] == "ok" or finding["mend"] or len(finding["found"]) > 40, "no way out"
    return done.exit_code, found


def states(found: dict[str, list[dict[str, Any]]], name: str) -> list[str]:
    return [finding["state"] for finding in found[name]]


@pytest.fixture
def port() -> str:
    """A port that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def test_a_healthy_installation(yeoul: Yeoul, port: str) -> None:
    code, found = look(yeoul, YEOUL_PORT=port)
    assert code == 0
    assert {finding["state"] for findings in found.values() for finding in findings} == {"ok"}
    assert set(found) >= {
        *("python", "settings", "data folder", "free space", "database", "clock", "schema", "logins", "workers"),
        *("doorbell", "port", "providers", "local model", "default model"),
    }
    words = yeoul("doctor", YEOUL_PORT=port)
    assert words.exit_code == 0
    assert words.stdout.endswith("All is well.\n")


def test_a_new_installation_is_not_touched(yeoul: Yeoul, tmp_path: Path, port: str) -> None:
    folder = tmp_path / "not" / "yet"
    code, found = look(yeoul, YEOUL_DATA_DIR=str(folder), YEOUL_DATABASE_URL=None, YEOUL_PORT=port)
    assert code == 0
    assert "the first start makes it" in found["database"][0]["found"]
    assert not folder.parent.exists()


def test_an_embedded_database(yeoul: Yeoul, embedded_environment: dict[str, str], port: str) -> None:
    folder = {"YEOUL_DATA_DIR": embedded_environment["YEOUL_DATA_DIR"], "YEOUL_DATABASE_URL": None}
    assert yeoul("migrate", **folder).exit_code == 0
    code, found = look(yeoul, **folder, YEOUL_PORT=port)
    assert code == 0
    assert "embedded" in found["database"][0]["found"]
    assert states(found, "logins") == ["ok"]

    password = Path(embedded_environment["YEOUL_DATA_DIR"]) / "postgres.password"
    password.chmod(0o644)
    code, found = look(yeoul, **folder, YEOUL_PORT=port)
    assert code == 0, "a warning is no problem"
    assert f"chmod 600 {password}" in [finding["mend"] for finding in found["data folder"]]


def test_a_folder_that_cannot_be_made(yeoul: Yeoul, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, found = look(yeoul, YEOUL_DATA_DIR=str(tmp_path / "file" / "data"), YEOUL_DATABASE_URL=None)
    assert code == 1
    assert states(found, "data folder") == ["problem"]
    assert "YEOUL_DATA_DIR" in found["data folder"][0]["mend"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_somebody_elses(yeoul: Yeoul, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    code, found = look(yeoul, YEOUL_DATA_DIR=str(tmp_path / "data"))
    tmp_path.chmod(0o700)
    assert (code, states(found, "data folder")) == (1, ["problem"])


@pytest.mark.parametrize(
    ("megabytes", "state", "code"), [(299, "problem", 1), (301, "warning", 0), (1_999, "warning", 0), (2_001, "ok", 0)]
)
def test_a_disk_that_is_nearly_full(
    yeoul: Yeoul, monkeypatch: pytest.MonkeyPatch, port: str, megabytes: int, state: str, code: int
) -> None:
    usage = shutil.disk_usage("/")._replace(free=megabytes * 1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    exit_code, found = look(yeoul, YEOUL_PORT=port)
    assert (exit_code, states(found, "free space")[0]) == (code, state)
    assert f"{megabytes:,} MB free in " in found["free space"][0]["found"]
    assert ("Make room" in (found["free space"][0]["mend"] or "")) is (state != "ok")


def test_a_folder_of_another_postgresql(yeoul: Yeoul, tmp_path: Path) -> None:
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    (tmp_path / "data" / "postgres" / "PG_VERSION").write_text("17\n")
    code, found = look(yeoul, YEOUL_DATABASE_URL=None)
    assert (code, states(found, "database")) == (1, ["problem"])
    assert "PostgreSQL 17" in found["database"][0]["found"]
    assert "port" in found, "the other checks go on"


def test_a_database_that_does_not_answer(yeoul: Yeoul, port: str) -> None:
    url = f"postgresql://yeoul_app:very-secret@127.0.0.1:{port}/yeoul"
    code, found = look(yeoul, YEOUL_DATABASE_URL=url)
    assert (code, states(found, "database")) == (1, ["problem"])
    assert "Connection refused" in found["database"][0]["found"]
    assert "very-secret" not in str(found)


def test_an_empty_database(yeoul: Yeoul, empty: DatabaseUrls) -> None:
    code, found = look(yeoul, YEOUL_DATABASE_URL=empty.app, YEOUL_SERVICE_DATABASE_URL=empty.service)
    assert code == 1
    assert found["schema"] == [
        {"name": "schema", "state": "problem", "found": "the database is empty", "mend": "yeoul migrate"}
    ]


def test_a_product_that_is_not_migrated(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    change(urls, "DROP TABLE yeoul.alembic_version_playground")
    code, found = look(yeoul)
    assert (code, states(found, "schema")) == (1, ["problem"])
    assert "at revision (none) of playground and must be at" in found["schema"][0]["found"]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER TABLE yeoul.jobs NO FORCE ROW LEVEL SECURITY", "no row level security on jobs"),
        ("ALTER TABLE yeoul.steps DISABLE ROW LEVEL SECURITY", "no row level security on steps"),
        ("ALTER TABLE yeoul.kind_costs OWNER TO yeoul_app", "yeoul_app owns tables, and must not"),
    ],
)
def test_rights_that_have_been_loosened(yeoul: Yeoul, urls: DatabaseUrls, statement: str, words: str) -> None:
    change(urls, statement)
    code, found = look(yeoul)
    assert (code, states(found, "logins")) == (1, ["problem"])
    assert words in found["logins"][0]["found"]


def test_work_that_nobody_does(yeoul: Yeoul, urls: DatabaseUrls) -> None:
    change(
        urls,
        "INSERT INTO yeoul.users (id, email) VALUES (uuidv7(), 'mina@example.com');"
        "INSERT INTO yeoul.jobs (id, owner_id, kind, input, max_attempts, root_id)"
        " SELECT uuidv7(), id, 'llm.complete', '{}', 3, uuidv7() FROM yeoul.users",
    )
    _, found = look(yeoul)
    assert states(found, "workers") == ["warning"]
    assert "none alive, 1 waiting" in found["workers"][0]["found"]


async def test_a_worker_elsewhere_is_seen(start: Start, settings: Settings, urls: DatabaseUrls) -> None:
    async with process(settings, urls, *all_kinds(), workers=1):
        done, _ = await asyncio.to_thread(start("doctor", "--json").communicate, timeout=SECONDS)
    workers = [finding for finding in json.loads(done)["checks"] if finding["name"] == "workers"]
    assert [(finding["state"], finding["found"][:7]) for finding in workers] == [("ok", "1 alive")]


async def test_kinds_that_no_worker_runs(start: Start, settings: Settings, urls: DatabaseUrls) -> None:
    pool = settings.model_copy(update={"worker_kinds": ["llm.complete"]})
    async with process(pool, urls, *all_kinds(), workers=1):
        done, _ = await asyncio.to_thread(start("doctor", "--json").communicate, timeout=SECONDS)
    (workers,) = [finding for finding in json.loads(done)["checks"] if finding["name"] == "workers"]
    assert workers["state"] == "warning"
    assert "none of which runs llm.embed, playground.iteration;" in workers["found"]
    assert "`yeoul worker --kinds llm.embed,playground.iteration`" in workers["mend"]


@pytest.fixture
def stranger() -> Generator[HTTPServer]:
    """A server that answers /health with its ``answer``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.answer)  # type: ignore[attr-defined]

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (b'{"status": "ok", "version": "0.9"}', 0, "Yeoul 0.9 answers there"),
        (b"[1]", 1, "Address already in use"),
        (b"<html>", 1, "Address already in use"),
    ],
)
def test_a_port_in_use(yeoul: Yeoul, stranger: HTTPServer, answer: bytes, code: int, words: str) -> None:
    stranger.answer = answer  # type: ignore[attr-defined]
    exit_code, found = look(yeoul, YEOUL_PORT=str(stranger.server_port))
    assert exit_code == code
    assert words in found["port"][0]["found"]


def test_a_setting_that_is_not_acceptable(yeoul: Yeoul) -> None:
    code, found = look(yeoul, YEOUL_PORT="many")
    assert code == 1
    assert states(found, "settings") == ["problem"]
    assert found["settings"][0]["found"].startswith("YEOUL_PORT: ")


def test_a_name_that_is_mistyped(yeoul: Yeoul, tmp_path: Path, port: str) -> None:
    (tmp_path / ".env").write_text("YEOUL_HOSTT=x\n")
    code, found = look(yeoul, YEOUL_DATABSE_URL="x", YEOUL_PORT=port)
    assert code == 0
    mends = {finding["found"]: finding["mend"] for finding in found["settings"] if finding["state"] == "warning"}
    assert mends == {
        "YEOUL_DATABSE_URL is no setting": "Did you mean YEOUL_DATABASE_URL?",
        "YEOUL_HOSTT is no setting": "Did you mean YEOUL_HOST?",
    }


def test_keys_are_not_printed(yeoul: Yeoul, port: str) -> None:
    for flags in ((), ("--json",)):
        done = yeoul("doctor", *flags, YEOUL_PORT=port, OPENAI_API_KEY="sk-very-secret", GEMINI_API_KEY="AIza-secret")
        assert "set up: openai, gemini; not set up: anthropic" in done.stdout
        assert "secret" not in done.stdout.replace("secret.key", "")


def test_a_default_model_that_cannot_be_asked(yeoul: Yeoul) -> None:
    code, found = look(yeoul, YEOUL_DEFAULT_MODEL="openai/gpt-4.1-mini")
    assert (code, states(found, "default model")) == (1, ["problem"])
    assert "OPENAI_API_KEY" in found["default model"][0]["mend"]


def test_weights_that_are_missing_broken_or_right(yeoul: Yeoul, tmp_path: Path, port: str) -> None:
    local = {"YEOUL_LOCAL_ENABLED": "true", "YEOUL_DEFAULT_MODEL": "local/smollm2-135m", "YEOUL_PORT": port}
    local["YEOUL_MODELS_DIR"] = str(tmp_path)
    code, found = look(yeoul, **local)
    assert (code, states(found, "local model"), states(found, "default model")) == (0, ["warning"], ["ok"])
    assert "yeoul models pull smollm2-135m" in found["local model"][0]["mend"]

    known = CATALOGUE["smollm2-135m"]
    file = tmp_path / known.file
    file.write_bytes(b"half")
    code, found = look(yeoul, **local)
    assert (code, states(found, "local model")) == (1, ["problem"])
    assert "is not whole" in found["local model"][0]["found"]

    with file.open("r+b") as content:
        content.truncate(known.size)  # the right size, and nothing in it
    code, found = look(yeoul, **local)
    assert (code, states(found, "local model")) == (1, ["problem"])
    assert found["local model"][0]["mend"] == f"rm {file} && yeoul models pull {known.name}"


def test_a_local_model_elsewhere(yeoul: Yeoul, stranger: HTTPServer, port: str) -> None:
    stranger.answer = b"{}"  # type: ignore[attr-defined]
    local = {"YEOUL_LOCAL_ENABLED": "true", "YEOUL_DEFAULT_MODEL": "local/smollm2-135m", "YEOUL_PORT": port}
    here = f"http://127.0.0.1:{stranger.server_port}"
    code, found = look(yeoul, **local, YEOUL_LOCAL_URL=here)
    assert (code, found["local model"][0]["found"]) == (0, f"at {here}")
    code, found = look(yeoul, **local, YEOUL_LOCAL_URL=f"http://127.0.0.1:{port}")
    assert (code, states(found, "local model")) == (1, ["problem"])


def test_a_broker_that_does_not_answer_costs_time_only(yeoul: Yeoul, port: str) -> None:
    pytest.importorskip("redis")
    code, found = look(yeoul, YEOUL_PORT=port, YEOUL_DOORBELL=f"redis://me:very-secret@127.0.0.1:{port}")
    assert (code, states(found, "doorbell")) == (0, ["warning"])
    assert "very-secret" not in str(found)


def test_any_name_is_answered_where_it_listens_to_all(yeoul: Yeoul, port: str) -> None:
    code, found = look(yeoul, YEOUL_HOST="0.0.0.0", YEOUL_PORT=port)  # noqa: S104  (not bound for long)
    assert code == 0
    assert states(found, "names") == ["warning"]
    assert "names" not in look(yeoul, YEOUL_HOST="0.0.0.0", YEOUL_PORT=port, YEOUL_ALLOWED_HOSTS="*")[1]  # noqa: S104


def test_an_embedding_model_that_cannot_be_asked(yeoul: Yeoul, port: str) -> None:
    code, found = look(yeoul, YEOUL_PORT=port, YEOUL_DEFAULT_EMBEDDING_MODEL="compatible/bge-m3")
    assert code == 1
    assert "YEOUL_COMPATIBLE_BASE_URL" in found["embeddings"][0]["mend"]


def test_a_local_model_nobody_needs_may_be_missing(yeoul: Yeoul, tmp_path: Path, port: str) -> None:
    code, found = look(yeoul, YEOUL_LOCAL_ENABLED="true", YEOUL_MODELS_DIR=str(tmp_path), YEOUL_PORT=port)
    assert (code, states(found, "local model")) == (0, ["ok"])
