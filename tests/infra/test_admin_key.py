"""The administrator key: minted once, by whoever comes first, and read by its owner alone."""

import multiprocessing
import os
import stat
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from domain.errors import Unauthenticated
from domain.principal import EVERY_SCOPE
from infra.admin_key import KEY_PATTERN, AdminKey, Authenticator
from infra.settings import ConfigurationError

MINTERS = 4


def test_the_first_start_mints_and_the_next_reads(tmp_path: Path) -> None:
    """The file is the owner's alone, holds the key and a line's end, and is never written again."""
    path = tmp_path / "data" / "admin.key"
    first = AdminKey.open(path)
    key = path.read_text().removesuffix("\n")
    assert KEY_PATTERN.fullmatch(key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    second = AdminKey.open(path)
    assert (first.minted, second.minted) == (True, False)
    assert first.matches(key)
    assert second.matches(key)
    assert [file.name for file in path.parent.iterdir()] == ["admin.key"]
    assert key not in repr(first)


def test_two_installations_have_different_keys(tmp_path: Path) -> None:
    """A key is random, and fits one installation."""
    AdminKey.open(tmp_path / "a")
    assert not AdminKey.open(tmp_path / "b").matches((tmp_path / "a").read_text().strip())


def _mint_with_others(
    path: Path, barrier: Barrier, results: "multiprocessing.Queue[tuple[bool, bytes]]"
) -> None:
    barrier.wait()
    key = AdminKey.open(path)
    results.put((key.minted, key.digest))


def test_of_processes_that_mint_at_once_one_wins(tmp_path: Path) -> None:
    """All of them hold the same key afterwards, the one that is in the file."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(MINTERS), context.Queue()
    path = tmp_path / "data" / "admin.key"
    minters = [
        context.Process(target=_mint_with_others, args=(path, barrier, results)) for _ in range(MINTERS)
    ]
    for minter in minters:
        minter.start()
    outcomes = [results.get(timeout=30) for _ in minters]
    for minter in minters:
        minter.join()
    results.close()
    assert sum(minted for minted, _ in outcomes) == 1
    assert {digest for _, digest in outcomes} == {AdminKey.open(path).digest}


def test_a_key_that_appears_between_look_and_link_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race, made certain: the file was not there when this process looked, and is when it writes."""
    path = tmp_path / "admin.key"
    winner = AdminKey.open(path)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    loser = AdminKey.open(path)
    assert (loser.minted, loser.digest) == (False, winner.digest)
    assert [file.name for file in tmp_path.iterdir()] == ["admin.key"]


def test_a_start_that_dies_while_minting_leaves_no_half_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has its name only when it is whole, so that the next start mints."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(ConfigurationError, match="No space left"):
            AdminKey.open(tmp_path / "admin.key")
    assert list(tmp_path.iterdir()) == []
    assert AdminKey.open(tmp_path / "admin.key").minted


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_a_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that others may have read is no key; the message says what to do."""
    path = tmp_path / "admin.key"
    AdminKey.open(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {path}"):
        AdminKey.open(path)


@pytest.mark.parametrize(
    "content", ["", "s3cret\n", "chr_short\n", "chr_" + "a" * 44, "chr_" + "a" * 43 + "\nmore"]
)
def test_a_file_without_a_key_is_refused_and_not_quoted(tmp_path: Path, content: str) -> None:
    """An emptied or replaced file must not become a key that is easy to guess."""
    path = tmp_path / "admin.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="holds no administrator key") as refusal:
        AdminKey.open(path)
    assert not content.strip() or content.strip() not in refusal.value.message


def test_the_key_makes_an_administrator(tmp_path: Path) -> None:
    """Every scope and every namespace."""
    path = tmp_path / "admin.key"
    principal = Authenticator(AdminKey.open(path)).authenticate(path.read_text().strip())
    assert (principal.id, principal.scopes) == ("admin", EVERY_SCOPE)
    assert "anything" in principal.namespaces


@pytest.mark.parametrize("presented", [None, "", "chr_", "chr_" + "a" * 43, "ü", "\ud800", "x" * 100_000])
def test_anything_else_is_refused_with_where_keys_come_from(tmp_path: Path, presented: str | None) -> None:
    """The message quotes neither the key nor the path."""
    authenticator = Authenticator(AdminKey.open(tmp_path / "admin.key"))
    with pytest.raises(Unauthenticated, match="administrator key file of the data directory") as refusal:
        authenticator.authenticate(presented)
    assert str(tmp_path) not in refusal.value.message
    assert "chr_" not in refusal.value.message


def test_the_key_with_something_added_is_refused(tmp_path: Path) -> None:
    """A prefix or an extension of the key is not the key."""
    path = tmp_path / "admin.key"
    key = AdminKey.open(path)
    text = path.read_text().strip()
    assert not any(key.matches(wrong) for wrong in (text[:-1], text + "a", text + "\n", text.upper()))
