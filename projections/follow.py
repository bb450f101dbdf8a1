"""Following the log for ever: subscribe, hand on batches, and come back after whatever fails.

A follower never dies silently: each failure is logged and counted, the wait before the next attempt is bounded, and
only cancellation ends it. One reader in order, not a consumer group: that would hand neighbours to different workers.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import anyio
import structlog

from domain.errors import HistoryChanged
from domain.recorded import Position, RecordedEvent
from projections.ports import EventLog

BACKOFF_S_MIN = 0.1
BACKOFF_S_MAX = 5.0
"""Waits between attempts: doubled after each failure, back to the minimum once a batch went through."""

logger = structlog.get_logger(__name__)

Batches: TypeAlias = AsyncIterator[Sequence[RecordedEvent]]


@dataclass(frozen=True, slots=True)
class Follower:
    """What follows the log: where it stands, what it does with its subscription, and how it starts over.

    `consume` gets the batches and calls its second argument after each one that it has applied.
    """

    name: str
    position: Callable[[], Awaitable[Position]]
    consume: Callable[[Batches, Callable[[], None]], Awaitable[None]]
    start_over: Callable[[], Awaitable[None]]
    failed: Callable[[Exception], None]


async def follow(log: EventLog, follower: Follower) -> None:
    """Keep `follower` at the end of the log until cancelled."""
    pause = _Pause()
    while True:
        try:
            await _follow_once(log, follower, pause)
        except Exception as error:  # noqa: BLE001 - the task's outer edge: it logs, counts and tries again
            follower.failed(error)
            logger.warning(
                "follower_failed", follower=follower.name, error=repr(error), retry_in_s=pause.seconds
            )
        await pause.wait()


async def _follow_once(log: EventLog, follower: Follower, pause: "_Pause") -> None:
    try:
        async with log.subscribe(await follower.position()) as batches:
            await follower.consume(batches, pause.forget)
    except HistoryChanged as change:
        follower.failed(change)
        logger.warning("history_changed", follower=follower.name, error=change.message)
        await follower.start_over()


class _Pause:
    """A wait that doubles up to its maximum until things go well again."""

    def __init__(self) -> None:
        self.seconds = BACKOFF_S_MIN

    def forget(self) -> None:
        self.seconds = BACKOFF_S_MIN

    async def wait(self) -> None:
        await anyio.sleep(self.seconds)
        self.seconds = min(self.seconds * 2, BACKOFF_S_MAX)
