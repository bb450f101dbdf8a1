"""How far each read model is: told by this process's projector, or asked of the store that another one fills."""

import asyncio
from collections.abc import Mapping

from domain.errors import DeadlineExceeded
from domain.recorded import START, Position
from projections.ports import DocumentStore
from projections.progress import Progress

POLL_S = 0.05


class ReadModelFreshness:
    """See `commands.ports.Freshness`. `progress` holds the read models that this process fills."""

    def __init__(self, stores: Mapping[str, DocumentStore], progress: Mapping[str, Progress]) -> None:
        self._stores = stores
        self._progress = progress

    async def wait_for(self, read_model: str, position: Position, timeout_s: float) -> None:
        """Return when the read model has applied the position. Raises DeadlineExceeded after `timeout_s`."""
        if read_model in self._progress:
            await self._progress[read_model].wait_for(position, timeout_s)
            return
        reached = START
        try:
            async with asyncio.timeout(timeout_s):
                # Another process writes the store, so there is nothing to be woken by.
                while (reached := await self._stores[read_model].checkpoint()) < position:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"The {read_model} is at position {reached} and did not reach {position} "
                f"within {timeout_s:g} s. Ask again, or without min_position."
            ) from error
