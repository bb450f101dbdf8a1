"""`chronicle doctor`: what it finds, and that what is wrong is found."""

from pathlib import Path

import pytest

from api.cli.doctor import _failures, _read_model
from infra.api_client import open_api
from infra.settings import Settings
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


def test_every_setting_is_shown_with_its_value(data_dir: Path) -> None:
    """One on each line, those that nobody set too; what may be a secret is not shown."""
    more = {"CHRONICLE_PORT": "8099", "CHRONICLE_REDIS_URL": "redis://user:hunter2@127.0.0.1:9"}
    done = chronicle(data_dir, "doctor", more=more)
    lines = [line.removeprefix("ok    settings").strip() for line in done.out.splitlines()]
    assert "CHRONICLE_PORT=8099" in lines
    assert "CHRONICLE_DURABILITY=always  (default)" in lines
    assert "CHRONICLE_REDIS_URL=redis://[redacted]@127.0.0.1:9" in lines
    shown = {line.partition("=")[0] for line in lines if line.startswith("CHRONICLE_")}
    assert shown == {f"CHRONICLE_{field.upper()}" for field in Settings.model_fields}
    assert "hunter2" not in done.out + done.err


@pytest.mark.parametrize(("failures", "words"), [(0, "Wait"), (3, "follower_failed")])
def test_a_lag_is_blamed_on_failures_only_where_there_are_some(failures: int, words: str) -> None:
    """A read model that is being rebuilt is behind, and nothing is wrong with it."""
    finding = _read_model("fulltext", 5000, "at 1-1", runs=True, failures=failures)
    assert finding.level == "warn"
    assert words in finding.advice
    assert ("follower_failed" in finding.advice) == bool(failures)


async def test_failures_are_read_from_the_running_programs_count(data_dir: Path) -> None:
    """By the name that its metrics have; a program that just started has none."""
    with running(data_dir) as program:
        settings = Settings.load(data_dir=data_dir, url=program.url)
        assert await _failures(settings, "metadata") == 0
        async with open_api(settings) as api:
            assert "chronicle_projection_failures_total" in await api.text("/metrics")


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
