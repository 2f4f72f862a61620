"""The JavaScript clients people really use: ``openai``, ``ai`` with its provider, and AG-UI's ``HttpAgent``."""

from pathlib import Path

import pytest

from tests import javascript

JS = Path(__file__).parent / "js"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return javascript.installed(JS)


@pytest.mark.parametrize("script", ["openai", "ai", "ag_ui"])
async def test_script(script: str, node_modules: Path, address: str, token: str, tmp_path: Path) -> None:
    said = await javascript.run(JS, f"{script}.mjs", node_modules, tmp_path, ADDRESS=address, TOKEN=token)
    assert said.splitlines()[-1] == "ok"
