"""`chronicle replay`: folds the whole log again, and with `--verify` compares every stored document with the result.

The fold starts from nothing and the documents are read back from the stores (`projections/verify.py`), so the two sides
share only the log. A running program may go on meanwhile, and none has to run.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Annotated, Any, Self
from uuid import UUID

import typer

from api.cli.output import EXIT_FAILED, Advance, JsonOption, Output, run
from domain.entry import Entry
from domain.recorded import START
from infra.settings import Settings
from projections.fold import evolve
from projections.ports import DocumentStore, EventLog
from projections.read_models import READ_MODELS
from projections.verify import Difference, Verified, verify

PAGE_EVENTS = 500
DIFFERENCES_LISTED_MAX = 1000
"""In the JSON result; every one is a line for people."""

_PROBLEMS = {
    "missing": "is missing",
    "extra": "is stored, but the log has no such definition",
    "different": "differs at",
}


@dataclass(slots=True)
class Replayed:
    """What the log comes to: its events, and the entries at its end."""

    position: str = str(START)
    events: int = 0
    by_name: Counter[str] = field(default_factory=Counter)
    entries: dict[UUID, Entry] = field(default_factory=dict)

    @property
    def definitions(self) -> Mapping[str, Mapping[str, int]]:
        """How many there are, by kind and status."""
        counts: dict[str, Counter[str]] = {}
        for entry in self.entries.values():
            counts.setdefault(entry.kind, Counter())[entry.status] += 1
        return {kind: dict(sorted(counts[kind].items())) for kind in sorted(counts)}

    def result(self) -> dict[str, Any]:
        """The counts as the JSON result."""
        return {
            "position": self.position,
            "events": self.events,
            "events_by_name": dict(sorted(self.by_name.items())),
            "definitions": self.definitions,
        }


def replay(
    *,
    verify_: Annotated[
        bool, typer.Option("--verify", help="Compare every stored document with the log")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Fold the log from its first event; with --verify exit 1 if any stored document differs, naming each."""
    output = Output(json=json)

    async def action() -> int:
        from infra.bootstrap import open_for_verification  # noqa: PLC0415 - other commands start faster without it

        started = perf_counter()
        settings = Settings.load()
        async with open_for_verification(settings) as opened:
            replayed = await _fold(output, opened.log)
            result = replayed.result()
            _print(output, replayed)
            if verify_:
                result |= await _compare(output, opened.log, opened.stores)
            if not result.get("parity", True):
                result["repair"] = _repair(settings)
                output.line(result["repair"])
        output.record(result | {"seconds": round(perf_counter() - started, 2)})
        return 0 if result.get("parity", True) else EXIT_FAILED

    run(output, action)


def _repair(settings: Settings) -> str:
    """What to do about differences: the log is right, and read models are made from it."""
    if settings.elasticsearch_url is not None:
        remove = f"remove the indices '{settings.deployment}-*' of Elasticsearch"
    else:
        remove = f"remove {settings.data_dir / 'index'}"
    return f"To repair: stop the program, {remove}, and start it again. The read models are rebuilt from the log."


async def _fold(output: Output, log: EventLog) -> Replayed:
    head = await log.head()
    replayed, position = Replayed(), START
    with output.progress("replaying", head.sequence) as advance:
        while batch := await log.read(position, limit=PAGE_EVENTS, until=head):
            for recorded in batch:
                entry = evolve(replayed.entries.get(recorded.aggregate_id), recorded)
                if entry is not None:
                    replayed.entries[recorded.aggregate_id] = entry
                replayed.by_name[recorded.name] += 1
            position = batch[-1].position
            replayed.events += len(batch)
            advance(replayed.events)
    replayed.position = str(position)
    return replayed


async def _compare(output: Output, log: EventLog, stores: Mapping[str, DocumentStore]) -> dict[str, Any]:
    """Print what every read model came to; answers the part of the JSON result that is about it."""
    pairs = [(model, stores[model.name]) for model in READ_MODELS]
    models: dict[str, Any] = {}
    listed: list[Difference] = []
    with _StepProgress(output) as report:
        async for verified in verify(log, pairs, report):
            _print_verified(output, verified)
            listed += verified.differences[: DIFFERENCES_LISTED_MAX - len(listed)]
            models[verified.read_model] = {
                "position": str(verified.position),
                "documents": verified.documents,
                "differences": len(verified.differences),
            }
    return {
        "parity": not listed,
        "read_models": models,
        "differences": [asdict(difference) for difference in listed],
    }


class _StepProgress:
    """Shows one step after the other: the fold, and the documents of each read model."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._shown = ExitStack()
        self._step = ""
        self._advance: Advance | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.close()

    def __call__(self, step: str, done: int, total: int | None) -> None:
        if step != self._step or self._advance is None:
            self._shown.close()
            self._step = step
            what = "folding the log" if step == "log" else f"reading {step}"
            self._advance = self._shown.enter_context(self._output.progress(what, total))
        self._advance(done)


def _print(output: Output, replayed: Replayed) -> None:
    output.line(f"{replayed.events} events up to position {replayed.position}")
    for kind, statuses in replayed.definitions.items():
        output.line(f"  {kind:<10} " + ", ".join(f"{count} {status}" for status, count in statuses.items()))


def _print_verified(output: Output, verified: Verified) -> None:
    for difference in verified.differences:
        problem = f"{_PROBLEMS[difference.problem]} {difference.field}".rstrip()
        output.line(f"{verified.read_model}: {difference.key} ({difference.id}) {problem}")
    count = len(verified.differences)
    verdict = f"{count} difference{'s' if count > 1 else ''}" if count else "parity"
    output.line(f"{verified.read_model}: {verdict}, {verified.documents} documents at {verified.position}")
