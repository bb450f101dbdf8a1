"""One read model's index: physical indices behind one alias.

`<prefix>-<read model>-v<schema>m<mapping>-<token>` is a physical index, `<prefix>-<read model>` the alias naming the
present one. A token is never used twice, and replacing moves the alias and removes the old index in one atomic step: so
a remembered physical name is either right or gone, never an outdated copy. Writers use a second alias of each physical
index, its name with `-writer`, and demand that it is an alias: Elasticsearch would otherwise create a missing index by
itself, with guessed mappings.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import orjson

from domain.errors import Unavailable
from infra.elasticsearch.client import Cluster, IndexRemoved, RequestRefused, error_type, reason_of

MAPPING_VERSION = 1
"""Raise it with every change of a mapping file: indices of another version are built anew from the log."""

READERS = {"is_write_index": True}
"""Nobody writes through the readers' alias. An alias has at most one write index, so Elasticsearch itself refuses the
second one when two processes create the first index at once."""


def mappings(name: str) -> dict[str, Any]:
    """The mapping of that name, kept as JSON beside this module."""
    loaded: dict[str, Any] = orjson.loads((files(__package__) / f"{name}.json").read_bytes())
    return loaded


def writer_alias(physical: str) -> str:
    """The alias that writers of one physical index use."""
    return f"{physical}-writer"


async def create_index(
    cluster: Cluster, physical: str, mapping: str, aliases: Mapping[str, Mapping[str, Any]]
) -> bool:
    """Create an index with its aliases in one step. False if it, or another one behind the alias, is there already."""
    settings = {"number_of_shards": cluster.settings.shards, "number_of_replicas": cluster.settings.replicas}
    answer = await cluster.call(
        f"create the index '{physical}'",
        lambda client: client.options(ignore_status=(400, 500)).indices.create(
            index=physical, mappings=mappings(mapping), settings={"index": settings}, aliases=aliases
        ),
    )
    if "error" not in answer:
        return True
    reason = reason_of(answer)
    if error_type(answer) == "resource_already_exists_exception" or "more than one write index" in reason:
        return False
    raise RequestRefused(f"Elasticsearch did not create the index '{physical}': {reason}")


class VersionedIndex:
    """The physical indices of one read model. It keeps no state: the alias in the cluster is the truth."""

    def __init__(self, cluster: Cluster, name: str, schema_version: int) -> None:
        self._cluster = cluster
        self._name = name
        self._version = (schema_version, MAPPING_VERSION)
        self.alias = f"{cluster.settings.prefix}-{name}"
        self._pattern = re.compile(re.escape(self.alias) + r"-v(\d+)m(\d+)-[0-9a-f]+")

    async def current(self) -> str:
        """The physical index that the alias names; created empty if there is none, replaced if of an older version.

        Raises Unavailable if it was made by a newer version of the program.
        """
        physical = await self._behind_alias()
        if physical is None:
            new = self._new_name()
            aliases = {writer_alias(new): {}, self.alias: READERS}
            physical = new if await create_index(self._cluster, new, self._name, aliases) else None
        if physical is None:  # another process was faster
            physical = await self._behind_alias()
        if physical is None:
            raise Unavailable(
                f"The alias '{self.alias}' was removed just now. Something else deletes indices."
            )
        found = self._version_of(physical)
        if found > self._version:
            raise Unavailable(
                f"The index '{physical}' was built by a newer version of this program. Upgrade this process, or give "
                "it another index prefix."
            )
        return physical if found == self._version else await self.replace(physical)

    async def present(self) -> str | None:
        """The physical index that the alias names, None if there is none of this version. Nothing is made."""
        physical = await self._behind_alias()
        return physical if physical is not None and self._version_of(physical) == self._version else None

    async def replace(self, old: str) -> str:
        """Put a new empty physical index behind the alias and remove `old`, in one step; answers the present one.

        If another process replaced `old` first, its index is the present one.
        """
        new = self._new_name()
        await create_index(self._cluster, new, self._name, {writer_alias(new): {}})
        actions: list[dict[str, Any]] = [
            {"remove_index": {"index": old}},
            {"add": {"index": new, "alias": self.alias, **READERS}},
        ]
        try:
            await self._cluster.call(
                f"move the alias '{self.alias}' to '{new}'",
                lambda client: client.indices.update_aliases(actions=actions),
            )
        except IndexRemoved:
            await self._remove(new)
            return await self.current()
        await self._remove_leftovers()
        return new

    async def _behind_alias(self) -> str | None:
        found = await self._cluster.call(
            f"look up the alias '{self.alias}'",
            lambda client: client.options(ignore_status=404).indices.get_alias(name=self.alias),
        )
        names = [name for name in found if self._pattern.fullmatch(name)]
        return names[0] if names else None

    async def _remove_leftovers(self) -> None:
        """Remove physical indices without the readers' alias: of a process that died in `replace`.

        One that is being made by another process this moment goes too; that process then finds ours as the present one.
        """
        found = await self._cluster.call(
            f"list the indices of '{self.alias}'",
            lambda client: client.indices.get_alias(index=f"{self.alias}-v*"),
        )
        for name, entry in found.items():
            if self._pattern.fullmatch(name) and self.alias not in entry["aliases"]:
                await self._remove(name)

    async def _remove(self, physical: str) -> None:
        await self._cluster.call(
            f"remove the index '{physical}'",
            lambda client: client.indices.delete(index=physical, ignore_unavailable=True),
        )

    def _new_name(self) -> str:
        schema, mapping = self._version
        return f"{self.alias}-v{schema}m{mapping}-{secrets.token_hex(6)}"

    def _version_of(self, physical: str) -> tuple[int, int]:
        match = self._pattern.fullmatch(physical)
        return (int(match[1]), int(match[2])) if match else (0, 0)
