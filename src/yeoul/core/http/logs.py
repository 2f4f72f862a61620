"""Structured logs: lines for people in a terminal, JSON elsewhere; one pipeline for our loggers and the libraries'."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from yeoul.settings import Settings

HIDDEN = "[hidden]"

_SECRET_NAME = re.compile(r"(?i)(^|[_-])(password|passwd|secret|token|authorization|cookie|api[_-]?key|key)$")
_SECRET_TEXT = (
    (re.compile(r"(?i)(bearer\s+)[\w.~+/=-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"(\w://[^\s:/@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b(?:sk|pk|rk)-[\w-]{16,}|\bAIza[\w-]{30,}"), HIDDEN),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), HIDDEN),
)
_CHATTY = ("httpx", "httpcore", "openai", "anthropic", "google_genai", "asyncio", "alembic", "python_multipart")


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Sets up logging of the whole process. Run uvicorn with ``log_config=None``, so that it keeps to this.

    Lines go to ``stream``, else to standard error, which leaves standard output to what commands answer.
    """
    target = stream or sys.stderr
    human = settings.log_format == "human" or (settings.log_format == "auto" and target.isatty())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
        structlog.processors.StackInfoRenderer(),
        # Text, and without the values of local variables, which may be secrets.
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if human
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger("uvicorn.access").disabled = True  # our own line says more
    logging.getLogger("uvicorn.error").filters = [_as_debug]
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _as_debug(record: logging.LogRecord) -> bool:
    """Lets news of a library ("Started server process") pass as details: our own lines say what matters."""
    if record.levelno == logging.INFO:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return record.levelno >= logging.getLogger().level


def hide_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Replaces what is named or looks like a password, a token or a key, wherever in the line it is."""
    _hide(event)
    return event


def _hide(fields: MutableMapping[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, str | bytes) and _SECRET_NAME.search(name):
            fields[name] = HIDDEN
        elif isinstance(value, str):
            for pattern, replacement in _SECRET_TEXT:
                value = pattern.sub(replacement, value)  # noqa: PLW2901
            fields[name] = value
        elif isinstance(value, dict):
            fields[name] = dict(value)
            _hide(fields[name])
