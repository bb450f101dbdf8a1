"""The program's log: structlog and the standard library's loggers, one line for each event on standard error.

Called by the command line only; a library that sets up logging takes that from whoever uses it. Whatever is logged
passes `redact`, which takes out what is, or is called, a credential. It is the last net: nothing should log one.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import Processor

REDACTED = "[redacted]"
DEPTH_MAX = 8
"""Of nested values in one line. What lies deeper is left out."""

_CREDENTIAL_NAME = re.compile(
    r"(authorization|cookie|key|token|secret|password|credential)s?$", re.IGNORECASE
)
_CREDENTIAL_TEXT = (
    (re.compile(r"chr_[A-Za-z0-9_-]{16,}"), f"chr_{REDACTED}"),
    (re.compile(r"\b(bearer)\s+[^\s\"',;]+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"://[^/\s@\"']*@"), f"://{REDACTED}@"),
)
# Their lines quote the headers that were sent and received, or the ids of sessions.
_QUIET = ("httpcore2", "httpx2", "asyncio", "mcp")


def set_up_logs(level: str, form: Literal["console", "json"], stream: TextIO | None = None) -> None:
    """Send every logger's lines of `level` and above to `stream` (standard error if None)."""
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        # Tracebacks become text before the redaction sees them.
        structlog.processors.format_exc_info,
        redact,
        _renderer(form, colors=out.isatty()),
    ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()], processors=rendered
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    # It warns of each request to a node that is away; who asked says so itself.
    logging.getLogger("elastic_transport").setLevel(max(root.level, logging.ERROR))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: the event without credentials, by the names of values and by what they look like."""
    return {name: _redacted(name, value, DEPTH_MAX) for name, value in event.items()}


def _redacted(name: object, value: object, depth: int) -> object:
    if isinstance(name, str) and _CREDENTIAL_NAME.search(name):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth == 0:
        return "[too deep]"
    if isinstance(value, str):
        return _masked(value)
    if isinstance(value, Mapping):
        return {_masked(str(key)): _redacted(key, item, depth - 1) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [_redacted(None, item, depth - 1) for item in value]
    return _masked(repr(value))


def _masked(text: str) -> str:
    for pattern, replacement in _CREDENTIAL_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _renderer(form: Literal["console", "json"], *, colors: bool) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)
