"""The metadata read model in one SQLite file: documents and checkpoint in one transaction, filters in SQL.

One connection writes and another reads, each used by one thread at a time and never by the event loop's. The file is
in WAL mode, so readers, also of another process, see whole transactions and never wait for the writer.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import anyio
import anyio.to_thread
import orjson

from domain.entry import Entry, Kind
from domain.principal import NamespaceSet
from domain.reads import PAGE_SIZE_MAX, EntryPage, ListQuery
from domain.recorded import START, Position
from infra.embedded.errors import StoreDamaged, StoreOutdated, StoreUnavailable
from projections.documents import entry_from_json

LAYOUT = 1
"""Version of the tables; with the read model's own version it says whether a file can be used."""

FILE_NAME = "documents.sqlite3"
BUSY_TIMEOUT_S = 5.0
SCAN_PAGE_SIZE = 500

_SCHEMA = Path(__file__).with_name("sqlite_store.sql")
_RETRYABLE = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
)

_UPSERT = """
INSERT INTO document (id, sequence, kind, namespace, key, status, document)
VALUES (:id, :sequence, :kind, :namespace, :key, :status, :document)
ON CONFLICT (id) DO UPDATE SET
    sequence = excluded.sequence, kind = excluded.kind, namespace = excluded.namespace,
    key = excluded.key, status = excluded.status, document = excluded.document
WHERE excluded.sequence >= document.sequence
"""
_MOVE_CHECKPOINT = """
INSERT INTO checkpoint (one, sequence, epoch) VALUES (1, ?, ?)
ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence, epoch = excluded.epoch
WHERE (excluded.sequence, excluded.epoch) >= (checkpoint.sequence, checkpoint.epoch)
"""
_VISIBLE = "(:every OR namespace IN (SELECT value FROM json_each(:namespaces)))"
_GET = f"""
SELECT document FROM document
WHERE id = :id AND kind = :kind AND {_VISIBLE}
"""  # noqa: S608 - the only part put in is the constant above
_LIST = f"""
SELECT document FROM document
WHERE kind IN (SELECT value FROM json_each(:kinds)) AND {_VISIBLE}
  AND (:status IS NULL OR status = :status)
  AND (namespace, key, id) > (:namespace, :key, :id)
ORDER BY namespace, key, id LIMIT :limit
"""  # noqa: S608 - the only part put in is the constant above

ResultT = TypeVar("ResultT")


@asynccontextmanager
async def open_sqlite_store(
    directory: Path, schema_version: int, *, read_only: bool = False
) -> AsyncIterator["SqliteStore"]:
    """The store in `directory`, made if it is not there; documents of another schema version are removed.

    `read_only` is for a second process beside the one that writes: it changes nothing and waits for nobody.
    Raises StoreUnavailable, StoreDamaged and StoreOutdated.
    """
    file = directory / FILE_NAME
    version = schema_version * 1000 + LAYOUT
    store = await anyio.to_thread.run_sync(lambda: SqliteStore(file, version, read_only=read_only))
    try:
        yield store
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()


class SqliteStore:
    """See `projections.ports.DocumentStore` and `commands.ports.Catalogue`. Use `open_sqlite_store`."""

    def __init__(self, file: Path, version: int, *, read_only: bool) -> None:
        self._file = file
        self._writing = anyio.CapacityLimiter(1)
        self._reading = anyio.CapacityLimiter(1)
        with self._explained():
            if not read_only:
                file.parent.mkdir(parents=True, exist_ok=True)
                self._writer = _connect(file, "rwc")
                _prepare(self._writer, version)
            elif not file.exists():
                raise StoreOutdated(file, "there is no such file yet")
            self._reader = _connect(file, "ro")
            if read_only:
                self._writer = self._reader
                _check(self._reader, file, version)

    async def close(self) -> None:
        """Close both connections."""
        await anyio.to_thread.run_sync(self._reader.close, limiter=self._reading)
        await anyio.to_thread.run_sync(self._writer.close, limiter=self._writing)

    async def checkpoint(self) -> Position:
        """The position up to which every event is applied; START for a new store."""
        return await self._read(_checkpoint)

    async def reached(self) -> Position:
        """The same: what is open is there."""
        return await self.checkpoint()

    async def write(self, documents: Sequence[Mapping[str, Any]], checkpoint: Position) -> None:
        """Documents and checkpoint in one transaction; older ones are ignored."""

        def work() -> None:
            rows = [{**document, "document": orjson.dumps(document)} for document in documents]
            with self._explained(), self._writer:
                self._writer.execute("BEGIN IMMEDIATE")
                self._writer.executemany(_UPSERT, rows)
                self._writer.execute(_MOVE_CHECKPOINT, checkpoint)

        await anyio.to_thread.run_sync(work, limiter=self._writing)

    async def fetch(self, ids: Sequence[UUID]) -> Mapping[UUID, Mapping[str, Any]]:
        """The stored documents of these ids."""
        wanted = orjson.dumps([str(each) for each in ids]).decode()
        statement = "SELECT document FROM document WHERE id IN (SELECT value FROM json_each(?))"
        documents = await self._read(lambda reader: _documents(reader.execute(statement, (wanted,))))
        return {UUID(document["id"]): document for document in documents}

    async def scan(self) -> AsyncIterator[Mapping[str, Any]]:
        """Every document in the order of the ids, page by page: a long scan holds no transaction open."""
        last = ""
        while True:
            page = await self._read(partial(_page, last))
            for document in page:
                yield document
            if len(page) < SCAN_PAGE_SIZE:
                return
            last = page[-1]["id"]

    async def reset(self) -> None:
        """Remove every document and the checkpoint."""

        def work() -> None:
            with self._explained(), self._writer:
                self._writer.execute("BEGIN IMMEDIATE")
                self._writer.execute("DELETE FROM document")
                self._writer.execute("DELETE FROM checkpoint")

        await anyio.to_thread.run_sync(work, limiter=self._writing)

    async def get(self, visible: NamespaceSet, kind: Kind, entry_id: UUID) -> Entry | None:
        """The entry, None if there is none or it may not be seen."""
        values = {**_visibility(visible), "id": str(entry_id), "kind": kind}
        found = await self._read(lambda reader: _documents(reader.execute(_GET, values)))
        return entry_from_json(found[0]["entry"]) if found else None

    async def list(self, visible: NamespaceSet, query: ListQuery) -> EntryPage:
        """A page of entries in the order of (namespace, key, id), and the checkpoint of the same moment."""
        limit = min(query.limit, PAGE_SIZE_MAX)
        namespace, key, last_id = query.after or ("", "", "")
        values = {
            **_visibility(visible),
            "kinds": orjson.dumps(query.kinds).decode(),
            "status": query.status,
            "namespace": namespace,
            "key": key,
            "id": last_id,
            "limit": limit + 1,
        }

        def work(reader: sqlite3.Connection) -> tuple[list[dict[str, Any]], Position]:
            return _documents(reader.execute(_LIST, values)), _checkpoint(reader)

        documents, position = await self._read(work)
        entries = [entry_from_json(document["entry"]) for document in documents[:limit]]
        return EntryPage(entries, len(documents) > limit, position)

    async def _read(self, work: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        def read() -> ResultT:
            # One transaction, so that everything read is of one moment.
            with self._explained(), self._reader:
                self._reader.execute("BEGIN")
                return work(self._reader)

        return await anyio.to_thread.run_sync(read, limiter=self._reading)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = (error.sqlite_errorcode if hasattr(error, "sqlite_errorcode") else 0) & 0xFF
            if code in _RETRYABLE:
                raise StoreUnavailable(self._file, str(error)) from error
            raise StoreDamaged(self._file, str(error)) from error


def _connect(file: Path, mode: str) -> sqlite3.Connection:
    # Used by one thread at a time, but not always the same one: the limiters see to that.
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    if mode != "ro":
        connection.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing; after a power cut the last transactions may be missing, each with its
        # checkpoint, and come again from the log.
        connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _prepare(writer: sqlite3.Connection, version: int) -> None:
    """Make the tables, or make them anew if they are of another version."""
    (found,) = writer.execute("PRAGMA user_version").fetchone()
    if found == version:
        return
    schema = _SCHEMA.read_text(encoding="utf-8")
    drop = "DROP TABLE IF EXISTS document; DROP TABLE IF EXISTS checkpoint;"
    writer.executescript(f"BEGIN IMMEDIATE; {drop} {schema} PRAGMA user_version = {version}; COMMIT;")


def _check(reader: sqlite3.Connection, file: Path, version: int) -> None:
    (found,) = reader.execute("PRAGMA user_version").fetchone()
    if found != version:
        raise StoreOutdated(file, f"it has version {found}, and this release reads version {version}")


def _visibility(visible: NamespaceSet) -> dict[str, Any]:
    return {"every": visible.every, "namespaces": orjson.dumps(sorted(visible.names)).decode()}


def _checkpoint(connection: sqlite3.Connection) -> Position:
    row = connection.execute("SELECT sequence, epoch FROM checkpoint").fetchone()
    return Position(*row) if row else START


def _page(after: str, connection: sqlite3.Connection) -> list[dict[str, Any]]:
    statement = "SELECT document FROM document WHERE id > ? ORDER BY id LIMIT ?"
    return _documents(connection.execute(statement, (after, SCAN_PAGE_SIZE)))


def _documents(rows: Iterable[tuple[bytes]]) -> list[dict[str, Any]]:
    return [orjson.loads(document) for (document,) in rows]
