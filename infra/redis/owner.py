"""Who owns a server's directory, and where its socket is: one owner at a time, found by its process id.

The lock is an flock on a file in the directory. The server inherits the locked file, so the lock is held as long as the
owner or its server lives: two servers never write one append-only file, also where an owner was killed a moment ago.
"""

import fcntl
import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path

from domain.errors import Unavailable

# sun_path has 108 bytes on Linux and 104 on macOS, with the final NUL.
SOCKET_PATH_LENGTH_MAX = 107 if sys.platform == "linux" else 103


class DirectoryInUse(Unavailable):
    """Another process owns the directory. The message names it."""

    code = "directory_in_use"


class DirectoryLock:
    """The lock of one directory. `fd` is to be inherited by the server; `release` gives it up."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / "lock"
        self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self) -> None:
        """Take the lock or raise DirectoryInUse at once."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self.fd, 32, 0).decode(errors="replace").strip() or "unknown"
            message = (
                f"'{self._path.parent}' is in use by the process {owner}. Stop that one, or use another directory "
                "(CHRONICLE_DATA_DIR)."
            )
            raise DirectoryInUse(message) from error
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self.fd)


def socket_path(directory: Path) -> Path:
    """Where the server of a directory listens: inside it, or in a short private directory if that path is too long.

    The same for every process of this user, so that another one finds the server. Raises Unavailable if the short
    directory belongs to somebody else.
    """
    inside = directory.absolute() / "valkey.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_LENGTH_MAX:
        return inside
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"chronicle-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    found = runtime.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Unavailable(f"'{runtime}' must be a directory of mode 0700 that is yours. Remove it.")
    digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    return runtime / f"{digest}.sock"
