"""A killed process loses nothing that a store acknowledged, and the files can be opened at once."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.embedded.sqlite_store import open_sqlite_store
from infra.embedded.tantivy_store import open_tantivy_store

WRITER = """
import asyncio, sys
from pathlib import Path
from domain.recorded import Position
from infra.embedded.{module} import {opener}
from projections.fulltext import FULLTEXT
from tests.projections.entries import later, tool

async def main():
    async with {opener}(Path(sys.argv[1]), 1) as store:
        for sequence in range(1, 100000):
            entry = later(tool(f"t{{sequence % 7}}", 1), sequence)
            await store.write([FULLTEXT.document(entry)], Position(sequence, 1))
            print(sequence, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("opener", [open_sqlite_store, open_tantivy_store])
async def test_what_was_acknowledged_survives_a_kill(opener: Any, tmp_path: Path) -> None:
    """SIGKILL in the middle of writing: documents and checkpoint agree, and are not older than the last answer."""
    program = WRITER.format(module=opener.__module__.rpartition(".")[2], opener=opener.__name__)
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as writer:
        assert writer.stdout is not None
        acknowledged = 0
        for _ in range(20):
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        rest = writer.stdout.read().split()
    acknowledged = int(rest[-1]) if rest else acknowledged
    async with opener(tmp_path, 1) as store:
        checkpoint = (await store.checkpoint()).sequence
        sequences = [document["sequence"] async for document in store.scan()]
    # The write that was under way may have happened, but then whole.
    assert checkpoint in {acknowledged, acknowledged + 1}
    assert sorted(sequences) == list(range(checkpoint - 6, checkpoint + 1))
