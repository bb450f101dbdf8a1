"""Identity and names: aggregate ids, namespace slugs, MCP names and the names of imported definitions.

An aggregate's id is derived from its kind, namespace and key, so a duplicate registration is a version conflict
instead of a lookup. The names given to imported definitions fit model providers, which refuse dots and long names.
"""

import hashlib
import re
import unicodedata
from typing import Annotated
from uuid import UUID, uuid5

from pydantic import StringConstraints

from domain.canonical import canonical_json

AGGREGATE_ID_SPACE = UUID("6d1c2f0a-58c9-5d0e-9d7e-3b1f0c6a4e11")
"""Fixed for ever: every aggregate id is derived from it."""

FEDERATED_NAME_LENGTH_MAX = 64
FEDERATED_NAME_HASH_LENGTH = 8
FEDERATED_SERVER_LENGTH_KEPT = 12

NAMESPACE_PATTERN = r"^[a-z0-9-]{1,63}$"
NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,128}$"

NamespaceSlug = Annotated[str, StringConstraints(pattern=NAMESPACE_PATTERN)]
"""A namespace's immutable name."""

McpName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""The name of a tool or a prompt, as the MCP specification (2025-11-25, tool names) allows it."""


def aggregate_id(kind: str, namespace: str, key: str) -> UUID:
    """Id of the aggregate of `kind` that `key` names in `namespace`: a name, a URI or a URI template."""
    return uuid5(AGGREGATE_ID_SPACE, canonical_json([kind, namespace, key]).decode())


def slug(text: str) -> str:
    """`text` in `[A-Za-z0-9_-]`: accents dropped, runs of anything else one hyphen; what has no letters is hashed."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    cleaned = re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_]+", "-", plain)).strip("-_")
    return cleaned or _digest(text)


def federated_name(server: str, name: str, *, distinguish: bool = False) -> str:
    """`<server slug>__<name slug>`, at most 64 characters.

    A longer name is cut, the server's part first because the tool's part tells more, and ends in a hash of the original
    pair; so does one that the caller asks to `distinguish`, because another pair of the same import has the same slugs.
    Equal pairs always get equal names.
    """
    left, right = slug(server), slug(name)
    if len(left) + len(right) + 2 <= FEDERATED_NAME_LENGTH_MAX and not distinguish:
        return f"{left}__{right}"
    room = FEDERATED_NAME_LENGTH_MAX - FEDERATED_NAME_HASH_LENGTH - len("__") - len("-")
    right = right[: max(room - len(left), room - FEDERATED_SERVER_LENGTH_KEPT)].rstrip("-_")
    return f"{left[: room - len(right)].rstrip('-_')}__{right}-{_digest(server, name)}"


def _digest(*parts: str) -> str:
    return hashlib.sha256(canonical_json(list(parts))).hexdigest()[:FEDERATED_NAME_HASH_LENGTH]
