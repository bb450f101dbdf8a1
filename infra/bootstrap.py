"""The composition root: opens every adapter, wires it to the core, and closes all in the reverse order.

    async with open_runtime(settings) as runtime: ...

Embedded or real servers are chosen by the settings alone; there is never a silent fallback from one to the other.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from commands.audit import Audit
from commands.catalogue_reader import CatalogueReader
from commands.mcp_service import McpService
from commands.message_manager import MessageManager
from commands.namespace_manager import NamespaceManager
from commands.operations import OperationTable
from commands.ports import Catalogue, EventStore, Freshness, Registry, Search
from commands.prompt_manager import PromptManager
from commands.remote import RemoteEndpoint
from commands.repository import Repository
from commands.request import Request
from commands.resource_manager import ResourceManager
from commands.tool_manager import ToolManager
from domain.errors import AlreadyExists, ChronicleError, Unavailable
from domain.namespace import DEFAULT_NAMESPACE
from domain.principal import SYSTEM
from domain.recorded import START, Position
from infra.admin_key import AdminKey, Authenticator
from infra.data_directory import prepare_data_directory
from infra.elasticsearch.client import ElasticsearchSettings, open_cluster
from infra.elasticsearch.fulltext_store import ElasticsearchFulltext
from infra.elasticsearch.metadata_store import ElasticsearchMetadata
from infra.embedded.sqlite_store import SqliteStore, open_sqlite_store
from infra.embedded.tantivy_store import TantivyStore, open_tantivy_store
from infra.freshness import ReadModelFreshness
from infra.http_client import GuardedClient
from infra.metrics import Metrics, ProjectorGauges, RegistryGauges
from infra.redis.checks import Durability
from infra.redis.owner import DirectoryInUse
from infra.redis.raw_log import RawLog
from infra.redis.segments import SegmentDirectory
from infra.redis.store import LogFiles, RedisEventStore
from infra.redis.tools import LogTools
from infra.redis.valkey import ValkeyServer
from infra.redis.watermark import WatermarkFile
from infra.runtime import Health, Runtime
from infra.secrets import SecretStore
from infra.settings import ConfigurationError, Settings
from projections.fulltext import FULLTEXT
from projections.metadata import METADATA
from projections.ports import DocumentStore
from projections.projector import Projector
from projections.read_models import READ_MODELS
from projections.registry import ToolRegistry

REGISTRY_START_TIMEOUT_S = 300.0
"""How long the start waits for the registry to read the log before it gives up."""

HEALTH_TIMEOUT_S = 2.0
"""How long a health check waits for each server."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadModelStores:
    """The stores of the read models of one engine."""

    metadata: SqliteStore | ElasticsearchMetadata
    fulltext: TantivyStore | ElasticsearchFulltext
    ping: Callable[[], Awaitable[None]]
    """Raises Unavailable if they cannot be read."""

    @property
    def by_name(self) -> Mapping[str, DocumentStore]:
        """Each store under the name of its read model."""
        return {METADATA.name: self.metadata, FULLTEXT.name: self.fulltext}


@dataclass(frozen=True, slots=True)
class Verifiable:
    """The log and the stores, for reading alone."""

    log: EventStore
    stores: Mapping[str, DocumentStore]


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncIterator[Runtime]:
    """Everything running and caught up. Raises ConfigurationError, UnsafeServer, DirectoryInUse and Unavailable."""
    if settings.roles != {"api", "projector"} and settings.elasticsearch_url is None:
        raise ConfigurationError(
            "CHRONICLE_ROLES: one role alone needs CHRONICLE_ELASTICSEARCH_URL, "
            "because the embedded indices belong to one process."
        )
    prepare_data_directory(settings.data_dir)
    async with AsyncExitStack() as stack:
        key = AdminKey.open(settings.admin_key_file)
        metrics = Metrics()
        # The log's server first: it holds the lock of the data directory. Its store last: it needs the checkpoints.
        url = await _log_url(settings, stack, beside_owner=False)
        if settings.cache_url is None:
            await stack.enter_async_context(ValkeyServer(settings.data_dir, "cache", persistent=False))
        stores = await _open_read_models(settings, stack)
        store = await _open_log(settings, stack, url, metrics, await _checkpointed(stores))
        client = await stack.enter_async_context(GuardedClient())
        registry = ToolRegistry(store, RegistryGauges(metrics))
        projectors = [
            Projector(store, model, stores.by_name[model.name], ProjectorGauges(metrics))
            for model in READ_MODELS
            if "projector" in settings.roles
        ]
        await stack.enter_async_context(_running(registry, *projectors))
        freshness = ReadModelFreshness(stores.by_name, {each.name: each.progress for each in projectors})
        remote = RemoteEndpoint(client, SecretStore(settings.secrets_dir))
        messages = _wire(store, registry, stores.metadata, stores.fulltext, freshness, remote, metrics)
        await registry.wait_until_ready(REGISTRY_START_TIMEOUT_S)
        await _ensure_default_namespace(messages, registry)
        yield Runtime(
            settings=settings,
            messages=messages,
            registry=registry,
            store=store,
            authenticator=Authenticator(key),
            metrics=metrics,
            health=lambda: _health(store, registry, projectors, stores),
        )


@asynccontextmanager
async def open_for_verification(settings: Settings) -> AsyncIterator[Verifiable]:
    """The log and the read models for a second process, which changes nothing; a running program may go on.

    Where none runs, the embedded log is started for the time of the verification.
    """
    prepare_data_directory(settings.data_dir)
    async with AsyncExitStack() as stack:
        log = await _open_log(settings, stack, await _log_url(settings, stack, beside_owner=True), Metrics())
        stores = await _open_read_models(settings, stack, read_only=True)
        yield Verifiable(log, stores.by_name)


@asynccontextmanager
async def open_log_tools(settings: Settings, *, read_models: bool = False) -> AsyncIterator[LogTools]:
    """The log as stored, for a second process or where none runs; the log's server is not checked, only read.

    `read_models` opens them too, for who must know how far they are.
    """
    async with AsyncExitStack() as stack:
        url = await _log_url(settings, stack, beside_owner=True)
        log = await stack.enter_async_context(RawLog(url, settings.deployment))
        stores = (await _open_read_models(settings, stack, read_only=True)).by_name if read_models else {}
        yield LogTools(log, _archive(settings), stores)


def _wire(
    store: EventStore,
    registry: Registry,
    catalogue: Catalogue,
    search: Search,
    freshness: Freshness,
    remote: RemoteEndpoint,
    metrics: Metrics,
) -> MessageManager:
    repository = Repository(store)
    tools = ToolManager(repository, _now, registry, remote, metrics)
    resources = ResourceManager(repository, _now, registry, remote)
    prompts = PromptManager(repository, _now)
    parts = (
        NamespaceManager(repository, _now),
        tools,
        resources,
        prompts,
        McpService(registry, tools, resources, prompts),
        CatalogueReader(catalogue, search, freshness),
        Audit(store),
    )
    table = OperationTable(row for part in parts for row in part.operations())
    return MessageManager(table, store, repository.result_of, metrics)


async def _open_log(
    settings: Settings,
    stack: AsyncExitStack,
    url: str,
    metrics: Metrics,
    checkpointed: Position | None = None,
) -> RedisEventStore:
    """The store; for the program itself (`checkpointed` is given) it minds the watermark."""
    mark = None
    if checkpointed is not None and settings.redis_url is None:
        mark = WatermarkFile(settings.data_dir / "log", settings.deployment)
    store = RedisEventStore(
        url,
        settings.deployment,
        durability=Durability(settings.durability),
        acknowledged=checkpointed or START,
        files=LogFiles(mark, _archive(settings)),
        appended=metrics.observe_append,
    )
    return await stack.enter_async_context(store)


def _archive(settings: Settings) -> SegmentDirectory:
    return SegmentDirectory(settings.data_dir / "archive" / settings.deployment)


async def _checkpointed(stores: ReadModelStores) -> Position:
    """The highest position that a read model says to have applied. One that does not answer is passed over."""
    highest = START
    for name, store in stores.by_name.items():
        try:
            highest = max(highest, await store.checkpoint())
        except Unavailable as error:
            _log.warning("the checkpoint of read model %s is unknown at the start: %s", name, error)
    return highest


async def _log_url(settings: Settings, stack: AsyncExitStack, *, beside_owner: bool) -> str:
    """The URL of the log's server, which is started if it is the embedded one."""
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    log_server = ValkeyServer(settings.data_dir, "log", persistent=True)
    try:
        await stack.enter_async_context(log_server)
    except DirectoryInUse:
        if not beside_owner:
            raise
    return log_server.url


async def _open_read_models(
    settings: Settings, stack: AsyncExitStack, *, read_only: bool = False
) -> ReadModelStores:
    if settings.elasticsearch_url is not None:
        api_key = settings.elasticsearch_api_key
        cluster = await stack.enter_async_context(
            open_cluster(
                ElasticsearchSettings(
                    url=settings.elasticsearch_url.get_secret_value(),
                    api_key=api_key.get_secret_value() if api_key else None,
                    prefix=settings.deployment,
                )
            )
        )
        return ReadModelStores(ElasticsearchMetadata(cluster), ElasticsearchFulltext(cluster), cluster.ping)
    directory = settings.data_dir / "index"
    metadata = open_sqlite_store(directory / METADATA.name, METADATA.schema_version, read_only=read_only)
    fulltext = open_tantivy_store(directory / FULLTEXT.name, FULLTEXT.schema_version, read_only=read_only)
    documents = await stack.enter_async_context(metadata)
    return ReadModelStores(documents, await stack.enter_async_context(fulltext), _always_there)


@asynccontextmanager
async def _running(*followers: ToolRegistry | Projector) -> AsyncIterator[None]:
    """The followers' tasks, for as long as the body runs."""
    # Cancelled through the scope: a write that a thread carries out is then waited for, never abandoned half-way.
    async with anyio.create_task_group() as tasks:
        for follower in followers:
            tasks.start_soon(follower.run)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


async def _ensure_default_namespace(messages: MessageManager, registry: Registry) -> None:
    """A new installation can be used at once: the first start makes a namespace, as an event like any other."""
    if registry.position.sequence > 0:
        return
    first = {"definition": {"name": DEFAULT_NAMESPACE}, "reason": "The first start of this installation."}
    try:
        result = await messages.handle(Request("namespace.create", first, SYSTEM, "system"))
    except AlreadyExists:
        return  # another process was first
    await registry.wait_for(result.position, REGISTRY_START_TIMEOUT_S)


async def _always_there() -> None:
    """An engine inside the program."""


async def _health(
    store: EventStore, registry: ToolRegistry, projectors: Sequence[Projector], stores: ReadModelStores
) -> Health:
    parts: dict[str, str] = {}
    ready = registry.ready
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S):
            head = await store.head()
        parts["log"] = "ok"
    except (ChronicleError, TimeoutError):
        parts["log"] = "unavailable"
        return Health(False, parts)
    waiting = registry.stopped_by.message if registry.stopped_by is not None else "reading the log"
    parts["registry"] = "ok" if ready else waiting
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S):
            await stores.ping()
        parts["read_models"] = "ok"
    except (ChronicleError, TimeoutError):
        parts["read_models"] = "unavailable: lists and searches fail until they are back"
    for projector in projectors:
        lag = head.sequence - projector.progress.position.sequence
        parts[projector.name] = "ok" if lag <= 0 else f"{lag} events behind"
    return Health(ready, parts)


def _now() -> datetime:
    return datetime.now(UTC)
