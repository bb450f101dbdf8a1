"""`chronicle events accept-loss`: the way out where acknowledged events are lost and no backup has them.

The program refuses to append to a log that ends before what was acknowledged, and says which position is missing. Who
names that position here accepts that it is gone; the acceptance is kept with the log for good.
"""

from typing import Annotated

import typer

from api.cli.output import JsonOption, Output, run
from domain.recorded import Position
from infra.settings import Settings


def accept_loss(
    position: Annotated[str, typer.Argument(help="The missing position, as the refusal names it")],
    *,
    json: JsonOption = False,
) -> None:
    """Give up the events that the log lost, up to POSITION, so that the program starts again without them."""
    output = Output(json=json)

    async def action() -> int:
        from infra.bootstrap import open_log_tools  # noqa: PLC0415 - other commands start faster without it

        async with open_log_tools(Settings.load()) as tools:
            kept = await tools.accept_loss(Position.parse(position))
        output.line(f"What followed {kept} up to {position} is given up; the log goes on after {kept}.")
        output.record({"kept": str(kept), "lost": position})
        return 0

    run(output, action)
