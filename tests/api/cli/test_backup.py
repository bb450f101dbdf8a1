"""`chronicle backup`, `events export` and `restore` as commands: one data directory becomes another."""

from pathlib import Path

from tests.api.cli.program import chronicle, running


def test_a_data_directory_is_backed_up_and_restored_elsewhere(data_dir: Path) -> None:
    """Beside the running program; both kinds give the same log, which a program then serves from."""
    first, copy, file = data_dir / "a", data_dir / "backup", data_dir / "log.ndjson"
    with running(first) as program:
        backed_up = chronicle(first, "backup", copy, "--json")
        assert backed_up.status == 0, backed_up.err
        assert chronicle(first, "events", "export", file, "--json").result == backed_up.result
        refused = chronicle(first, "restore", copy)
        assert refused.status == 1
        assert "not empty" in refused.err
        assert program.stop().status == 0
    for number, source in enumerate([(copy,), (file, "--ndjson")]):
        target = data_dir / f"r{number}"
        restored = chronicle(target, "restore", *source, "--json")
        assert restored.status == 0, restored.err
        assert restored.result == backed_up.result
    with running(data_dir / "r0") as program:
        verified = chronicle(data_dir / "r0", "events", "verify", "--json").result
        assert (verified["whole"], verified["position"]) == (True, backed_up.result["position"])
        assert program.stop().status == 0
