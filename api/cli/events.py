"""`chronicle events tail`: the running program's log, as it grows."""

import difflib
from typing import Annotated, Any

import orjson
import typer

from api.cli.output import JsonOption, Output, run
from domain.errors import ChronicleError, Unavailable
from infra.api_client import ServerFailed, open_api
from infra.settings import Settings

STREAM_PATH = "/v1/events/stream"
BEFORE_THE_FIRST = "0-0"
_TYPE_PREFIX = "io.mcp-chronicle."


class StreamEnded(ChronicleError):
    """The server said why it cannot go on, for instance that the log is not the one that was read before."""

    code = "stream_ended"


def tail(
    *,
    after: Annotated[str | None, typer.Option(help="Go on after this position")] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the first event")] = False,
    follow: Annotated[bool, typer.Option(help="Wait for further events, or end at the newest one")] = True,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only events of this name, such as tool.revised; repeatable"),
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="Only events of this namespace")] = None,
    json: JsonOption = False,
) -> None:
    """Print events as they happen; with --json each as a CloudEvent on a line of its own."""
    if from_start and after is not None:
        raise typer.BadParameter("give either --after or --from-start")
    if not (follow or from_start or after is not None):
        from_start = True  # without waiting, "from now on" would never be anything
    output = Output(json=json)
    start = BEFORE_THE_FIRST if from_start else after
    conditions = [("after", start), ("namespace", namespace), *(("types", name) for name in types or [])]
    params = [(name, value) for name, value in conditions if value is not None]
    if not follow:
        params.append(("follow", "false"))

    async def action() -> int:
        _warn_of_unknown(output, types or [])
        async with open_api(Settings.load()) as api:
            async for line in api.lines(STREAM_PATH, params):
                if line.strip():
                    _print(output, line)
        if follow:
            raise Unavailable("The server ended the stream. Go on with --after and the last position.")
        return 0

    run(output, action)


def _warn_of_unknown(output: Output, types: list[str]) -> None:
    if not types:
        return
    known = stored_names()
    for name in types:
        if name not in known:
            [nearest] = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            output.note(f"Warning: this release knows no event '{name}'. The nearest is '{nearest}'.")


def stored_names() -> list[str]:
    """The name of every event that this release stores, in order."""
    from domain.namespace import Namespace  # noqa: PLC0415 - only this needs the aggregates, and they load slowly
    from domain.prompt import Prompt  # noqa: PLC0415 - as above
    from domain.resource import Resource  # noqa: PLC0415 - as above
    from domain.tool import Tool  # noqa: PLC0415 - as above

    aggregates = (Tool, Resource, Prompt, Namespace)
    # The eventsourcing library stores an event under its class's TOPIC.
    topics = [
        vars(member).get("TOPIC")
        for aggregate in aggregates
        for member in vars(aggregate).values()
        if isinstance(member, type)
    ]
    return sorted(topic for topic in topics if isinstance(topic, str))


def _print(output: Output, line: str) -> None:
    try:
        message = orjson.loads(line)
        match message["type"]:
            case "event":
                output.record(message["event"])
                output.line(_for_people(message["event"]))
            case "gap" | "error":
                raise StreamEnded(str(message["problem"]["detail"]))
            case _:
                pass  # a sign of life, or that the stream has caught up
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerFailed(f"The server sent what is no event: {line[:200]!r}.") from error


def _for_people(event: dict[str, Any]) -> str:
    data = event.get("data") or {}
    name = event["type"].removeprefix(_TYPE_PREFIX).rpartition(".v")[0]
    what = data.get("key") or data.get("name") or event.get("subject", "")
    by = f"{event.get('actor', '')}{': ' if event.get('reason') else ''}{event.get('reason', '')}"
    position, time = event.get("sequence", ""), str(event.get("time", ""))[:19]
    return f"{position:<12} {time}  {name:<24} {event.get('namespace', '')}/{what}  ({by})"
