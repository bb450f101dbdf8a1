"""What can be wrong with the files of an embedded store. Each message names the path and says what to do.

ChronicleError
├── Unavailable
│   └── StoreUnavailable       another process writes to it, or the disk is full or slow
└── StoreDamaged          the files are not a store that can be read
    └── StoreOutdated     they are one of another release
"""

from pathlib import Path

from domain.errors import ChronicleError, Unavailable


class StoreUnavailable(Unavailable):
    """The store cannot be used at the moment."""

    code = "store_unavailable"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"The read model in {path} cannot be used now: {problem}. One process at a time writes to it."
        )


class StoreDamaged(ChronicleError):
    """The files cannot be read. They hold nothing that is not in the log."""

    code = "store_damaged"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"The read model in {path} cannot be read: {problem}. "
            "Stop the program and delete it: it is filled again from the log at the next start."
        )


class StoreOutdated(StoreDamaged):
    """The files were written by another release, and this process may not rebuild them."""

    code = "store_outdated"
