"""How far something has read the log, and a bounded wait for it: what read-your-writes rests on, in one process."""

import anyio

from domain.errors import DeadlineExceeded
from domain.recorded import START, Position


class Progress:
    """The position that a reader of the log has applied, and those who wait for a later one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._position = START
        self._moved = anyio.Event()

    @property
    def position(self) -> Position:
        """The position up to which every event is applied."""
        return self._position

    def move_to(self, position: Position) -> None:
        """Announce a position; an earlier one than before after a rebuild."""
        self._position = position
        self._moved.set()
        self._moved = anyio.Event()

    async def wait_for(self, position: Position, timeout_s: float) -> None:
        """Return when `position` is applied. Raises DeadlineExceeded after `timeout_s`."""
        with anyio.move_on_after(timeout_s):
            while self._position < position:
                await self._moved.wait()
        if self._position < position:
            raise DeadlineExceeded(
                f"The {self._name} is at position {self._position} and did not reach {position} "
                f"within {timeout_s:g} s. Ask again, or without min_position."
            )
