"""The command line, `chronicle`: one file for each command. It decides nothing; it calls, waits and prints."""

from typing import Annotated

import typer

from api.cli.import_ import import_
from api.cli.serve import serve


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
    program = typer.Typer(
        name="chronicle",
        callback=_options,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    program.command()(serve)
    program.command("import")(import_)
    program(prog_name="chronicle")
