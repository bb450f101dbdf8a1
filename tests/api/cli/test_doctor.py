"""`chronicle doctor`: what it finds, and that what is wrong is found."""

from pathlib import Path

from tests.api.cli.program import Done, chronicle, running


def levels(done: Done) -> dict[str, str]:
    return {finding["check"]: finding["level"] for finding in done.result["findings"]}


def test_a_machine_that_never_ran_it_is_fine(data_dir: Path) -> None:
    """Nothing fails before the first start, and asking starts and makes nothing."""
    done = chronicle(data_dir, "doctor", "--json")
    assert (done.status, done.result["fail"]) == (0, 0)
    assert levels(done)["running program"] == "warn"
    assert list(data_dir.iterdir()) == []


def test_a_running_program_is_seen_whole(data_dir: Path) -> None:
    """Its address, its log and how far each read model is; all well, and no key in the report."""
    with running(data_dir):
        done = chronicle(data_dir, "doctor", "--json")
        assert chronicle(data_dir, "doctor").out.splitlines()[-1].endswith("0 fail")
    found = levels(done)
    assert (done.status, set(found.values())) == (0, {"ok"})
    assert {"running program", "log", "read model metadata", "read model fulltext"} <= set(found)
    assert (data_dir / "admin.key").read_text(encoding="ascii").strip() not in done.out + done.err


def test_a_key_that_others_can_read_fails(data_dir: Path) -> None:
    """Exit status 1, and the command that mends it."""
    with running(data_dir) as program:
        program.stop()
    (data_dir / "admin.key").chmod(0o644)
    done = chronicle(data_dir, "doctor")
    assert done.status == 1
    assert f"chmod 600 {data_dir}/admin.key" in done.out


def test_a_wrong_setting_fails(data_dir: Path) -> None:
    """The misspelt variable is named."""
    done = chronicle(data_dir, "doctor", "--json", more={"CHRONICLE_PROT": "1"})
    assert (done.status, levels(done)["settings"]) == (1, "fail")
    assert "CHRONICLE_PROT" in done.out


def test_an_elasticsearch_that_is_not_there_fails(data_dir: Path) -> None:
    """The sentence says which server does not answer, without its password."""
    with running(data_dir) as program:
        program.stop()
    more = {"CHRONICLE_ELASTICSEARCH_URL": "http://user:hunter2@127.0.0.1:9"}
    done = chronicle(data_dir, "doctor", "--json", more=more)
    assert done.status == 1
    assert "hunter2" not in done.out + done.err
    assert any("Elasticsearch" in one["text"] for one in done.result["findings"] if one["level"] == "fail")
