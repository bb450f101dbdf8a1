"""Where `secret://name` is looked up: the environment, then a directory of files. Never kept, logged or quoted.

The environment variable is CHRONICLE_SECRET_ and the name in upper case with `-` and `.` as `_`. The file is the name
itself. Both are read at each call, so a secret is changed by changing it.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import structlog

from domain.binding import SECRET_REFERENCE
from domain.errors import RemoteFailure

SECRET_BYTES_MAX = 16 * 1024
"""Of one secret. A header that is longer is refused by most servers."""

VARIABLE_PREFIX = "CHRONICLE_SECRET_"

# Wider than a valid reference, so that one that is too long is refused instead of cut.
_REFERENCE = re.compile(r"secret://([A-Za-z0-9_.-]*)")

_log = structlog.get_logger(__name__)


class SecretStore:
    """Secrets over the environment and one directory, which need not exist."""

    def __init__(self, directory: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._directory = directory
        self._environment = environment
        self._warned_of: set[str] = set()

    def resolve(self, text: str) -> str:
        """`text` with each reference replaced. Raises RemoteFailure naming the first one that cannot be."""
        return _REFERENCE.sub(self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        reference, name = match[0], match[1]
        # A name that begins with a dot is a hidden file, or the directory above.
        if not SECRET_REFERENCE.fullmatch(reference) or name.startswith("."):
            raise RemoteFailure(f"'{reference[:100]}' is not a reference to a secret.")
        value = self._environment.get(VARIABLE_PREFIX + re.sub("[-.]", "_", name).upper())
        if value is None:
            value = self._from_file(name)
        if value is None:
            raise RemoteFailure(f"There is no secret for '{reference}'.")
        value = value.removesuffix("\n").removesuffix("\r")
        if not value or len(value.encode(errors="surrogateescape")) > SECRET_BYTES_MAX:
            raise RemoteFailure(
                f"The secret for '{reference}' is empty or larger than {SECRET_BYTES_MAX} bytes."
            )
        return value

    def _from_file(self, name: str) -> str | None:
        # Links are followed: orchestrators mount secrets as links. A FIFO must not hold up the loop.
        try:
            descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RemoteFailure(
                f"The secret for 'secret://{name}' cannot be read: {error.strerror}."
            ) from None
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise RemoteFailure(f"The secret for 'secret://{name}' is not a file.")
            self._warn_if_readable_by_others(name, mode)
            content = os.read(
                descriptor, SECRET_BYTES_MAX + 3
            )  # a line's end, and one byte that shows excess
        finally:
            os.close(descriptor)
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise RemoteFailure(f"The secret for 'secret://{name}' is not UTF-8 text.") from None

    def _warn_if_readable_by_others(self, name: str, mode: int) -> None:
        if mode & 0o077 and name not in self._warned_of:
            self._warned_of.add(name)
            _log.warning("secret_file_open_to_others", name=name, advice="chmod 600")
