"""`chronicle replay --verify` against stores that somebody changed, on both engines, with and without the program."""

import json
import sqlite3
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
import tantivy

from tests.api.cli.program import Done, chronicle, running

NAMES = ("s__changed", "s__deleted", "s__left-alone")


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Three tools as a catalogue file."""
    rows = [{"server": "s", "name": name.removeprefix("s__"), "description": "as imported"} for name in NAMES]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return file


def fill(data_dir: Path, catalogue: Path, more: Mapping[str, str] | None = None) -> None:
    """Start, import, see parity while the program runs, and stop: everything is projected then."""
    with running(data_dir, more=more) as program:
        assert chronicle(data_dir, "import", catalogue, "--json", more=more).result["registered"] == 3
        assert_parity(chronicle(data_dir, "replay", "--verify", "--json", more=more))
        wait_until_projected(data_dir, more)
        assert program.stop().status == 0


def wait_until_projected(data_dir: Path, more: Mapping[str, str] | None) -> None:
    """Ask until every read model holds every document; the commands themselves take the time between."""
    while True:
        result = chronicle(data_dir, "replay", "--verify", "--json", more=more).result
        if all(model["documents"] == 4 for model in result["read_models"].values()):
            return


def assert_parity(done: Done) -> None:
    assert done.status == 0, done.out + done.err
    assert done.result["parity"] is True
    assert done.result["differences"] == []
    assert "repair" not in done.result


def assert_names_both(data_dir: Path, read_model: str, more: Mapping[str, str] | None = None) -> None:
    """Exit status 1; the changed and the deleted document are named, and nothing else is."""
    done = chronicle(data_dir, "replay", "--verify", "--json", more=more)
    assert done.status == 1, done.out + done.err
    assert done.result["parity"] is False
    found = {one["key"]: one for one in done.result["differences"]}
    assert {one["read_model"] for one in found.values()} == {read_model}
    assert {key: (one["problem"], one["field"]) for key, one in found.items()} == {
        "s__changed": ("different", "/entry/definition/description"),
        "s__deleted": ("missing", ""),
    }
    text = chronicle(data_dir, "replay", "--verify", more=more)
    assert text.status == 1
    for name in ("s__changed", "s__deleted"):
        assert f"{read_model}: {name} ({found[name]['id']})" in text.out
    assert f"{read_model}: 2 differences" in text.out
    what = "the indices '" if more else str(data_dir / "index")
    assert f"To repair: stop the program, remove {what}" in text.out
    assert what in done.result["repair"]


def changed(document: dict[str, Any]) -> dict[str, Any]:
    document["entry"]["definition"]["description"] = "changed by hand"
    return document


def test_a_changed_and_a_deleted_row_of_sqlite_are_named(data_dir: Path, catalogue: Path) -> None:
    """The embedded metadata, changed behind the program's back; no program runs, so the log is started for it."""
    fill(data_dir, catalogue)
    assert_parity(chronicle(data_dir, "replay", "--verify", "--json"))
    [file] = (data_dir / "index").glob("metadata/*.sqlite3")
    with sqlite3.connect(file) as database:
        [(id_, text)] = database.execute(
            "SELECT id, document FROM document WHERE key = 's__changed'"
        ).fetchall()
        database.execute(
            "UPDATE document SET document = ? WHERE id = ?", (orjson.dumps(changed(orjson.loads(text))), id_)
        )
        database.execute("DELETE FROM document WHERE key = 's__deleted'")
    database.close()
    assert_names_both(data_dir, "metadata")


def test_a_document_that_the_log_does_not_know_is_named(data_dir: Path, catalogue: Path) -> None:
    """What was put in is as wrong as what was taken out."""
    fill(data_dir, catalogue)
    [file] = (data_dir / "index").glob("metadata/*.sqlite3")
    stranger = str(uuid4())
    with sqlite3.connect(file) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(document)")]
        values = dict(
            zip(
                columns,
                database.execute("SELECT * FROM document WHERE key = 's__changed'").fetchone(),
                strict=True,
            )
        )
        copy = orjson.dumps(orjson.loads(values["document"]) | {"id": stranger})
        values |= {"id": stranger, "document": copy}
        marks = ", ".join("?" for _ in columns)
        database.execute(f"INSERT INTO document VALUES ({marks})", [values[name] for name in columns])  # noqa: S608
    database.close()
    done = chronicle(data_dir, "replay", "--verify", "--json")
    assert done.status == 1
    assert [one["id"] for one in done.result["differences"]] == [stranger]


def test_a_changed_and_a_deleted_document_of_tantivy_are_named(data_dir: Path, catalogue: Path) -> None:
    """The embedded full text, changed behind the program's back."""
    fill(data_dir, catalogue)
    [directory] = [path for path in (data_dir / "index" / "fulltext").iterdir() if path.is_dir()]
    index = tantivy.Index.open(str(directory))
    searcher = index.searcher()
    writer = index.writer(num_threads=1)
    for _, address in searcher.search(tantivy.Query.all_query(), 10).hits:
        stored = searcher.doc(address).to_dict()
        document = orjson.loads(stored["document"][0])
        if document.get("key") in NAMES[:2]:
            writer.delete_documents_by_term("id", document["id"])
        if document.get("key") == "s__changed":
            again = tantivy.Document()
            again.add_text("id", document["id"])
            again.add_bytes("document", orjson.dumps(changed(document)))
            writer.add_document(again)
    writer.commit()
    writer.wait_merging_threads()
    assert_names_both(data_dir, "fulltext")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("read_model", ["metadata", "fulltext"])
def test_a_changed_and_a_deleted_document_of_elasticsearch_are_named(
    data_dir: Path, catalogue: Path, elasticsearch_url: str, read_model: str
) -> None:
    """The same on the other engine."""
    deployment = f"t{uuid4().hex[:12]}"
    more = {"CHRONICLE_ELASTICSEARCH_URL": elasticsearch_url, "CHRONICLE_DEPLOYMENT": deployment}
    fill(data_dir, catalogue, more)

    def ask(method: str, path: str, body: Any = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - always http
            f"{elasticsearch_url}{path}", content, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - always http
            return json.load(answer)

    ask("POST", f"/{deployment}*/_refresh")
    hits = ask("GET", f"/{deployment}*{read_model}*/_search?size=100")["hits"]["hits"]
    by_key = {hit["_source"]["key"]: hit for hit in hits if "key" in hit["_source"]}
    victim, target = by_key["s__deleted"], by_key["s__changed"]
    ask("DELETE", f"/{victim['_index']}/_doc/{victim['_id']}?refresh=true")
    ask("PUT", f"/{target['_index']}/_doc/{target['_id']}?refresh=true", changed(target["_source"]))
    assert_names_both(data_dir, read_model, more)
