"""The one administrator key: minted at the first start, written once to a file that only its owner reads.

In memory there is only its hash. The key has 256 random bits, so that a fast hash is enough. Nothing here logs.
"""

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from domain.errors import Unauthenticated
from domain.principal import EVERY_NAMESPACE, EVERY_SCOPE, Principal
from infra.settings import ConfigurationError

KEY_PREFIX = "chr_"
KEY_PATTERN = re.compile(r"chr_[A-Za-z0-9_-]{43}")
_FILE_BYTES_MAX = 1024

ADMINISTRATOR = Principal("admin", EVERY_NAMESPACE, EVERY_SCOPE)


@dataclass(frozen=True, slots=True)
class AdminKey:
    """The key's hash, and the file that holds the key. `minted` says that this start made it."""

    path: Path
    digest: bytes
    minted: bool

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the key, or mint it where there is none. Of two processes that mint at once, one wins and both agree.

        Raises ConfigurationError for a file that others can read, or that holds no key.
        """
        try:
            minted = not path.exists() and _mint(path)
            return cls(path, _digest(_read(path)), minted)
        except OSError as error:
            raise ConfigurationError(
                f"The administrator key file {path} cannot be used: {error.strerror}."
            ) from error

    def matches(self, presented: str) -> bool:
        """Whether `presented` is the key, in a time that says nothing about it."""
        return hmac.compare_digest(_digest(presented), self.digest)


class Authenticator:
    """Tells who holds a key."""

    def __init__(self, key: AdminKey) -> None:
        self._key = key

    def authenticate(self, key: str | None) -> Principal:
        """The principal that the key stands for. Raises Unauthenticated."""
        if not key:
            problem = "This needs a key"
        elif self._key.matches(key):
            return ADMINISTRATOR
        else:
            problem = "The key is not valid"
        raise Unauthenticated(
            f"{problem}: send 'Authorization: Bearer <key>', with the key in the administrator key file of the "
            "data directory."
        )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _mint(path: Path) -> bool:
    """Write a new key unless somebody else has. The file appears under its name only when it is whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{KEY_PREFIX}{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(descriptor)
        # Unlike a rename, a link never replaces what is there.
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    _sync_directory(path.parent)
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & 0o077:
            raise ConfigurationError(
                f"Others can read the administrator key file {path} (mode {mode & 0o777:o}). Run: chmod 600 {path}"
            )
        key = file.read(_FILE_BYTES_MAX).decode("utf-8", "replace").strip()
    if not KEY_PATTERN.fullmatch(key):
        raise ConfigurationError(
            f"The file {path} holds no administrator key ({KEY_PREFIX} and 43 characters). "
            "Restore it, or remove it to mint a new key at the next start."
        )
    return key
