"""What ``pip install yeoul`` brings is everything the source has."""

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


def build(folder: Path) -> Path:
    """A wheel, by the build backend that set-up has fetched; nothing is fetched anew."""
    if uv := shutil.which("uv"):
        command = [uv, "build", "--wheel", "--offline", "--python", sys.executable, "--out-dir", str(folder)]
    elif find_spec("hatchling") and find_spec("pip"):
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    else:
        pytest.skip("a wheel is built here by uv, or by pip where hatchling is installed")
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False, cwd=folder)
    if "Failed to resolve requirements from `build-system.requires`" in done.stderr:
        pytest.skip("uv has no hatchling in its cache: `uv build` fetches it, once")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("yeoul-*.whl"))


def test_the_wheel_holds_every_file_of_the_source(tmp_path: Path) -> None:
    files = (path for path in (SOURCE / "yeoul").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    source = {path.relative_to(SOURCE).as_posix() for path in files}
    assert {Path(name).suffix for name in source} >= {".css", ".html", ".js", ".po", ".py", ".sql", ".svg", ".typed"}
    with zipfile.ZipFile(build(tmp_path)) as wheel:
        names = set(wheel.namelist())
        (entries,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        offered = wheel.read(entries).decode()
    assert {name for name in names if ".dist-info/" not in name} == source
    assert "yeoul = yeoul.cli:main" in offered
    assert "playground = yeoul.playground.product:product" in offered
