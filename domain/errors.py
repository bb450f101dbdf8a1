"""Every error that the product answers, without a word of HTTP, GraphQL or JSON-RPC (`api/errors.py` maps them).

ChronicleError
├── InvalidInput            the request is wrong; carries one `Fault` per wrong value
├── Unauthenticated         no valid key
├── Forbidden               the principal lacks the scope
├── NotFound                no such thing, or not visible to the principal: the two look the same
│   └── NamespaceNotFound
├── Conflict                the state does not allow it
│   ├── AlreadyExists
│   ├── VersionConflict     somebody else was first
│   └── IllegalTransition   e.g. a retired tool is revised
├── VersionRequired         an update without the version that it is based on
├── IdempotencyMismatch     the key was used for another request
├── LimitExceeded           a named bound was reached
├── DeadlineExceeded        the request's time is over
├── Unavailable             a server that we need does not answer; nothing was written
│   └── OutcomeUnknown      the reply of a write was lost: it may have happened; retry with the same key
├── RemoteFailure           a remote endpoint failed, was refused or answered garbage: a tool error, never ours
└── HistoryChanged          the log is not the one that was read before
"""

from collections.abc import Sequence
from dataclasses import dataclass

MESSAGE_LENGTH_MAX = 2000
"""Longest message and pointer: an error may quote what a caller sent, and a caller may send a lot."""

FAULTS_MAX = 100
"""Most faults that one error carries."""


@dataclass(frozen=True)
class Fault:
    """One wrong value: a JSON Pointer (RFC 6901) into the request, and what is wrong with it."""

    pointer: str
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "pointer", shortened(self.pointer))
        object.__setattr__(self, "message", shortened(self.message))


def shortened(text: str) -> str:
    """The text itself, or its beginning if it is longer than MESSAGE_LENGTH_MAX."""
    return text if len(text) <= MESSAGE_LENGTH_MAX else f"{text[: MESSAGE_LENGTH_MAX - 1]}…"


class ChronicleError(Exception):
    """The root. `code` is a stable word for programs, the message is a sentence for people."""

    code = "error"

    lasts = False
    """Whether the same would fail again at any later time, until somebody repairs something."""

    def __init__(self, message: str) -> None:
        self.message = shortened(message)
        super().__init__(self.message)


class InvalidInput(ChronicleError):
    """The request is wrong, and would be wrong at any time."""

    code = "invalid_input"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults[:FAULTS_MAX])


class Unauthenticated(ChronicleError):
    """The request carries no valid key."""

    code = "unauthenticated"


class Forbidden(ChronicleError):
    """The principal is known but does not hold the scope."""

    code = "forbidden"


class NotFound(ChronicleError):
    """There is no such thing, or the principal may not see it."""

    code = "not_found"


class NamespaceNotFound(NotFound):
    """The namespace does not exist, or the principal may not see it."""

    code = "namespace_not_found"

    def __init__(self, namespace: str) -> None:
        super().__init__(f"There is no namespace '{namespace}'. Create it first, or correct the name.")
        self.namespace = namespace


class Conflict(ChronicleError):
    """The present state does not allow the request."""

    code = "conflict"


class AlreadyExists(Conflict):
    """The name is taken, also when its definition is retired."""

    code = "already_exists"


class VersionConflict(Conflict):
    """The caller based its request on another version than the present one."""

    code = "version_conflict"

    def __init__(self, subject: str, expected: int, actual: int) -> None:
        super().__init__(
            f"{subject} is at version {actual}, and the request was based on version {expected}. "
            "Read it again and decide anew."
        )
        self.expected = expected
        self.actual = actual


class IllegalTransition(Conflict):
    """The life cycle has no such step from the present state."""

    code = "illegal_transition"


class VersionRequired(ChronicleError):
    """A change of something that exists must name the version that it is based on."""

    code = "version_required"


class IdempotencyMismatch(ChronicleError):
    """The idempotency key was used before, for a request with other content."""

    code = "idempotency_mismatch"


class LimitExceeded(ChronicleError):
    """A named bound was reached; the message names it and its value."""

    code = "limit_exceeded"


class DeadlineExceeded(ChronicleError):
    """The time that the request was given is over."""

    code = "deadline_exceeded"


class Unavailable(ChronicleError):
    """A server that the product depends on does not answer; nothing was written. Try again later."""

    code = "unavailable"


class OutcomeUnknown(Unavailable):
    """The reply to a write was lost: it happened once or not at all. A retry with the same key finds out."""

    code = "outcome_unknown"


class HistoryChanged(ChronicleError):
    """A position that was read before names another event now, or none: acknowledged history was lost."""

    code = "history_changed"


class RemoteFailure(ChronicleError):
    """A remote endpoint is down, slow, not allowed or answers garbage. The message holds no secret."""

    code = "remote_failure"
