"""`chronicle archive`: seals closed ranges of the log as segments on disk, and with `--trim` takes them out of memory.

A running program may go on: its reads find in the archive what the log no longer has.
"""

from typing import Annotated

import typer

from api.cli.output import JsonOption, Output, run
from infra.settings import Settings


def archive(
    *,
    trim: Annotated[
        bool,
        typer.Option(
            "--trim", help="Then remove from the log what is archived and applied by every read model"
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Seal every full segment of the log in the data directory's archive."""
    output = Output(json=json)

    async def action() -> int:
        from infra.bootstrap import open_log_tools  # noqa: PLC0415 - other commands start faster without it

        async with open_log_tools(Settings.load(), read_models=trim) as tools:
            with output.progress("archiving", None) as advance:
                sealed = await tools.seal(lambda done, total: advance(done, f"of {total}"))
            trimmed = await tools.trim() if trim else sealed
        removed = trimmed.done if trim else 0
        output.line(f"{sealed.done} segments sealed; the archive ends at {sealed.archived}")
        if trim:
            output.line(f"{removed} events trimmed; the log begins after {trimmed.trimmed}")
        output.record(
            {
                "sealed": sealed.done,
                "archived": sealed.archived,
                "removed": removed,
                "trimmed": trimmed.trimmed,
            }
        )
        return 0

    run(output, action)
