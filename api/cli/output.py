"""What commands print and how they end: results on standard output, everything else on standard error.

With `--json` standard output holds JSON alone, one object for each line, and the last line is the result or
`{"error": …}`. What the exit statuses mean is in the help of the program (`api/cli/__init__.py`).
"""

import asyncio
import os
import sys
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, Protocol, TypeAlias

import orjson
import typer

from domain.errors import ChronicleError, Conflict, NotFound, Unavailable
from infra.logs import redact

EXIT_FAILED, EXIT_NOT_FOUND, EXIT_CONFLICT, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 1, 3, 4, 5, 130

PROGRESS_LINE_EVERY_S = 5.0
"""Between two plain progress lines, where there is no terminal for a bar."""

JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON; the last line is the result.")
]


class Advance(Protocol):
    """Moves a progress display: `done` of its total, and a word about it."""

    def __call__(self, done: int, note: str = "") -> None: ...


class Output:
    """Where a command prints."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def line(self, text: str) -> None:
        """A line for people; nothing with `--json`."""
        if not self.json:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def record(self, value: Any) -> None:
        """A JSON object on a line of its own; nothing without `--json`."""
        if self.json:
            sys.stdout.write(orjson.dumps(value, default=str).decode() + "\n")
            sys.stdout.flush()

    def note(self, text: str) -> None:
        """A line beside the result, on standard error."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Advance]:
        """A progress bar on a terminal, a plain line now and then elsewhere. Both are on standard error."""
        if not sys.stderr.isatty():
            yield _PlainProgress(self, what, total)
            return
        from rich.console import Console  # noqa: PLC0415 - only a terminal needs rich, and it loads slowly
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415 - as above

        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)

            def advance(done: int, note: str = "") -> None:
                bar.update(task, completed=done, description=f"{what} {note}".rstrip())

            yield advance


class _PlainProgress:
    def __init__(self, output: Output, what: str, total: int | None) -> None:
        self._output, self._what, self._total = output, what, total
        self._due = _now() + PROGRESS_LINE_EVERY_S

    def __call__(self, done: int, note: str = "") -> None:
        if _now() >= self._due:
            self._due = _now() + PROGRESS_LINE_EVERY_S
            of = f" of {self._total}" if self._total is not None else ""
            self._output.note(f"{self._what}: {done}{of}{f'  {note}' if note else ''}")


def run(output: Output, action: Callable[[], Awaitable[int]], data_dir: Path | None = None) -> NoReturn:
    """Run a command to its end and leave with the exit status that it returns, or that its error stands for."""
    raise typer.Exit(_status(output, action, data_dir))


def _status(output: Output, action: Callable[[], Awaitable[int]], data_dir: Path | None) -> int:
    try:
        with asyncio.Runner() as runner:
            return runner.run(_awaited(action))
    except KeyboardInterrupt:
        output.note("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough. What is still buffered must not raise again at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the program's outer edge: one sentence for the user, the rest in a file
        return fail(output, error, data_dir)


async def _awaited(action: Callable[[], Awaitable[int]]) -> int:
    return await action()


def fail(output: Output, error: BaseException, data_dir: Path | None = None) -> int:
    """Say in one sentence what went wrong and return the exit status."""
    known = expected(error)
    if known is None:
        path = _written(error, data_dir)
        code = "internal_error"
        message = f"Something went wrong that should not ({type(error).__name__}). The details are in {path}."
    else:
        code, message = known.code, known.message
    output.note(f"chronicle: {message}")
    output.record({"error": {"code": code, "message": message}})
    return exit_status(known)


def expected(error: BaseException) -> ChronicleError | None:
    """The error that is meant for people: itself, or the first one in a group that task groups made."""
    if isinstance(error, ChronicleError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [expected(inner) for inner in error.exceptions]
        return found[0] if found and all(found) else None
    return None


def exit_status(error: ChronicleError | None) -> int:
    """The exit status that an error stands for."""
    match error:
        case NotFound():
            return EXIT_NOT_FOUND
        case Conflict():
            return EXIT_CONFLICT
        case Unavailable():
            return EXIT_UNREACHABLE
        case _:
            return EXIT_FAILED


def _written(error: BaseException, data_dir: Path | None) -> Path:
    """Write the traceback, without credentials, where the user can find it."""
    folder = (
        data_dir
        if data_dir is not None and data_dir.is_dir()
        else Path(tempfile.mkdtemp(prefix="chronicle-"))
    )
    path = folder / "error.log"
    text = "".join(traceback.format_exception(error))
    path.write_text(f"{redact(None, '', {'event': text})['event']}\n", encoding="utf-8")
    return path


def _now() -> float:
    return asyncio.get_running_loop().time()
