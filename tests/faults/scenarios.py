"""Every fault by its name, in the order in which they are run."""

from tests.faults import files, limits, network, processes
from tests.faults.run import Scenario

SCENARIOS: dict[str, Scenario] = {
    "server-killed": processes.server_killed,
    "server-stopped": processes.server_stopped,
    "writer-killed": processes.writer_killed,
    "reader-killed": processes.reader_killed,
    "replies-lost": network.replies_lost,
    "replies-swallowed": network.replies_swallowed,
    "connections-reset": network.connections_reset,
    "file-cut": files.file_cut,
    "protocol-byte": files.protocol_byte,
    "payload-byte": files.payload_byte,
    "index-byte": files.index_byte,
    "disk-full": limits.disk_full,
    "memory-full": limits.memory_full,
    "one-aggregate": processes.one_aggregate,
    "stale-in-batch": processes.stale_in_batch,
}

NEEDS_ROOT = frozenset({"disk-full"})
