"""What every engine of a read model must do: one suite, which each adapter's tests inherit.

A subclass sets `read_model` and gives a fixture `opener`: a function that opens the store, each time with what was
there before. `StoreContract` is for every store, `CatalogueContract` for one that lists, `SearchContract` for one
that searches:

    class TestSqliteStore(StoreContract, CatalogueContract):
        read_model = METADATA

        @pytest.fixture
        def opener(self, tmp_path: Path) -> Opener[SqliteStore]:
            return lambda: open_sqlite_store(tmp_path, METADATA.schema_version)
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, TypeAlias

import orjson

from domain.entry import Entry, Kind
from domain.identity import aggregate_id
from domain.principal import EVERY_NAMESPACE, NamespaceSet
from domain.reads import ListQuery, SearchQuery
from domain.recorded import START, Position
from projections.documents import ReadModel
from projections.ports import DocumentStore
from tests.projections.entries import entry, later, tool

Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]

TOOLS: tuple[Kind, ...] = ("tool",)
ONLY_RED = NamespaceSet(frozenset({"red"}))
RED_AND_BLUE = NamespaceSet(frozenset({"red", "blue"}))
NOTHING = NamespaceSet()


class Contract:
    """What the suites share: turning entries into documents of the read model, and writing them."""

    read_model: ClassVar[ReadModel]

    def documents(self, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        """As the projector makes them."""
        return [self.read_model.document(each) for each in entries]

    async def fill(self, store: DocumentStore, *entries: Entry, checkpoint: int | None = None) -> None:
        """Write entries, with the last one's position as the checkpoint unless another is given."""
        sequence = max((each.position.sequence for each in entries), default=0)
        await store.write(
            self.documents(entries), Position(sequence if checkpoint is None else checkpoint, 1)
        )


def as_json(document: Mapping[str, Any]) -> bytes:
    """The document in a form that compares exactly: `1`, `1.0` and `true` differ."""
    return orjson.dumps(dict(document), option=orjson.OPT_SORT_KEYS)


class StoreContract(Contract):
    """Every DocumentStore."""

    async def test_a_new_store_stands_at_the_start(self, opener: Opener) -> None:
        """Nothing was applied, so the projector begins with the first event."""
        async with opener() as store:
            assert await store.reached() == START
            assert await store.checkpoint() == START
            assert [document async for document in store.scan()] == []

    async def test_a_written_document_is_read_back_exactly(self, opener: Opener) -> None:
        """Unicode, nesting, nulls, empty names and long texts survive, and numbers keep their kind."""
        odd = {
            "a": [1, 1.5, -0.0, None, True, {"": {}}],
            "日本": 'äöü 🎉 \u0000 \\ "',
            "n": 2**53 - 1,
            "x.y": "." * 40_000,
        }
        first = tool("odd", 1, server="S 1", input_schema={"type": "object", "default": odd})
        second = later(first, 7, enabled=False, provenance={})
        async with opener() as store:
            for each in (first, second):
                await self.fill(store, each)
                found = await store.fetch([each.id])
                assert list(found) == [each.id]
                [expected] = self.documents([each])
                assert as_json(found[each.id]) == as_json(expected)
                assert [as_json(document) async for document in store.scan()] == [as_json(expected)]

    async def test_the_checkpoint_is_what_was_written_last(self, opener: Opener) -> None:
        """It moves with documents and without them, and keeps its epoch."""
        async with opener() as store:
            await self.fill(store, tool("a", 3))
            assert await store.checkpoint() == Position(3, 1)
            await store.write([], Position(9, 2))
            assert await store.checkpoint() == await store.reached() == Position(9, 2)

    async def test_a_stale_writer_moves_nothing_back(self, opener: Opener) -> None:
        """An older document and an older checkpoint are ignored, whoever sends them."""
        old = tool("a", 3)
        new = later(old, 8, updated_by="bob")
        async with opener() as store:
            await self.fill(store, new)
            await self.fill(store, old, tool("b", 4))
            found = await store.fetch([new.id])
            assert found[new.id]["sequence"] == 8
            assert await store.checkpoint() == Position(8, 1)
            assert {document["key"] async for document in store.scan()} == {"a", "b"}

    async def test_a_repeat_is_harmless(self, opener: Opener) -> None:
        """At-least-once delivery: the same batch twice leaves one copy of each document."""
        batch = [tool("a", 1), tool("b", 2)]
        async with opener() as store:
            await self.fill(store, *batch)
            await self.fill(store, *batch)
            assert sorted([document["key"] async for document in store.scan()]) == ["a", "b"]

    async def test_the_newest_of_two_in_one_batch_stays(self, opener: Opener) -> None:
        """Whatever their order in the batch."""
        old = tool("a", 1)
        new = later(old, 2)
        async with opener() as store:
            await self.fill(store, new, old)
            assert [document["sequence"] async for document in store.scan()] == [2]

    async def test_fetch_leaves_out_what_is_not_there(self, opener: Opener) -> None:
        """Unknown ids are no error; many ids at once are possible."""
        there = tool("a", 1)
        ids = [aggregate_id("tool", "default", f"t{number}") for number in range(1200)]
        async with opener() as store:
            await self.fill(store, there)
            assert list(await store.fetch([*ids, there.id])) == [there.id]
            assert await store.fetch([]) == {}

    async def test_scan_gives_every_document_once(self, opener: Opener) -> None:
        """Also more than any page or batch of the engine."""
        entries = [tool(f"t{number}", number + 1) for number in range(1203)]
        async with opener() as store:
            await self.fill(store, *entries)
            ids = [document["id"] async for document in store.scan()]
        assert sorted(ids) == sorted(str(each.id) for each in entries)

    async def test_reset_leaves_a_new_store(self, opener: Opener) -> None:
        """Before a rebuild nothing remains, and an older checkpoint than before can be written."""
        async with opener() as store:
            await self.fill(store, tool("a", 5), tool("b", 6))
            await store.reset()
            assert await store.checkpoint() == START
            assert [document async for document in store.scan()] == []
            await self.fill(store, tool("c", 1))
            assert await store.checkpoint() == Position(1, 1)
            assert [document["key"] async for document in store.scan()] == ["c"]

    async def test_everything_is_there_after_reopening(self, opener: Opener) -> None:
        """Documents and checkpoint are durable together."""
        async with opener() as store:
            await self.fill(store, tool("a", 1), checkpoint=4)
        async with opener() as store:
            assert await store.checkpoint() == Position(4, 1)
            assert [document["key"] async for document in store.scan()] == ["a"]


class CatalogueContract(Contract):
    """A store that lists: `commands.ports.Catalogue`."""

    async def test_get_gives_the_entry_as_it_was_written(self, opener: Opener) -> None:
        """The whole entry, whatever its status; a wrong kind or an unknown id finds nothing."""
        retired = later(tool("a", 1, description="ünï"), 2, retired=True)
        async with opener() as store:
            await self.fill(store, retired)
            assert await store.get(EVERY_NAMESPACE, "tool", retired.id) == retired
            assert await store.get(EVERY_NAMESPACE, "prompt", retired.id) is None
            assert await store.get(EVERY_NAMESPACE, "tool", aggregate_id("tool", "x", "y")) is None

    async def test_get_respects_the_visible_namespaces(self, opener: Opener) -> None:
        """What may not be seen looks like what is not there."""
        red, blue = tool("a", 1, namespace="red"), tool("a", 2, namespace="blue")
        async with opener() as store:
            await self.fill(store, red, blue)
            assert await store.get(ONLY_RED, "tool", red.id) == red
            assert await store.get(ONLY_RED, "tool", blue.id) is None
            assert await store.get(NOTHING, "tool", red.id) is None

    async def test_pages_come_in_order_and_without_gaps(self, opener: Opener) -> None:
        """By code points of (namespace, key, id), also across kinds; `more` tells whether another page follows."""
        keys = ["B", "a", "a-b", "a.b", "a_b", "ab", "é", "日本", "😀", "z"]
        entries = [tool(key, n * 2 + 1, namespace=ns) for ns in ("red", "blue") for n, key in enumerate(keys)]
        entries += [
            entry("prompt", key, {"name": key}, 100 + n, namespace="red") for n, key in enumerate(keys)
        ]
        expected = sorted((each.namespace, each.key, str(each.id)) for each in entries)
        async with opener() as store:
            await self.fill(store, *entries)
            found: list[tuple[str, str, str]] = []
            more = True
            while more:
                query = ListQuery(("tool", "prompt"), limit=7, after=found[-1] if found else None)
                page = await store.list(EVERY_NAMESPACE, query)
                assert page.position == Position(109, 1)
                found += [(each.namespace, each.key, str(each.id)) for each in page.entries]
                more = page.more
        assert found == expected

    async def test_a_page_that_ends_with_the_last_entry_says_so(self, opener: Opener) -> None:
        """No empty page follows."""
        async with opener() as store:
            await self.fill(store, tool("a", 1), tool("b", 2))
            page = await store.list(EVERY_NAMESPACE, ListQuery(TOOLS, limit=2))
            assert (len(page.entries), page.more) == (2, False)

    async def test_list_filters_by_kind_and_status(self, opener: Opener) -> None:
        """A disabled or retired entry leaves its old status."""
        a, b = tool("a", 1), tool("b", 2)
        disabled = later(a, 3, enabled=False)
        prompt = entry("prompt", "a", {"name": "a"}, 4)
        async with opener() as store:
            await self.fill(store, a, b, prompt)
            await self.fill(store, disabled)
            for query, expected in (
                (ListQuery(TOOLS), [disabled, b]),
                (ListQuery(TOOLS, status="active"), [b]),
                (ListQuery(TOOLS, status="disabled"), [disabled]),
                (ListQuery(TOOLS, status="retired"), []),
                (ListQuery(("prompt",)), [prompt]),
                (ListQuery(()), []),
            ):
                page = await store.list(EVERY_NAMESPACE, query)
                assert list(page.entries) == expected, query

    async def test_list_shows_only_visible_namespaces(self, opener: Opener) -> None:
        """They are filtered inside the query: a page is full although hidden entries stand between."""
        entries = [tool(f"t{n:02}", n + 1, namespace=ns) for n, ns in enumerate(["blue", "red"] * 10)]
        async with opener() as store:
            await self.fill(store, *entries)
            page = await store.list(ONLY_RED, ListQuery(TOOLS, limit=10))
            assert [each.namespace for each in page.entries] == ["red"] * 10
            assert not page.more
            assert list((await store.list(NOTHING, ListQuery(TOOLS))).entries) == []
            many = NamespaceSet(frozenset({"red", *(f"n{number}" for number in range(3000))}))
            assert len((await store.list(many, ListQuery(TOOLS))).entries) == 10


class SearchContract(Contract):
    """A store that searches: `commands.ports.Search`."""

    async def names(
        self, store: Any, text: str, visible: NamespaceSet = EVERY_NAMESPACE, **options: Any
    ) -> list[str]:
        """The keys of the hits, best first."""
        options.setdefault("kinds", TOOLS)
        answer = await store.search(visible, SearchQuery(text, **options))
        scores = [hit.score for hit in answer.hits]
        assert scores == sorted(scores, reverse=True)
        assert all(score > 0 for score in scores)
        return [hit.entry.key for hit in answer.hits]

    async def test_words_of_every_field_find_the_tool(self, opener: Opener) -> None:
        """Name, title, description, parameters and server; inflections, case and accents do not matter."""
        wanted = tool(
            "github__listOpenIssues",
            1,
            server="Büro Hub",
            title="Find tickets",
            description="Queries repositories",
            input_schema={"type": "object", "properties": {"maxAge": {"description": "newest comments"}}},
        )
        async with opener() as store:
            await self.fill(store, wanted, tool("weather", 2, description="Rain and sun"))
            words = (
                "open ISSUE",
                "ticket",
                "query",
                "repository",
                "max age",
                "commented",
                "buro",
                "listOpenIssues",
            )
            for text in words:
                assert await self.names(store, text) == [wanted.key], text
            answer = await store.search(EVERY_NAMESPACE, SearchQuery("ticket", TOOLS))
            assert [hit.entry for hit in answer.hits] == [wanted]
            assert answer.position == Position(2, 1)

    async def test_the_better_match_comes_first(self, opener: Opener) -> None:
        """Any word is enough, more words and a match in the name are better, and `limit` cuts the rest."""
        async with opener() as store:
            await self.fill(
                store,
                tool("send_mail", 1, description="Send a letter by electronic mail"),
                tool("read_calendar", 2, description="Reads the calendar; can send nothing"),
                tool("list_files", 3, description="Files of a folder, also mail attachments"),
            )
            assert (await self.names(store, "send mail"))[0] == "send_mail"
            assert set(await self.names(store, "send mail")) == {"send_mail", "read_calendar", "list_files"}
            assert await self.names(store, "send mail", limit=1) == ["send_mail"]

    async def test_other_scripts_are_found(self, opener: Opener) -> None:
        """Scripts without blanks are found by parts of their runs."""
        async with opener() as store:
            await self.fill(
                store,
                tool("bing", 1, description="使用必应搜索指定的关键词"),
                tool("tower", 2, description="東京タワーの天気"),
                tool("shop", 3, description="Магазин ёлок"),
            )
            assert await self.names(store, "搜索") == ["bing"]
            assert await self.names(store, "タワー") == ["tower"]
            assert await self.names(store, "МАГАЗИН") == ["shop"]

    async def test_a_revision_replaces_the_words(self, opener: Opener) -> None:
        """The old words find it no more."""
        old = tool("t", 1, description="umbrella")
        new = later(old, 2, definition={**(old.definition or {}), "description": "parasol"})
        async with opener() as store:
            await self.fill(store, old)
            assert await self.names(store, "umbrella") == ["t"]
            await self.fill(store, new)
            assert await self.names(store, "umbrella") == []
            assert await self.names(store, "parasol") == ["t"]

    async def test_search_filters_by_kind_and_status(self, opener: Opener) -> None:
        """Only what is active, unless asked otherwise."""
        a, b = tool("a_map", 1), tool("b_map", 2)
        prompt = entry("prompt", "map", {"name": "map"}, 3)
        async with opener() as store:
            await self.fill(store, a, b, prompt, later(b, 4, retired=True))
            assert await self.names(store, "map") == ["a_map"]
            assert await self.names(store, "map", status="retired") == ["b_map"]
            assert set(await self.names(store, "map", status=None)) == {"a_map", "b_map"}
            assert await self.names(store, "map", kinds=("prompt",)) == ["map"]
            assert set(await self.names(store, "map", kinds=("prompt", "tool"))) == {"a_map", "map"}
            assert await self.names(store, "map", kinds=()) == []

    async def test_search_ranks_only_visible_namespaces(self, opener: Opener) -> None:
        """Better matches that may not be seen take no place among the first."""
        hidden = [tool(f"mail_{n}", n + 1, namespace="blue", description="mail mail") for n in range(30)]
        seen = tool(
            "notes", 40, namespace="red", description="Keeps notes, files, texts, tables and a mail address"
        )
        async with opener() as store:
            await self.fill(store, *hidden, seen)
            assert await self.names(store, "mail", ONLY_RED, limit=5) == ["notes"]
            assert await self.names(store, "mail", NOTHING) == []
            assert len(await self.names(store, "mail", limit=5)) == 5
            many = NamespaceSet(frozenset({"red", *(f"n{number}" for number in range(3000))}))
            assert await self.names(store, "mail", many) == ["notes"]

    async def test_filters_add_nothing_to_the_score(self, opener: Opener) -> None:
        """The same words and the same documents score the same, however many filters there are."""
        async with opener() as store:
            await self.fill(store, tool("mail", 1, namespace="red"), tool("post", 2, namespace="red"))
            scores = []
            for visible, query in (
                (EVERY_NAMESPACE, SearchQuery("mail", TOOLS, status=None)),
                (ONLY_RED, SearchQuery("mail", TOOLS, status="active")),
                (RED_AND_BLUE, SearchQuery("mail", ("tool", "prompt"))),
            ):
                scores += [hit.score for hit in (await store.search(visible, query)).hits]
            assert scores == [scores[0]] * 3

    async def test_hostile_text_is_only_words(self, opener: Opener) -> None:
        """No query language: operators, quotes and braces mean nothing, and what holds no word finds nothing."""
        async with opener() as store:
            await self.fill(store, tool("mail", 1), tool("other", 2))
            for text in (
                '"mail',
                "mail AND NOT mail",
                "key:* OR mail~2^9",
                "(mail",
                "mail\\",
                "+mail -mail",
                "ma\x00 mail",
            ):
                assert await self.names(store, text) == ["mail"], text
            for text in ("", " \t\n", '"*:*"', "\ud800", "!!! ??? ---", "kind namespace status", "🎉"):
                assert await self.names(store, text) == [], text
            assert await self.names(store, ("x " * 990) + "mail") == ["mail"]
            assert await self.names(store, " ".join(f"w{n}" for n in range(500))) == []

    async def test_a_stop_word_alone_still_finds_a_name(self, opener: Opener) -> None:
        """A tool may be called `on`; with other words in the query stop words do not count."""
        async with opener() as store:
            await self.fill(
                store, tool("switch_on", 1), tool("dim", 2, description="Dims the light on the wall")
            )
            assert await self.names(store, "on") == ["switch_on"]
            assert await self.names(store, "dim on") == ["dim"]
