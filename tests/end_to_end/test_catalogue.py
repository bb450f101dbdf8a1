"""The real catalogue at full size: imported twice, found, listed and verified, from outside.

The data is not part of the project: set CHRONICLE_TEST_CATALOGUE to a folder with tools.jsonl, resources.jsonl and
prompts.jsonl, or have it in `shared/data/mcp_catalogue` beside the checkout.
"""

import json
import os
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from domain.identity import federated_name
from tests.end_to_end.program import ROOT, Program, running

CATALOGUE = Path(os.environ.get("CHRONICLE_TEST_CATALOGUE") or ROOT.parent / "shared/data/mcp_catalogue")
DRAWN = 200
FOUND_SHARE_MIN = 0.98
REJECTED_SHARE_MAX = 0.01

pytestmark = [
    pytest.mark.skipif(not CATALOGUE.is_dir(), reason=f"there is no catalogue at {CATALOGUE}"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """The rows of the tools."""
    return [json.loads(line) for line in (CATALOGUE / "tools.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
async def program(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    """A running program with everything imported."""
    async with running(tmp_path_factory.mktemp("data")) as started:
        for kind in ("tools", "resources", "prompts"):
            status, printed = await started.run("import", str(CATALOGUE / f"{kind}.jsonl"))
            assert status == 0, printed[-2000:]
        yield started


async def head(program: Program) -> str:
    async with httpx2.AsyncClient(headers=program.headers, base_url=program.url) as client:
        page = (await client.get("/v1/events", params={"order": "newest_first", "limit": 1})).json()
        return str(page["events"][0]["sequence"])


async def test_a_second_import_appends_nothing(program: Program, rows: list[dict[str, Any]]) -> None:
    """Registered, skipped and rejected rows are all rows; few are rejected, each with line and reason."""
    before = await head(program)
    status, printed = await program.run("import", str(CATALOGUE / "tools.jsonl"), "--json")
    result = json.loads(printed.splitlines()[-1])
    assert status == 0
    assert await head(program) == before
    assert result["rows"] == len(rows) == result["skipped"] + result["rejected"]
    assert result["registered"] == result["revised"] == 0
    assert result["rejected"] <= REJECTED_SHARE_MAX * len(rows)
    assert len(result["rejections"]) == result["rejected"]
    assert all(rejection["line"] > 0 and rejection["reason"] for rejection in result["rejections"])


async def test_tools_are_found_by_the_words_of_name_and_server(
    program: Program, rows: list[dict[str, Any]]
) -> None:
    """Among the first ten, through REST and through GraphQL."""
    seed = int(os.environ.get("CHRONICLE_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"CHRONICLE_TEST_SEED={seed}")  # noqa: T201 - this is how a failure is repeated
    document = "query($q: String!) { search(query: $q, first: 10) { hits { node { key } } } }"
    found = {"rest": 0, "graphql": 0}
    async with httpx2.AsyncClient(headers=program.headers, base_url=program.url) as client:
        for row in random.Random(seed).sample(rows, DRAWN):
            words = " ".join(re.findall(r"\w+", f"{row['name']} {row['server']}"))
            name = federated_name(row["server"], row["name"])
            rest = (await client.get("/v1/search", params={"q": words, "limit": 10})).json()
            found["rest"] += name in [hit["entry"]["key"] for hit in rest["hits"]]
            graphql = (
                await client.post("/graphql", json={"query": document, "variables": {"q": words}})
            ).json()
            found["graphql"] += name in [hit["node"]["key"] for hit in graphql["data"]["search"]["hits"]]
    assert min(found.values()) >= FOUND_SHARE_MIN * DRAWN, found


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_the_pages_of_tools_list_join_to_the_registered_names(
    program: Program, rows: list[dict[str, Any]], mode: str
) -> None:
    """None is missing, none comes twice."""
    listed: list[str] = []
    async with (
        httpx2.AsyncClient(headers=program.headers, timeout=30) as http,
        Client(streamable_http_client(f"{program.url}/mcp", http_client=http), mode=mode) as client,
    ):
        cursor = None
        while True:
            page = await client.list_tools(cursor=cursor)
            listed += [tool.name for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                break
    wanted = {federated_name(row["server"], row["name"]) for row in rows}
    assert len(listed) == len(set(listed))
    assert set(listed) <= wanted
    assert len(listed) >= (1 - REJECTED_SHARE_MAX) * len(wanted)


async def test_the_stores_are_what_the_log_says(program: Program) -> None:
    """With the program running beside."""
    status, printed = await program.run("replay", "--verify", "--json")
    assert status == 0, printed
