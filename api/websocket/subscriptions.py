"""The subscriptions of one connection: each follows the log on its own, in order, and knows what was delivered."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup

from api.websocket.messages import Subscribe
from api.websocket.outbox import Outbox
from commands.audit import CaughtUp
from commands.event_view import event_view
from domain.errors import Conflict, HistoryChanged, LimitExceeded
from domain.recorded import Position, RecordedEvent

EventStream: TypeAlias = AsyncGenerator[RecordedEvent | CaughtUp, None]


@dataclass(slots=True)
class Subscription:
    """One subscription. `delivered` is the last position that the client was sent, or began after."""

    request: Subscribe
    delivered: Position | None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    def sent(self, position: Position) -> Callable[[], None]:
        """What the outbox calls when the message with this position is sent."""

        def note() -> None:
            self.delivered = position

        return note


class Subscriptions:
    """All subscriptions of a connection; at most `count_max` at a time."""

    def __init__(
        self,
        tasks: TaskGroup,
        outbox: Outbox,
        open_stream: Callable[[Subscribe], Awaitable[EventStream]],
        count_max: int,
    ) -> None:
        self._tasks = tasks
        self._outbox = outbox
        self._open_stream = open_stream
        self._count_max = count_max
        self._open: dict[str, Subscription] = {}

    def begin(self, request: Subscribe, guard: Callable[[str, Awaitable[None]], Awaitable[None]]) -> None:
        """Start to follow; `guard` runs it and tells the client of what goes wrong.

        Raises InvalidInput, Conflict for an id that is in use, and LimitExceeded.
        """
        if request.id in self._open:
            raise Conflict(
                f"There is a subscription '{request.id}' already. Unsubscribe it, or use another id."
            )
        if len(self._open) >= self._count_max:
            raise LimitExceeded(f"A connection has at most {self._count_max} subscriptions.")
        subscription = Subscription(request, request.position)
        self._open[request.id] = subscription
        self._tasks.start_soon(self._run, subscription, guard, name=f"subscription {request.id}")

    async def end(self, id_: str) -> None:
        """Stop following, and say so behind the last event. An id that is not in use is answered the same."""
        subscription = self._open.pop(id_, None)
        if subscription is not None:
            subscription.scope.cancel()
        await self._outbox.put({"type": "unsubscribed", "id": id_})

    def resume_after(self) -> Position | None:
        """Where a client that was cut off goes on without a loss in any subscription; None if it saw no position."""
        return min(
            (open_.delivered for open_ in self._open.values() if open_.delivered is not None), default=None
        )

    async def _run(
        self, subscription: Subscription, guard: Callable[[str, Awaitable[None]], Awaitable[None]]
    ) -> None:
        id_ = subscription.request.id
        with subscription.scope:
            await guard(id_, self._follow(subscription))
        # Another subscription may have taken the id since this one was ended.
        if self._open.get(id_) is subscription:
            del self._open[id_]

    async def _follow(self, subscription: Subscription) -> None:
        id_ = subscription.request.id
        try:
            async with aclosing(await self._open_stream(subscription.request)) as stream:
                await self._outbox.put({"type": "subscribed", "id": id_})
                async for item in stream:
                    if isinstance(item, CaughtUp):
                        await self._outbox.put(
                            {"type": "caught_up", "id": id_, "position": str(item.position)},
                            subscription.sent(item.position),
                        )
                    else:
                        await self._outbox.put(
                            {"type": "event", "id": id_, "event": event_view(item)},
                            subscription.sent(item.position),
                        )
        except HistoryChanged as error:
            await self._outbox.put({"type": "gap", "id": id_, "message": error.message})
