"""What a server must be before anything is appended to it: checked on every new connection that will append.

A server that could lose acknowledged events, whose functions are not ours, or whose log is not whole is refused with an
error that says which setting has which value and what it should be. Nothing is ever configured on a server that the
operator owns.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from redis.exceptions import ResponseError

from domain.errors import Unavailable
from domain.recorded import START, Position
from infra.redis import calls
from infra.redis.client import Caller, refusal
from infra.redis.record import content_hash


class Durability(StrEnum):
    """What the operator asks of the server's settings (`CHRONICLE_DURABILITY`)."""

    ALWAYS = "always"
    EVERYSEC = "everysec"
    UNVERIFIED = "unverified"


class UnsafeServer(Unavailable):
    """Appending to this server could lose events, or its log lost some already. The message says what to change."""

    code = "unsafe_server"


@dataclass(frozen=True, slots=True)
class ServerRun:
    """A server run that passed the checks: its identity, and the log as it was found."""

    run_id: str
    epoch: int
    head: Position
    loss_accepted: bool = False
    """The log ends before the watermark, and the operator accepted that."""


async def open_run(
    wire: Caller,
    keys: calls.Keys,
    durability: Durability,
    acknowledged: Position,
    log_id: UUID,
    acknowledged_hash: str = "",
) -> ServerRun:
    """Check the server behind `wire` and open its log for appending.

    `acknowledged` is the last position that this deployment knows to have been acknowledged, and `acknowledged_hash`
    the content hash of its event, if that is known. `log_id` names the log if it is new.
    Raises UnsafeServer, ServerRefused or Unavailable.
    """
    try:
        await _check_settings(wire, durability)
        await ensure_library(wire, calls.library())
        await _check_restored(wire, keys)
        run_id = await _run_id(wire)
        epoch, sequence, entry_epoch = await wire.call(*calls.open_run(keys, run_id, log_id))
        head = Position(sequence, entry_epoch) if sequence else START
        accepted = await _check_acknowledged(wire, keys, acknowledged, acknowledged_hash, head)
    except ResponseError as error:
        raise _damage(error) or refusal(error) from error
    return ServerRun(run_id, epoch, head, accepted)


async def _check_settings(wire: Caller, durability: Durability) -> None:
    if durability is Durability.UNVERIFIED:
        return
    fsync = {"always"} if durability is Durability.ALWAYS else {"always", "everysec"}
    wanted = {"appendonly": {"yes"}, "appendfsync": fsync, "maxmemory-policy": {"noeviction"}}
    wrong = []
    for setting, values in wanted.items():
        value = await _setting(wire, setting)
        if value not in values:
            wrong.append(f"{setting} is '{value}' and must be '{min(values)}'")
    if wrong:
        advice = "Change the server's settings"
        if durability is Durability.ALWAYS:
            advice += ", or accept the loss of about a second of events with CHRONICLE_DURABILITY=everysec"
        raise UnsafeServer(f"This server would lose events: {'; '.join(wrong)}. {advice}.")


async def _setting(wire: Caller, setting: str) -> str:
    try:
        reply = await wire.call("CONFIG", "GET", setting)
    except ResponseError as error:
        message = (
            f"The server does not tell its setting '{setting}' ({error}). If it is a managed server whose durability "
            "you have checked yourself, set CHRONICLE_DURABILITY=unverified."
        )
        raise UnsafeServer(message) from error
    return reply[1].decode() if reply else "unknown"


async def ensure_library(wire: Caller, library: calls.Library) -> None:
    """Load a function library unless the server has it. Raises UnsafeServer if it has another one of that name."""
    for _ in range(2):
        for found in await wire.call("FUNCTION", "LIST", "LIBRARYNAME", library.name, "WITHCODE"):
            values = dict(zip(found[::2], found[1::2], strict=True))
            if values[b"library_code"].decode() != library.code:
                message = (
                    f"The function library '{library.name}' on the server is not the one of that name. Remove it with "
                    f"FUNCTION DELETE {library.name}; it is loaded again at the next start."
                )
                raise UnsafeServer(message)
            return
        try:
            await wire.call("FUNCTION", "LOAD", library.code)
        except ResponseError as error:
            # Another program loaded it between the two calls: look at it once more.
            if "already exists" not in str(error):
                raise


async def _check_restored(wire: Caller, keys: calls.Keys) -> None:
    if await wire.call("HGET", keys.meta, "restoring"):
        message = (
            "A restore into this log was begun and not finished. Run the same `chronicle restore` again: it goes on "
            "where it ended."
        )
        raise UnsafeServer(message)


async def _run_id(wire: Caller) -> str:
    info = (await wire.call("INFO", "server")).decode()
    for line in info.splitlines():
        name, _, value = line.partition(":")
        if name == "run_id":
            return str(value)
    raise UnsafeServer(
        "The server does not tell its run_id (INFO server), without which a lost history goes unseen."
    )


async def _check_acknowledged(
    wire: Caller, keys: calls.Keys, wanted: Position, hash_wanted: str, head: Position
) -> bool:
    """Whether the watermark is lost and the operator accepted it. Raises UnsafeServer if it is lost and nobody did."""
    if wanted == START or await _is_trimmed(wire, keys, wanted):
        return False
    reply = await wire.call("XRANGE", keys.log, wanted.sequence, wanted.sequence)
    found = calls.position_of(reply[0][0]) if reply else None
    if found == wanted:
        if hash_wanted in {"", content_hash(reply[0][1][1])}:
            return False
        message = f"Position {wanted} holds another event than the one that was acknowledged there. Restore the log."
        raise UnsafeServer(message)
    if await _is_accepted(wire, keys, wanted):
        return True
    there = "is missing" if found is None else f"is now {found}"
    message = (
        f"The server came back without events that were acknowledged: position {wanted} {there}, and its log ends at "
        f"{head}. Nothing is appended to it. Restore the log from a backup (`chronicle restore`). If there is none, "
        f"accept the loss for good: `chronicle events accept-loss {wanted}`."
    )
    raise UnsafeServer(message)


async def _is_trimmed(wire: Caller, keys: calls.Keys, position: Position) -> bool:
    # What was trimmed lies in the archive, and the log's last entry is always kept: so nothing behind it is lost.
    return position.sequence <= int(await wire.call("HGET", keys.meta, "trimmed") or 0)


async def _is_accepted(wire: Caller, keys: calls.Keys, lost: Position) -> bool:
    meta = await wire.call("HGETALL", keys.meta)
    return calls.loss_is_accepted(dict(zip(meta[::2], meta[1::2], strict=True)), lost)


def _damage(error: ResponseError) -> UnsafeServer | None:
    text = str(error)
    if text.startswith(("CHRONICLE_GAP", "CHRONICLE_LOST")):
        problem = text.partition(" ")[2]
        return UnsafeServer(f"The log is damaged: {problem}. Restore it from a backup or from the archive.")
    return None
