"""The command line, `chronicle`: one file for each command. It decides nothing; it calls, waits and prints."""

import sys
from typing import Annotated

import typer

EXIT_STATUSES = (
    "Exit status: 0 done, 1 it could not be done, 2 wrong usage, 3 not found, 4 conflict, 5 a server does not answer, "
    "130 interrupted."
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - loads slowly, and only this needs it

        typer.echo(f"chronicle {version('mcp-chronicle')}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """MCP Chronicle: the event-sourced backend for MCP tools, resources and prompts."""


def main() -> None:
    """Run the command that the arguments name; ends the process with its exit status (see `api/cli/output.py`)."""
    from api.cli.accept_loss import accept_loss  # noqa: PLC0415 - nothing is loaded when somebody only imports this
    from api.cli.archive import archive  # noqa: PLC0415 - as above
    from api.cli.backup import backup, export, restore  # noqa: PLC0415 - as above
    from api.cli.doctor import doctor  # noqa: PLC0415 - as above
    from api.cli.events import tail  # noqa: PLC0415 - as above
    from api.cli.import_ import import_  # noqa: PLC0415 - as above
    from api.cli.replay import replay  # noqa: PLC0415 - as above
    from api.cli.serve import serve  # noqa: PLC0415 - as above
    from api.cli.verify import verify  # noqa: PLC0415 - as above

    settings = {"help_option_names": ["-h", "--help"]}
    program = typer.Typer(
        callback=_options,
        epilog=EXIT_STATUSES,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=settings,
    )
    events = typer.Typer(help="The log of events.", no_args_is_help=True, context_settings=settings)
    program.command()(serve)
    program.command("import")(import_)
    program.add_typer(events, name="events")
    events.command()(tail)
    events.command()(verify)
    events.command("accept-loss")(accept_loss)
    program.command()(replay)
    events.command()(export)
    program.command()(archive)
    program.command()(backup)
    program.command()(restore)
    program.command()(doctor)
    sys.exit(program(prog_name="chronicle"))
