"""What an operator does with a log beside the running program, or without one."""

from dataclasses import dataclass

from infra.redis.raw_log import RawLog
from infra.redis.verify import Report, VerifiedLog, verify_log


@dataclass(frozen=True, slots=True)
class LogTools:
    """The tools for one deployment's log."""

    log: RawLog

    async def verify(self, report: Report) -> VerifiedLog:
        """Read everything and name the first bad position."""
        return await verify_log(self.log, report)
