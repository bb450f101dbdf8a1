"""The calls that restore, archive and trim, beside those of the store in `infra.redis.calls`: pure, without I/O."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from domain.recorded import Position
from infra.redis.calls import BYTES_PER_CALL_MAX, EVENTS_PER_CALL_MAX, Call, Keys, Library
from infra.redis.segment import Entry

_NAME = "chronicle_archive"


class ArchiveLibrary(Library):
    """The function library beside the store's own."""

    @property
    def name(self) -> str:
        return f"{_NAME}_{self.version}"


@cache
def archive_library() -> ArchiveLibrary:
    """The library of this release."""
    text = files("infra.redis").joinpath("functions/archive.lua").read_text(encoding="utf-8")
    version = f"1_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return ArchiveLibrary(version, text.replace("@VERSION@", version))


def restore_begin(keys: Keys, token: str) -> Call:
    """The call that claims an empty log for a restore; answers the sequence after which to go on."""
    return _call("restore_begin", (keys.log, keys.head, keys.meta), token)


def restore_entries(keys: Keys, token: str, entries: Sequence[Entry]) -> Call:
    """The call that writes entries with their positions and times."""
    pairs = [part for position, value in entries for part in (str(position), value)]
    touched = (keys.log, keys.head, keys.meta, keys.index_prefix, keys.zero_prefix)
    return _call("restore_entries", touched, token, entries[0][0].sequence - 1, *pairs)


def restore_end(keys: Keys, token: str, last: Position, log_id: str, at: str) -> Call:
    """The call that opens a restored log: head and epoch are set, and the next start raises the epoch."""
    return _call("restore_end", (keys.log, keys.head, keys.meta, keys.epoch), token, str(last), log_id, at)


def archived(keys: Keys, name: str, first: int, last: int, previous: str, digest: str) -> Call:
    """The call that records a segment which is on the disk."""
    return _call("archived", (keys.meta, keys.key("segments")), name, first, last, previous, digest)


def trim(keys: Keys, through: int) -> Call:
    """The call that removes archived entries from the log; answers how many."""
    return _call("trim", (keys.log, keys.head, keys.meta), through)


def batches(entries: Sequence[Entry]) -> list[Sequence[Entry]]:
    """Entries in parts that fit a call."""
    parts: list[Sequence[Entry]] = []
    start = size = 0
    for index, (_, value) in enumerate(entries):
        if index > start and (index - start >= EVENTS_PER_CALL_MAX or size + len(value) > BYTES_PER_CALL_MAX):
            parts.append(entries[start:index])
            start, size = index, 0
        size += len(value)
    return [*parts, entries[start:]] if entries else parts


def _call(function: str, touched: Sequence[str], *arguments: str | bytes | int) -> Call:
    return ("FCALL", archive_library().function(function), len(touched), *touched, *arguments)
