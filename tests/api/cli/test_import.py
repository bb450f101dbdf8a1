"""`chronicle import` against a running program, and against servers that refuse, stall or are not there."""

import json
import signal
import subprocess
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import pytest

from tests.api.cli.program import COMMAND, TIMEOUT_S, Program, chronicle, environment
from tests.api.cli.stub import Answer, settings_for, stub


def write(folder: Path, *rows: Any) -> Path:
    file = folder / "rows.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def tool(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"s/{name}",
        "name": name,
        "description": "d",
        "input_schema": None,
        "server": "s",
        **fields,
    }


def events(program: Program) -> list[dict[str, Any]]:
    done = chronicle(program.data_dir, "events", "tail", "--from-start", "--no-follow", "--json")
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    return tuple(result[name] for name in ("rows", "registered", "revised", "skipped", "rejected"))


def test_every_row_is_accounted_for_and_a_second_run_appends_nothing(
    program: Program, tmp_path: Path
) -> None:
    """Registered, revised, skipped and rejected add up to the rows; each rejection has its line and reason."""
    file = write(
        tmp_path,
        tool("one"),
        tool("two", input_schema={"type": "object", "properties": 3}),
        "{broken",
        "",
        tool("one"),
        tool("one", description="another"),
        {"server": "s", "uri": "x://one", "name": "One", "mimeType": "", "annotations": None},
        {"server": "s", "name": "p", "arguments": [{"name": "a", "required": True}]},
    )
    first = chronicle(program.data_dir, "import", file, "--json")
    assert (first.status, counts(first.result)) == (0, (7, 3, 0, 1, 3))
    assert {one["line"] for one in first.result["rejections"]} == {2, 3, 6}
    for line in (2, 3, 6):
        assert f"{file}:{line}: " in first.err
    before = events(program)
    second = chronicle(program.data_dir, "import", file, "--json")
    assert (second.status, counts(second.result)) == (0, (7, 0, 0, 4, 3))
    assert events(program) == before


def test_what_was_imported_is_read_with_its_provenance(program: Program, tmp_path: Path) -> None:
    """The original name and server stay with the definition, beside the name that clients see."""
    file = write(tmp_path, tool("get it", source="mcpm", license="MIT", server="Far Away"))
    assert chronicle(program.data_dir, "import", file, "--json").result["registered"] == 1
    key = (program.data_dir / "admin.key").read_text(encoding="ascii").strip()
    answer = httpx2.get(
        f"{program.url}/v1/tools",
        params={"namespace": "default", "name": "Far-Away__get-it"},
        headers={"Authorization": f"Bearer {key}"},
    ).json()
    expected = {"id": "s/get it", "server": "Far Away", "source": "mcpm", "license": "MIT", "name": "get it"}
    assert answer["provenance"] == expected
    assert answer["definition"]["binding"] == {"type": "unbound"}


def test_a_changed_row_is_a_revision(program: Program, tmp_path: Path) -> None:
    """The catalogue moved on: the tool gets its second revision, and the event names the import as the reason."""
    chronicle(program.data_dir, "import", write(tmp_path, tool("changing")))
    done = chronicle(
        program.data_dir, "import", write(tmp_path, tool("changing", description="new")), "--json"
    )
    assert counts(done.result) == (1, 0, 1, 0, 0)
    last = events(program)[-1]
    assert last["type"] == "io.mcp-chronicle.tool.revised.v1"
    assert last["reason"] == "Imported from a catalogue."


def test_only_an_import_of_nothing_but_rejections_fails(program: Program, tmp_path: Path) -> None:
    """Status 1 tells a script that the file was the wrong one."""
    assert chronicle(program.data_dir, "import", write(tmp_path, "no", "rows")).status == 1
    assert chronicle(program.data_dir, "import", write(tmp_path, "no", tool("a-row"))).status == 0


def test_a_dry_run_sends_nothing_and_rejects_what_the_server_would(tmp_path: Path) -> None:
    """It needs no server, because the rules are the same ones."""
    file = write(tmp_path, tool("one"), tool("two", input_schema={"type": "object", "properties": 3}))
    done = chronicle(tmp_path, "import", file, "--dry-run", "--json")
    assert (done.status, done.result["fit"], done.result["rejected"]) == (0, 1, 1)
    assert "/definition/input_schema" in done.result["rejections"][0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "more", "status", "words"),
    [
        (["--namespace", "nowhere"], {}, 3, "There is no namespace 'nowhere'"),
        (["--namespace", "No Slug"], {}, 2, "is no namespace"),
        (["--concurrency", "0"], {}, 2, "--concurrency"),
        ([], {"CHRONICLE_URL": "http://127.0.0.1:9"}, 5, "does not answer at http://127.0.0.1:9"),
        ([], {"CHRONICLE_ADMIN_KEY_FILE": "/nonexistent"}, 1, "/nonexistent cannot be read"),
        ([], {"CHRONICLE_PROT": "1"}, 1, "There is no setting CHRONICLE_PROT"),
    ],
)
def test_what_cannot_work_ends_at_once_with_its_status(
    program: Program, tmp_path: Path, arguments: list[str], more: dict[str, str], status: int, words: str
) -> None:
    """One sentence on standard error, an exit status for scripts, and no traceback."""
    done = chronicle(program.data_dir, "import", write(tmp_path, tool("one")), *arguments, more=more)
    assert done.status == status
    assert words in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_a_wrong_key_is_said_with_its_file(program: Program, tmp_path: Path) -> None:
    """The key of another installation: the sentence names the file to correct."""
    more = settings_for(program.url, tmp_path)
    done = chronicle(program.data_dir, "import", write(tmp_path, tool("one")), "--json", more=more)
    assert done.status == 1
    assert done.result["error"]["code"] == "unauthenticated"
    assert str(tmp_path / "key") in done.err


def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    """503 and 429 pass; the row is counted by the answer that came in the end."""
    answers: list[Answer] = [
        (503, {"Retry-After": "0"}, {"title": "Later"}),
        (429, {}, {"title": "Later"}),
        (201, {}, {"event": "tool.registered"}),
    ]
    with stub(lambda: answers.pop(0)) as url:
        done = chronicle(
            tmp_path, "import", write(tmp_path, tool("one")), "--json", more=settings_for(url, tmp_path)
        )
    assert (done.status, counts(done.result)) == (0, (1, 1, 0, 0, 0))


def test_an_interrupted_import_says_how_far_it_came(tmp_path: Path) -> None:
    """Ctrl-C while a request is on its way: what was answered is counted, the status is 130."""
    stalled, released = Event(), Event()
    answered: list[Answer] = [(201, {}, {"event": "tool.registered"})]

    def answer() -> Answer:
        if answered:
            return answered.pop()
        stalled.set()
        released.wait(TIMEOUT_S)
        return 500, {}, {}

    file = write(tmp_path, tool("one"), tool("two"), tool("three"))
    with stub(answer) as url:
        process = subprocess.Popen(
            [*COMMAND, "import", str(file), "--json", "--concurrency", "1"],
            env=environment(tmp_path, settings_for(url, tmp_path)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert stalled.wait(TIMEOUT_S)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            released.set()
            process.kill()
    result = json.loads(out.splitlines()[-1])
    assert (process.returncode, result["interrupted"], counts(result)) == (130, True, (1, 1, 0, 0, 0))
