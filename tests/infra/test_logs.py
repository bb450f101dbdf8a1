"""Whatever is logged, by us or by a library, leaves without credentials."""

import io
import logging
from collections.abc import Iterator

import orjson
import pytest
import structlog

from infra.logs import DEPTH_MAX, redact, set_up_logs

KEY = "chr_" + "Ab-_" * 10 + "xyz"


@pytest.fixture
def restored() -> Iterator[None]:
    """Puts back what logging was like before."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_holds_a_credential(form: str) -> None:
    """By the name of the value, by its look, nested, in a traceback, and from the standard library's loggers."""
    stream = io.StringIO()
    set_up_logs("info", form, stream)  # type: ignore[arg-type] # parametrize forgets the literal
    log = structlog.get_logger("test")
    log.info(
        "request",
        authorization="s3cret",
        Cookie="s3cret",
        api_key="s3cret",
        headers={"X-Auth-Token": "s3cret"},
    )
    log.info("key %s", KEY, note=[f"a {KEY}", {"b": (KEY, KEY.encode())}], other=ValueError(KEY))
    log.info("sent", text="Authorization: Bearer s3cret", url="redis://u:s3cret@h/0")
    try:
        int(f"bad {KEY}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").exception("failed with %s", KEY)
    logging.getLogger("library").info("plain %s", KEY, extra={"password": "s3cret"})
    logging.getLogger("httpcore2.http11").debug("headers s3cret")
    written = stream.getvalue()
    assert "s3cret" not in written
    assert KEY not in written
    assert written.count("chr_[redacted]") >= 6
    assert "ValueError" in written
    assert "bad chr_[redacted]" in written


@pytest.mark.usefixtures("restored")
def test_a_line_is_one_json_object_with_its_context() -> None:
    """Bound values, level and time come along; lower levels do not."""
    stream = io.StringIO()
    set_up_logs("warning", "json", stream)
    structlog.get_logger("test").info("quiet")
    with structlog.contextvars.bound_contextvars(correlation_id="c1"):
        structlog.get_logger("test").warning("loud", count=3, ratio=0.5, ok=True, nothing=None)
    (line,) = stream.getvalue().splitlines()
    entry = orjson.loads(line)
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "event": "loud",
        "level": "warning",
        "logger": "test",
        "correlation_id": "c1",
        "count": 3,
        "ratio": 0.5,
        "ok": True,
        "nothing": None,
    }


def test_depth_is_bounded() -> None:
    """A value that holds itself would be followed for ever."""
    circle: list[object] = []
    circle.append(circle)
    shown = str(redact(None, "info", {"circle": circle}))
    assert "[too deep]" in shown
    assert shown.count("[") <= DEPTH_MAX + 2


def test_what_is_no_credential_is_left_as_it_is() -> None:
    """The log must stay of use."""
    event = {"event": "tool called", "namespace": "a", "url": "http://h/p", "chr": "chr_short", "size": 3}
    assert redact(None, "info", dict(event)) == event
