"""`chronicle import`: a catalogue file through the running program's commands, one apply request for each row.

Every row ends as registered, revised, skipped (so already) or rejected with its line and reason. Rows of other imports
are not touched, and the same file again changes nothing.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import orjson
import typer

from api.cli.catalogue_rows import ApplyRequest, Line, Repeats, RowKind, RowReader, RowRejected, read_lines
from api.cli.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    Advance,
    JsonOption,
    Output,
    exit_status,
    expected,
    run,
)
from commands.message_manager import validate
from domain.commands import Apply, ApplyPrompt, ApplyResource, ApplyTool
from domain.entry import DefinitionKind
from domain.errors import ChronicleError, Conflict, InvalidInput
from domain.identity import NAMESPACE_PATTERN
from domain.namespace import DEFAULT_NAMESPACE
from infra.api_client import ApiClient, ServerFailed, open_api
from infra.settings import Settings

CONCURRENCY_MAX = 256
REJECTIONS_LISTED_MAX = 1000
"""In the JSON result; each one is a line on standard error as well."""

_COMMANDS: dict[DefinitionKind, type[Apply]] = {
    "tool": ApplyTool,
    "resource": ApplyResource,
    "prompt": ApplyPrompt,
}


@dataclass(slots=True)
class Tally:
    """What became of the rows so far."""

    registered: int = 0
    revised: int = 0
    skipped: int = 0
    rejected: int = 0
    fit: int = 0
    rejections: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """All rows that have an outcome."""
        return self.registered + self.revised + self.skipped + self.rejected + self.fit

    def count(self, event: str | None) -> None:
        """Count an answer by the stored name of the event that it appended."""
        match event:
            case None:
                self.skipped += 1
            case str() if event.endswith(".registered"):
                self.registered += 1
            case _:
                self.revised += 1

    def reject(self, line: Line, reason: str) -> None:
        """Count a rejection, and keep it if there is room."""
        self.rejected += 1
        if len(self.rejections) < REJECTIONS_LISTED_MAX:
            self.rejections.append({"file": str(line.file), "line": line.number, "reason": reason})

    def result(self) -> dict[str, Any]:
        """The counts as the JSON result."""
        names = ("rows", "registered", "revised", "skipped", "rejected")
        return {name: getattr(self, name) for name in names}


def import_(
    files: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, help="JSON Lines files")
    ],
    *,
    namespace: Annotated[str, typer.Option(help="Namespace to import into")] = DEFAULT_NAMESPACE,
    kind: Annotated[RowKind, typer.Option(help="What the rows are; auto looks at their fields")] = "auto",
    concurrency: Annotated[
        int, typer.Option(min=1, max=CONCURRENCY_MAX, help="Requests at the same time")
    ] = 32,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the rows here, send nothing")] = False,
    json: JsonOption = False,
) -> None:
    """Import tools, resources and prompts from JSON Lines files into the running program."""
    if not re.fullmatch(NAMESPACE_PATTERN, namespace):
        raise typer.BadParameter(
            f"'{namespace}' is no namespace: use 1 to 63 of a-z, 0-9 and -", param_hint="--namespace"
        )
    output = Output(json=json)
    job = _Import(output, files, namespace, kind)

    async def action() -> int:
        return await job.run(concurrency, dry_run=dry_run)

    run(output, action)


class _Import:
    def __init__(self, output: Output, files: list[Path], namespace: str, kind: RowKind) -> None:
        self._output = output
        self._files = files
        self._namespace = namespace
        self._reader = RowReader(kind)
        self._repeats = Repeats()
        self._tally = Tally()

    async def run(self, concurrency: int, *, dry_run: bool) -> int:
        started = perf_counter()
        self._reader.survey(read_lines(self._files))
        error: ChronicleError | None = None
        interrupted = False
        try:
            with self._output.progress("importing", self._reader.lines) as advance:
                if dry_run:
                    self._check(advance)
                else:
                    await self._send(concurrency, advance)
        except asyncio.CancelledError:
            interrupted = True
        except (ChronicleError, BaseExceptionGroup) as raised:
            error = expected(raised)
            if error is None:
                raise
        return self._report(perf_counter() - started, error, interrupted=interrupted, dry_run=dry_run)

    def _requests(self) -> Iterator[tuple[Line, ApplyRequest]]:
        """The rows that are to be sent; the others are counted here."""
        for line in read_lines(self._files):
            try:
                request = self._reader.read(line)
                repeat = self._repeats.is_repeat(line, request)
            except RowRejected as rejection:
                self._reject(line, str(rejection))
            else:
                if repeat:
                    self._tally.skipped += 1
                else:
                    yield line, request

    async def _send(self, concurrency: int, advance: Advance) -> None:
        requests = self._requests()
        async with open_api(Settings.load(), connections=concurrency) as api:
            # One question first: a server that is not there should be said once and at once.
            await api.get("/v1/tools", {"namespace": self._namespace, "limit": "1"})
            async with asyncio.TaskGroup() as tasks:
                for _ in range(concurrency):
                    tasks.create_task(self._work(api, requests, advance))

    async def _work(
        self, api: ApiClient, requests: Iterator[tuple[Line, ApplyRequest]], advance: Advance
    ) -> None:
        for line, request in requests:
            try:
                answer = await api.put(f"/v1/{request.kind}s", orjson.dumps(request.body(self._namespace)))
            except (InvalidInput, Conflict) as refusal:
                self._reject(line, refusal.message)
            else:
                self._tally.count(_event(answer))
            advance(self._tally.rows)

    def _check(self, advance: Advance) -> None:
        for line, request in self._requests():
            try:
                validate(_COMMANDS[request.kind], request.body(self._namespace)).definition.content()
            except InvalidInput as refusal:
                faults = "; ".join(f"{fault.pointer}: {fault.message}" for fault in refusal.faults)
                self._reject(line, f"{refusal.message} {faults}".strip())
            else:
                self._tally.fit += 1
            advance(self._tally.rows)

    def _reject(self, line: Line, reason: str) -> None:
        self._tally.reject(line, reason)
        self._output.note(f"{line.file}:{line.number}: {reason}")

    def _report(
        self, seconds: float, error: ChronicleError | None, *, interrupted: bool, dry_run: bool
    ) -> int:
        tally, result = self._tally, self._tally.result()
        words = ", ".join(f"{count} {name}" for name, count in result.items())
        if dry_run:
            words = f"dry run: {words}, {tally.fit} fit"
        incomplete = interrupted or error is not None
        left = f", {self._reader.lines - tally.rows} not done" if incomplete else ""
        self._output.line(f"{words}{left} in {seconds:.1f} s")
        result |= {"seconds": round(seconds, 2), "rejections": tally.rejections}
        if error is not None:
            self._output.note(f"chronicle: {error.message}")
            result["error"] = {"code": error.code, "message": error.message}
        if interrupted:
            result["interrupted"] = True
        if dry_run:
            result["fit"] = tally.fit
        self._output.record(result)
        if interrupted:
            return EXIT_INTERRUPTED
        if error is not None:
            return exit_status(error)
        return EXIT_FAILED if tally.rows and tally.rejected == tally.rows else 0


def _event(answer: Any) -> str | None:
    if not isinstance(answer, dict) or "event" not in answer:
        raise ServerFailed("The server's answer does not say what it did: it is of another version.")
    event = answer["event"]
    return str(event) if event is not None else None
