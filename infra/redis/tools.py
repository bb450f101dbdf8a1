"""What an operator does with a log beside the running program, or without one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from domain.errors import InvalidInput
from domain.recorded import START, Position
from infra.redis import calls
from infra.redis.archive import Archived, seal, trim
from infra.redis.backup import BackedUp, backup, export
from infra.redis.raw_log import RawLog
from infra.redis.restore import BackupDirectory, ExportFile, restore
from infra.redis.segments import SegmentDirectory
from infra.redis.verify import Report, VerifiedLog, verify_log
from projections.ports import DocumentStore


@dataclass(frozen=True, slots=True)
class LogTools:
    """The tools for one deployment's log."""

    log: RawLog
    archive: SegmentDirectory
    stores: Mapping[str, DocumentStore] = field(default_factory=dict)
    """The read models by name, where they were opened: trimming asks how far they are."""

    async def verify(self, report: Report) -> VerifiedLog:
        """Read everything and name the first bad position."""
        return await verify_log(self.log, self.archive, report)

    async def backup(self, directory: Path, report: Report) -> BackedUp:
        """Copy the log into an empty directory."""
        return await backup(self.log, self.archive, directory, report)

    async def export(self, file: Path, report: Report) -> BackedUp:
        """Write the log as lines of JSON into a new file."""
        return await export(self.log, self.archive, file, report)

    async def restore(self, source: Path, report: Report, *, ndjson: bool) -> BackedUp:
        """Fill an empty log from a backup or from an export."""
        return await restore(self.log, ExportFile(source) if ndjson else BackupDirectory(source), report)

    async def seal(self, report: Report) -> Archived:
        """Write every full segment that the archive does not hold yet."""
        return await seal(self.log, self.archive, report)

    async def trim(self) -> Archived:
        """Remove from the log what is archived and applied by every read model."""
        checkpoints = [await store.checkpoint() for store in self.stores.values()]
        if not checkpoints:
            raise InvalidInput("Nothing is trimmed without knowing how far the read models are.")
        return await trim(self.log, self.archive, min(checkpoints))

    async def accept_loss(self, lost: Position) -> Position:
        """Record that everything up to the position that the log no longer has is given up; answers what was kept.

        Raises InvalidInput if the log has it.
        """
        found = await self.log.entry(lost.sequence)
        if lost == START or (found is not None and calls.position_of(found[0]) == lost):
            raise InvalidInput(f"The log has position {lost}: nothing up to there is lost.")
        if lost.sequence <= (await self.log.state()).trimmed:
            raise InvalidInput(f"Position {lost} is in the archive: nothing up to there is lost.")
        kept = await self.log.last_of_epoch(lost)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        await self.log.send(calls.accept_loss(self.log.keys, kept, lost, at))
        return kept
