"""`chronicle archive`: the program starts from, serves and verifies a log whose beginning is in the archive alone."""

import json
from pathlib import Path

import pytest

from infra.bootstrap import open_log_tools
from infra.settings import Settings
from tests.api.cli.program import chronicle, running


def quiet(done: int, total: int) -> None:
    """No progress is wanted."""


@pytest.mark.anyio
async def test_a_program_starts_from_an_archived_and_trimmed_log(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registry, read models, history, verification and backup see no difference."""
    rows = data_dir / "rows.jsonl"
    lines = [json.dumps({"server": "s", "name": f"n{number}", "description": "d"}) for number in range(6)]
    rows.write_text("\n".join(lines), encoding="utf-8")
    with running(data_dir) as program:
        assert chronicle(data_dir, "import", rows, "--json").result["registered"] == 6
        while not all(
            model["documents"] == 7
            for model in chronicle(data_dir, "replay", "--verify", "--json").result["read_models"].values()
        ):
            pass
        nothing = chronicle(data_dir, "archive", "--trim", "--json")
        assert nothing.status == 0, nothing.err
        assert nothing.result == {"sealed": 0, "archived": 0, "removed": 0, "trimmed": 0}
        assert program.stop().status == 0
    monkeypatch.setattr("infra.redis.segment.EVENTS_MAX", 2)
    async with open_log_tools(Settings(data_dir=data_dir), read_models=True) as tools:
        assert (await tools.seal(quiet)).archived == 6
        assert (await tools.trim()).trimmed == 6
    with running(data_dir) as program:
        again = chronicle(data_dir, "import", rows, "--json").result
        assert (again["registered"], again["skipped"]) == (0, 6)
        listed = chronicle(data_dir, "events", "tail", "--from-start", "--no-follow", "--json")
        assert len(listed.out.splitlines()) == 7
        assert chronicle(data_dir, "replay", "--verify", "--json").result["parity"] is True
        assert chronicle(data_dir, "events", "verify", "--json").result["whole"] is True
        assert chronicle(data_dir, "backup", data_dir / "b", "--json").result["events"] == 7
        assert program.stop().status == 0
