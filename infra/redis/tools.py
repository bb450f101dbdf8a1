"""What an operator does with a log beside the running program, or without one."""

from dataclasses import dataclass
from datetime import UTC, datetime

from domain.errors import InvalidInput
from domain.recorded import START, Position
from infra.redis import calls
from infra.redis.raw_log import RawLog
from infra.redis.verify import Report, VerifiedLog, verify_log


@dataclass(frozen=True, slots=True)
class LogTools:
    """The tools for one deployment's log."""

    log: RawLog

    async def verify(self, report: Report) -> VerifiedLog:
        """Read everything and name the first bad position."""
        return await verify_log(self.log, report)

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
