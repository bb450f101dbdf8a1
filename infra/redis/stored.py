"""The whole log in its order, from the archive where it was trimmed and from the server where not."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from infra.redis import calls
from infra.redis.integrity import LogCheck, missing
from infra.redis.raw_log import PAGE_EVENTS, RawLog
from infra.redis.record import FIELD
from infra.redis.segment import Entry
from infra.redis.segments import SegmentDirectory


async def stored_entries(
    log: RawLog, archive: SegmentDirectory, until: int, after: int = 0
) -> AsyncIterator[Sequence[Sequence[Any]]]:
    """Pages of entries, in the form of the server's answers, above one sequence and up to another.

    Raises EntriesMissing for a gap that the archive does not fill, and SegmentDamaged.
    """
    while after < until:
        page = _gapless(after, await log.page(after, until))
        if not page:
            # Looked at after the log: what is trimmed meanwhile is in the archive by then.
            page = as_answered(await archive.entries(after + 1, until, PAGE_EVENTS))
        if not page:
            raise missing(after + 1, "and the archive does not hold it")
        yield page
        after = calls.position_of(page[-1][0]).sequence


def _gapless(after: int, page: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """The entries of a page in front of its first gap; one that repeats a sequence is left for the checks."""
    for number, item in enumerate(page):
        if calls.position_of(item[0]).sequence > after + number + 1:
            return page[:number]
    return page


def as_answered(entries: Sequence[Entry]) -> list[Sequence[Any]]:
    """Entries in the form of the server's answers."""
    return [(str(position).encode(), (FIELD, value)) for position, value in entries]


def checked(check: LogCheck, page: Sequence[Sequence[Any]]) -> list[Entry]:
    """The entries of a page that passed the check. Raises RecordDamaged."""
    _, problem = check.take(page)
    if problem is not None:
        raise problem
    return [(calls.position_of(entry_id), fields[1]) for entry_id, fields in page]
