"""Composition root of the API process: the core's rooms, every installed product, and the console."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from yeoul import __version__
from yeoul.console.router import install as install_console
from yeoul.core.auth.dependencies import signed_in
from yeoul.core.auth.middleware import OpeningsMiddleware
from yeoul.core.auth.router import router as auth_router
from yeoul.core.base.errors import Unavailable
from yeoul.core.completions.router import install as install_completions
from yeoul.core.embeddings.router import router as embeddings_router
from yeoul.core.http.install import install as install_http
from yeoul.core.jobs.kinds import Kinds
from yeoul.core.llm.images import BODY_BYTES
from yeoul.core.llm.router import router as llm_router
from yeoul.core.provider_keys.router import router as provider_keys_router
from yeoul.core.runtime.failed.router import router as failed_router
from yeoul.core.runtime.router import router as jobs_router
from yeoul.core.runtime.services import Services
from yeoul.core.runtime.sockets import router as sockets_router
from yeoul.core.runtime.worker import Worker
from yeoul.core.schedules.router import router as schedules_router
from yeoul.product import installed
from yeoul.settings import Settings
from yeoul.worker import running, stop_signals

_WITH_IMAGES = ("/v1/chat/completions", "/v1/responses", "/generate")
"""Paths whose bodies may have images in them."""
CLOSE_SECONDS = 5
"""How long open requests may go on once the server has been told to stop; streams are ended at once."""


def create_app(settings: Settings, *, worker: bool = False, kinds: Kinds | None = None) -> FastAPI:
    """The API; with ``worker``, one that runs jobs as well. Everything is opened when the application starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with running(settings, worker=worker, kinds=kinds) as (services, works):
            app.state.services, app.state.worker = services, works
            yield

    app = FastAPI(
        title="Yeoul",
        version=__version__,
        summary="Durable AI jobs with live streams.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.settings = settings
    app.add_middleware(OpeningsMiddleware)
    products = {path: most for product in installed() for path, most in product.bodies.items()}
    larger = dict.fromkeys(_WITH_IMAGES, BODY_BYTES) | products
    install_http(app, settings, larger_bodies=larger, admit=signed_in)
    for router in (auth_router, failed_router, jobs_router, schedules_router, sockets_router, llm_router):
        app.include_router(router)
    install_completions(app)
    app.include_router(embeddings_router)
    app.include_router(provider_keys_router)
    for product in installed():
        for router in product.routers:
            app.include_router(router)
    install_console(app, installed())
    return app


class _Server(uvicorn.Server):
    """uvicorn that leaves signals to ``serve`` and says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Does nothing: ``serve`` listens to signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, then says so, unless it was asked to stop meanwhile."""
        await super().startup(sockets)
        if self.started and not self.should_exit:
            self._ready()


async def serve(app: FastAPI, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or Ctrl-C; a second one stops without waiting for running jobs.

    ``ready`` is called once requests are answered. Raises what kept the application from starting.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",  # it is ours, below: uvicorn would log a traceback of what we say in one line
        timeout_graceful_shutdown=CLOSE_SECONDS,
        proxy_headers=True,
        forwarded_allow_ips=app.state.settings.trusted_proxies,
        ws_max_size=65_536,
    )
    server = _Server(config, ready)

    def asked() -> None:
        worker: Worker | None = getattr(app.state, "worker", None)
        services: Services | None = getattr(app.state, "services", None)
        if server.should_exit and worker is not None:
            worker.hurry()
        server.force_exit = server.should_exit
        if services is not None:
            services.events.end_all()
        server.should_exit = True

    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, asked)
    async with app.router.lifespan_context(app):
        await server.serve(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; raises ``Unavailable`` when the port is taken or the address not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Unavailable(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --port or YEOUL_PORT."
        ) from None
    return listening
