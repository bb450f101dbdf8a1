"""The checkpoints of all read models of a deployment: one small document for each physical index.

They have their own index because a read model's index is strict about its fields. Reading by id is realtime: no
refresh lies between the write of a checkpoint and its being seen.
"""

from domain.recorded import START, Position
from infra.elasticsearch.client import Cluster, IndexRemoved
from infra.elasticsearch.index import create_index


class Checkpoints:
    """How far each physical index is. A checkpoint never goes back; a new physical index begins with none."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._alias = f"{cluster.settings.prefix}-checkpoints"

    async def prepare(self) -> None:
        """Create the index unless it is there."""
        await create_index(self._cluster, f"{self._alias}-v1", "checkpoints", {self._alias: {}})

    async def read(self, physical: str) -> Position:
        """The checkpoint of a physical index, START if it has none."""
        try:
            found = await self._cluster.call(
                f"read the checkpoint of '{physical}'",
                lambda client: client.options(ignore_status=404).get(index=self._alias, id=physical),
            )
        except IndexRemoved:
            return START
        if not found.get("found"):
            return START
        return Position(found["_source"]["sequence"], found["_source"]["epoch"])

    async def write(self, physical: str, position: Position) -> None:
        """Store a checkpoint durably; an older one than the stored is ignored."""
        document = {"index": physical, "sequence": position.sequence, "epoch": position.epoch}
        await self._cluster.call(
            f"write the checkpoint of '{physical}'",
            lambda client: client.options(ignore_status=409).index(
                index=self._alias,
                id=physical,
                document=document,
                version=position.sequence,
                version_type="external_gte",
                require_alias=True,
            ),
        )

    async def remove(self, physical: str) -> None:
        """Forget the checkpoint of a physical index."""
        await self._cluster.call(
            f"remove the checkpoint of '{physical}'",
            lambda client: client.options(ignore_status=404).delete(index=self._alias, id=physical),
        )
