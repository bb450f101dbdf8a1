"""Opaque cursors: where a page ended, for the next request."""

import base64
import binascii

import orjson

from domain.errors import Fault, InvalidInput

CURSOR_LENGTH_MAX = 4096


def encode_cursor(*parts: str) -> str:
    """The parts as one opaque word that fits into a URL."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def decode_cursor(cursor: str, parts: int, pointer: str = "/cursor") -> tuple[str, ...]:
    """The parts of a cursor. Raises InvalidInput for one that this product did not make."""
    try:
        if len(cursor) <= CURSOR_LENGTH_MAX:
            value = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            if (
                isinstance(value, list)
                and len(value) == parts
                and all(isinstance(part, str) for part in value)
            ):
                return tuple(value)
    except (binascii.Error, ValueError):
        pass
    message = "This is not a cursor of ours. Start without one, and use the cursors that the pages give you."
    raise InvalidInput(message, [Fault(pointer, message)])
