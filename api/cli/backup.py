"""`chronicle backup`, `restore` and `events export`: the whole log into a directory or a file, and back.

A running program may go on while the log is copied. A restore needs a log without a single event: stop the program, and
let it find another data directory or server.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.output import Advance, JsonOption, Output, run
from infra.settings import Settings


def backup(
    directory: Annotated[Path, typer.Argument(help="An empty directory, or one that is not there yet")],
    *,
    json: JsonOption = False,
) -> None:
    """Copy every event into DIRECTORY as checked, compressed segments."""
    output = Output(json=json)

    async def action() -> int:
        from infra.bootstrap import open_log_tools  # noqa: PLC0415 - other commands start faster without it

        async with open_log_tools(Settings.load()) as tools:
            with output.progress("backing up", None) as advance:
                _print(output, "backed up", await tools.backup(directory, _report(advance)))
        return 0

    run(output, action)


def export(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet")], *, json: JsonOption = False
) -> None:
    """Write every event into FILE as lines of JSON, from which `chronicle restore --ndjson` makes the same log."""
    output = Output(json=json)

    async def action() -> int:
        from infra.bootstrap import open_log_tools  # noqa: PLC0415 - as above

        async with open_log_tools(Settings.load()) as tools:
            with output.progress("exporting", None) as advance:
                _print(output, "exported", await tools.export(file, _report(advance)))
        return 0

    run(output, action)


def restore(
    source: Annotated[Path, typer.Argument(help="A backup's directory, or with --ndjson an exported file")],
    *,
    ndjson: Annotated[
        bool, typer.Option("--ndjson", help="SOURCE is a file that `events export` made")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fill an empty log from SOURCE: the same events at the same positions, recorded at the same times."""
    output = Output(json=json)

    async def action() -> int:
        from infra.bootstrap import open_log_tools  # noqa: PLC0415 - as above

        async with open_log_tools(Settings.load()) as tools:
            with output.progress("restoring", None) as advance:
                restored = await tools.restore(source, _report(advance), ndjson=ndjson)
        _print(output, "restored", restored)
        return 0

    run(output, action)


def _report(advance: Advance) -> Any:
    return lambda done, total: advance(done, f"of {total}")


def _print(output: Output, what: str, done: Any) -> None:
    output.line(
        f"{what} {done.events} events up to position {done.position} (content hash {done.content_hash})"
    )
    output.record({"events": done.events, "position": str(done.position), "content_hash": done.content_hash})
