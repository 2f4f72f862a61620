"""The console's files, under an address that holds a hash of them all.

``/static/<hash>/…`` may be kept by browsers for good. The hash is in the path rather than in a query, so that modules
find each other, and the stylesheet its files, by relative addresses that carry it too. A product's files are below
``/static/<hash>/products/<its name>/``: its modules import the console's as ``../../../js/api.js``.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"
MOUNT = "/static"

# Not left to the system's table: a script with a wrong type is refused by browsers.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class Assets(StaticFiles):
    """Serves the folder ``static`` and those of products (name → folder); mount it at ``MOUNT``."""

    def __init__(self, products: Mapping[str, Path]) -> None:
        super().__init__(directory=STATIC)
        self._products = {name: StaticFiles(directory=folder) for name, folder in products.items()}
        self.version = _hash_of(STATIC, *products.values())

    def url(self, path: str) -> str:
        """The address of a file."""
        return f"{MOUNT}/{self.version}/{path}"

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file. Under another version's hash it is still the present one, and is not to be kept."""
        version, _, name = path.partition("/")
        first, _, rest = name.partition("/")
        product, _, own = rest.partition("/")
        if first == "products" and product in self._products:
            response = await self._products[product].get_response(own, scope)
        else:
            response = await super().get_response(name, scope)
        if media_type := _TYPES.get(Path(name).suffix):
            response.headers["Content-Type"] = media_type
        is_current = version == self.version
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_current else "no-cache"
        return response


def _hash_of(*folders: Path) -> str:
    found = sha256()
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            found.update(path.relative_to(folder).as_posix().encode() + b"\0")
            found.update(path.read_bytes())
    return found.hexdigest()[:12]
