"""The log as the bytes that are stored, for whoever verifies, copies or restores it, on any server that answers.

Unlike the store it opens no run, loads no function and refuses no damage, so it also reads what the store refuses to
append to. It never repairs anything.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from redis.exceptions import RedisError, ResponseError

from domain.errors import InvalidInput, Unavailable
from domain.recorded import START, Position
from infra.redis import calls
from infra.redis.archive_calls import archive_library
from infra.redis.checks import ensure_library
from infra.redis.client import Wire, read_call, reading_client, refusal

PAGE_EVENTS = 500
LISTS_PER_CALL = 500
"""How many entries, and how many parts of index lists or keys of version 0, one round trip asks for."""


@dataclass(frozen=True, slots=True)
class LogState:
    """What the server says of its log, in one instant.

    Segments hold everything up to the sequence `archived`; up to `trimmed` they alone do.
    """

    head: int
    epoch: int
    trimmed: int
    archived: int
    archived_digest: str
    log_id: str
    last: Position


class RawLog:
    """One deployment's log on a server. Use it as an async context manager. Every call raises Unavailable."""

    def __init__(self, url: str, deployment: str) -> None:
        self._url = url
        self.keys = calls.Keys(deployment)
        self._client = reading_client(url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def state(self) -> LogState:
        """Head, epoch and last entry of the same instant."""
        keys = self.keys
        head, epoch, meta, tail = await self._at_once(
            [
                ("GET", keys.head),
                ("GET", keys.epoch),
                ("HMGET", keys.meta, "trimmed", "archived", "archived_digest", "log_id"),
                calls.read_backwards(keys, None, 1),
            ],
            transaction=True,
        )
        last = calls.position_of(tail[0][0]) if tail else START
        trimmed, archived, digest, log_id = (value or b"" for value in meta)
        return LogState(
            head=int(head or 0),
            epoch=int(epoch or 0),
            trimmed=int(trimmed or 0),
            archived=int(archived or 0),
            archived_digest=digest.decode(),
            log_id=log_id.decode(),
            last=last,
        )

    async def page(self, after: int, until: int, limit: int = PAGE_EVENTS) -> list[Sequence[Any]]:
        """Entries as they are stored, above one sequence and up to another."""
        call = ("XRANGE", self.keys.log, after + 1, until, "COUNT", limit)
        return list(await read_call(self._client, *call))

    async def index_lists(self, parts: Sequence[tuple[UUID, int, int]]) -> list[list[int]]:
        """Parts of index lists: for each aggregate the sequences from one version (1 or later) up to another."""
        lists: list[list[int]] = []
        for start in range(0, len(parts), LISTS_PER_CALL):
            some = parts[start : start + LISTS_PER_CALL]
            asked = [("LRANGE", self.keys.index(id_), first - 1, last - 1) for id_, first, last in some]
            lists += [[int(each) for each in reply] for reply in await self._at_once(asked)]
        return lists

    async def zeros(self, aggregate_ids: Sequence[UUID]) -> list[int | None]:
        """The sequence of each aggregate's version 0, None where there is none."""
        found: list[int | None] = []
        for start in range(0, len(aggregate_ids), LISTS_PER_CALL):
            asked = [("GET", self.keys.zero(each)) for each in aggregate_ids[start : start + LISTS_PER_CALL]]
            found += [None if reply is None else int(reply) for reply in await self._at_once(asked)]
        return found

    def indexed(self) -> AsyncIterator[Sequence[UUID]]:
        """The ids of all aggregates that have an index list, in no order, some of them perhaps twice."""
        return self._named(self.keys.index_prefix)

    def begun_at_zero(self) -> AsyncIterator[Sequence[UUID]]:
        """The ids of all aggregates that have a key of version 0, in no order, some of them perhaps twice."""
        return self._named(self.keys.zero_prefix)

    async def last_of_epoch(self, position: Position) -> Position:
        """The last entry before a position that its own run of the server, or an earlier one, wrote."""
        before = position.sequence - 1
        while before > 0:
            call = ("XREVRANGE", self.keys.log, before, "-", "COUNT", PAGE_EVENTS)
            found = [calls.position_of(item[0]) for item in await read_call(self._client, *call)]
            if not found:
                break
            for each in found:
                if each.epoch <= position.epoch:
                    return each
            before = found[-1].sequence - 1
        return START

    async def entry(self, sequence: int) -> Sequence[Any] | None:
        """The stored entry of a sequence number, None if there is none."""
        page = await self.page(sequence - 1, sequence, 1)
        return page[0] if page else None

    async def recorded_segments(self) -> dict[str, str]:
        """The digests of all segments that were recorded, by name."""
        reply = await read_call(self._client, "HGETALL", self.keys.key("segments"))
        return {name.decode(): digest.decode() for name, digest in zip(reply[::2], reply[1::2], strict=True)}

    async def send(self, call: calls.Call) -> None:
        """Send a call that may be sent twice."""
        await read_call(self._client, *call)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Callable[[calls.Call], Awaitable[int]]]:
        """A connection for calls of the archive's functions, none of which is sent twice.

        What it yields raises InvalidInput where a function refused, Unavailable and OutcomeUnknown.
        """
        async with Wire(self._url, name="chronicle-archive") as wire:
            await wire.connect()
            try:
                await ensure_library(wire, archive_library())
            except ResponseError as error:
                raise refusal(error) from error

            async def send(call: calls.Call) -> int:
                try:
                    return int(await wire.call(*call))
                except ResponseError as error:
                    word, _, text = str(error).partition(" ")
                    if word == "CHRONICLE_REFUSED":
                        raise InvalidInput(f"Refused: {text}.") from error
                    raise refusal(error) from error

            yield send

    async def _named(self, prefix: str) -> AsyncIterator[Sequence[UUID]]:
        pattern = re.sub(r"([*?^\[\]\\])", r"\\\1", prefix) + "*"
        cursor: bytes = b"0"
        while True:
            cursor, names = await read_call(
                self._client, "SCAN", cursor, "MATCH", pattern, "COUNT", LISTS_PER_CALL
            )
            yield [UUID(hex=name.decode()[len(prefix) :]) for name in names]
            if cursor == b"0":
                return

    async def _at_once(self, asked: Sequence[calls.Call], *, transaction: bool = False) -> list[Any]:
        try:
            return await self._client.at_once(asked, transaction=transaction)
        except (RedisError, OSError) as error:
            raise Unavailable(f"The event store's server does not answer: {error}. Is it running?") from error
