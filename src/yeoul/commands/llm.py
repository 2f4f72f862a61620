"""``yeoul llm``: the local model as a server of its own, which the APIs and workers of many machines share."""

import asyncio
import signal
import socket
from importlib.util import find_spec

from yeoul.commands import weights
from yeoul.commands.terminal import run, say
from yeoul.core.base.errors import Unavailable
from yeoul.core.http.logs import configure
from yeoul.core.llm.catalogue import Catalogue
from yeoul.core.llm.local import LocalServer
from yeoul.core.llm.weights import describe
from yeoul.settings import Settings


def serve_model(settings: Settings, host: str, port: int) -> None:
    """Serves the local model until Ctrl-C or SIGTERM.

    Raises ``Unavailable`` when the port is taken or the model's process ends, and ``ModelNotReady`` when the weights
    cannot be had or the model does not load.
    """
    configure(settings)
    settings = settings.model_copy(update={"local_enabled": True, "local_url": None})
    model = f"local/{describe(settings.local_model).name}"
    if find_spec("xllamacpp") is not None:
        weights.get(settings, model)
    Catalogue(settings).route(model)
    _must_be_free(host, port)
    run(_serve(LocalServer(settings, host=host, port=port, key=settings.local_token), model))


async def _serve(server: LocalServer, model: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopped = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(_until_it_dies(server, model))
    try:
        await asyncio.wait({stopped, serving}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            # Whoever keeps services running, systemd say, starts another, and knows how often is too often.
            status = await serving
            raise Unavailable(f"The model's process ended with status {status}.")
    finally:
        stopped.cancel()
        serving.cancel()
        await server.stop()


async def _until_it_dies(server: LocalServer, model: str) -> int:
    address, _ = await server.address()
    say(f"{model} is ready: {address}, for others in YEOUL_LOCAL_URL. Ctrl-C stops.", "bold green")
    return await server.died()


def _must_be_free(host: str, port: int) -> None:
    """Says in one line what llama.cpp would say in many, after it has loaded the model."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        raise Unavailable(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --port."
        ) from None
