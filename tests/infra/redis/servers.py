"""Servers beside the embedded one, on which the event store has to run unchanged."""

import shutil
import socket
import subprocess

import anyio

from infra.redis.valkey import ValkeyServer
from tests.infra.redis.faults import POLL_S, admin

SLOT_MAX = 16383


def redis_binary() -> str | None:
    """The redis-server on PATH, None if there is none or if it is Valkey under that name."""
    found = shutil.which("redis-server")
    if found is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    return found if version.startswith("Redis server") else None


class ClusterNode(ValkeyServer):
    """A server in cluster mode, alone in its cluster. `take_all_slots` makes it ready."""

    async def take_all_slots(self) -> None:
        """Serve every slot, and wait until the node says that it does."""
        async with admin(self.url) as client:
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOT_MAX)
            while True:
                info = await client.execute_command("CLUSTER", "INFO")
                if "cluster_state:ok" in str(info):
                    return
                await anyio.sleep(POLL_S)

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), "--cluster-enabled", "yes", "--cluster-port", str(_free_port())]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
