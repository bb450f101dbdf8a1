"""Canonical JSON (RFC 8785) and the definition hash that approvals, calls and records name."""

import hashlib
from typing import Any

import rfc8785

from domain.errors import Fault, InvalidInput

DEFINITION_HASH_PREFIX = "v1:sha256:"


def canonical_json(value: Any) -> bytes:
    """The RFC 8785 form of a JSON value. Raises InvalidInput for numbers that JSON cannot carry exactly."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        message = f"A value has no canonical JSON form: {error}. Use integers within ±(2^53 - 1) and finite numbers."
        raise InvalidInput(message, [Fault("", message)]) from error


def definition_hash(definition: dict[str, Any]) -> str:
    """`v1:sha256:…` over everything that shapes a definition's behaviour; absent fields must be left out."""
    return DEFINITION_HASH_PREFIX + hashlib.sha256(canonical_json(definition)).hexdigest()
