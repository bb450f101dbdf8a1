"""Is a log whole? Takes stored entries in their order and finds the first that cannot be trusted: pure, without I/O.

Checked of each entry: its checksum, format and flags; that its position follows the one before it without a gap and
without a falling epoch; that the server's time never goes back; that its version follows its aggregate's version; that
its name and state are an event of this release; and, against the answers that the caller fetches, that the index list
of its aggregate, or for version 0 its key of that version, names it. What was checked is one number for each aggregate,
kept in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.recorded import START, Position
from infra.redis import calls
from infra.redis.codec import EventCodec
from infra.redis.record import RecordDamaged

EPOCH_MAX = 2**53
"""The functions on the server are exact up to here."""


class EntriesMissing(RecordDamaged):
    """The position has no entry, though later ones exist or it was acknowledged."""

    code = "gap"


class EntryRepeated(RecordDamaged):
    """The sequence number was used before."""

    code = "repeated_sequence"


class EpochFell(RecordDamaged):
    """The epoch is lower than that of an earlier entry, or above that of the server."""

    code = "epoch"


class TimeWentBack(RecordDamaged):
    """The entry was recorded before the one in front of it."""

    code = "time_went_back"


class VersionOutOfOrder(RecordDamaged):
    """The aggregate's versions do not count 1, 2, 3, from 1 or from 0 on."""

    code = "version_out_of_order"


class IndexDisagrees(RecordDamaged):
    """The index of an aggregate (its list, its key of version 0) does not name the events that the log has of it."""

    code = "index_disagrees"


@dataclass(slots=True)
class IndexPart:
    """What the index of an aggregate must hold, as some entries of the log tell it.

    `positions` must be in its list from `first_version` (1 or later) on; `zero`, if it is among them, in its key of
    version 0.
    """

    aggregate_id: UUID
    first_version: int
    positions: list[Position] = field(default_factory=list)
    zero: Position | None = None

    def problem(self, found: Sequence[int]) -> RecordDamaged | None:
        """The first entry that the list does not name where it should; `found` is this part of the list."""
        for number, position in enumerate(self.positions):
            named = found[number] if number < len(found) else None
            if named != position.sequence:
                return self._not_named(position, self.first_version + number, named)
        return None

    def zero_problem(self, named: int | None) -> RecordDamaged | None:
        """The entry of version 0, if the key of version 0 does not name it; `named` is what that key holds."""
        if self.zero is None or named == self.zero.sequence:
            return None
        return self._not_named(self.zero, 0, named)

    def _not_named(self, position: Position, version: int, named: int | None) -> RecordDamaged:
        there = "nothing" if named is None else f"position {named}"
        text = (
            f"is version {version} of aggregate {self.aggregate_id}, and the aggregate's index names {there} "
            "for it. Restore the log from a backup."
        )
        return IndexDisagrees(position, text)


class ArchiveDamaged(RecordDamaged):
    """The segment that holds the position cannot be read."""

    code = "archive_damaged"


class LogCheck:
    """Checks a log from its first entry on, part by part.

    `epoch_max` is the server's epoch, above which no entry can be.
    """

    def __init__(self, epoch_max: int = EPOCH_MAX) -> None:
        self._epoch_max = epoch_max
        self._codec = EventCodec()
        self._time_us = 0
        self.position = START
        self.events = 0
        self.versions: dict[UUID, int] = {}
        self.begun_at_zero: set[UUID] = set()

    def take(self, entries: Sequence[Sequence[Any]]) -> tuple[Sequence[IndexPart], RecordDamaged | None]:
        """Check entries as the server answers them, up to the first bad one.

        Answers what the indices must hold for the good ones, and what is wrong with the bad one.
        """
        parts: dict[UUID, IndexPart] = {}
        for item in entries:
            try:
                aggregate_id, version = self._checked(item)
            except RecordDamaged as problem:
                return list(parts.values()), problem
            part = parts.setdefault(aggregate_id, IndexPart(aggregate_id, max(version, 1)))
            if version == 0:
                part.zero = self.position
            else:
                part.positions.append(self.position)
        return list(parts.values()), None

    def _checked(self, item: Sequence[Any]) -> tuple[UUID, int]:
        position = calls.position_of(item[0])
        wanted = self.position.sequence + 1
        if position.sequence > wanted:
            raise missing(wanted, f"and the next entry is {position}")
        if position.sequence < wanted:
            raise EntryRepeated(position, "has a sequence number that an earlier entry has. Restore the log.")
        if not self.position.epoch <= position.epoch <= self._epoch_max:
            problem = (
                f"has the epoch {position.epoch}; it must be from {self.position.epoch}, that of the entry before it, "
                f"to {self._epoch_max}, that of the server. Restore the log from a backup."
            )
            raise EpochFell(position, problem)
        stored = calls.entry(item)
        if stored.recorded_at_us < self._time_us:
            problem = (
                f"was recorded at {stored.recorded_at_us} µs, before the entry in front of it ({self._time_us} µs). "
                "Restore the log from a backup."
            )
            raise TimeWentBack(position, problem)
        aggregate_id, version = stored.record.aggregate_id, stored.record.version
        before = self.versions.get(aggregate_id, 0)
        begins_at_zero = version == 0 and aggregate_id not in self.versions
        if version != before + 1 and not begins_at_zero:
            problem = (
                f"is version {version} of aggregate {aggregate_id}, which was at {before}. Restore the log."
            )
            raise VersionOutOfOrder(position, problem)
        self._codec.decode(stored)
        self.position, self._time_us = position, stored.recorded_at_us
        self.versions[aggregate_id] = version
        if begins_at_zero:
            self.begun_at_zero.add(aggregate_id)
        self.events += 1
        return aggregate_id, version

    def beyond(self, next_named: Mapping[UUID, int | None]) -> RecordDamaged | None:
        """What is wrong with index lists behind their last checked version.

        `next_named` is what each list names there, None if it ends. Only events newer than the checked ones may be.
        """
        for aggregate_id, sequence in next_named.items():
            if sequence is not None and sequence <= self.position.sequence:
                return _stray(aggregate_id, self.versions.get(aggregate_id, 0) + 1, sequence)
        return None

    def beyond_zero(self, zero_named: Mapping[UUID, int | None]) -> RecordDamaged | None:
        """What is wrong with keys of version 0 of aggregates that the checked entries did not begin there.

        `zero_named` is what each key names. Only events newer than the checked ones may be.
        """
        for aggregate_id, sequence in zero_named.items():
            if sequence is not None and sequence <= self.position.sequence:
                return _stray(aggregate_id, 0, sequence)
        return None


def missing(sequence: int, context: str) -> EntriesMissing:
    """The damage of an entry that is not there."""
    return EntriesMissing(
        Position(sequence, 0), f"is missing from the log, {context}. Restore it from a backup."
    )


def _stray(aggregate_id: UUID, version: int, sequence: int) -> IndexDisagrees:
    problem = (
        f"is named by the index of aggregate {aggregate_id} as its version {version}, which it is not. "
        "Restore the log from a backup."
    )
    return IndexDisagrees(Position(sequence, 0), problem)
