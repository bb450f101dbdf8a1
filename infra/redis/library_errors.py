"""Our errors as those that callers of the `eventsourcing` library catch: one table, used by its recorders alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PersistenceError,
)

from domain.errors import (
    ChronicleError,
    Conflict,
    HistoryChanged,
    IdempotencyMismatch,
    InvalidInput,
    LimitExceeded,
    Unavailable,
)
from infra.redis.blocking import ConnectionsClosed
from infra.redis.record import RecordDamaged

# The first that fits counts.
_MEANINGS: tuple[tuple[type[ChronicleError], type[PersistenceError]], ...] = (
    (Conflict, IntegrityError),
    (IdempotencyMismatch, IntegrityError),
    (InvalidInput, DataError),
    (LimitExceeded, DataError),
    (ConnectionsClosed, InterfaceError),
    (Unavailable, OperationalError),
    (RecordDamaged, OperationalError),
    (HistoryChanged, OperationalError),
)


@contextmanager
def library_errors() -> Iterator[None]:
    """Raise the library's error in place of ours, which stays its cause. Also a decorator."""
    try:
        yield
    except ChronicleError as error:
        for ours, theirs in _MEANINGS:
            if isinstance(error, ours):
                raise theirs(error.message) from error
        raise
