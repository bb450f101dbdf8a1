"""`chronicle doctor`: looks at the settings, this machine, the data directory and the servers, and says what to do.

It changes nothing but that, where the program does not run, the embedded log is started for a moment to be looked at.
"""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from api.cli.listener import RUN_FILE
from api.cli.output import EXIT_FAILED, JsonOption, Output, run
from domain.errors import ChronicleError, Unavailable
from infra.api_client import open_api, read_key, running_url
from infra.settings import PREFIX, ConfigurationError, Settings

Level: TypeAlias = Literal["ok", "warn", "fail"]

FREE_BYTES_WARN, FREE_BYTES_FAIL = 1024**3, 100 * 1024**2
LAG_EVENTS_WARN = 1000
PYTHON_MIN = (3, 11)
VERSION_TIMEOUT_S = 5.0
MARGIN = "\n" + " " * 25
"""Begins a further line of a finding, below the first one's text."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `advice` says what to do, and is empty where nothing is."""

    check: str
    level: Level
    text: str
    advice: str = ""


def doctor(*, json: JsonOption = False) -> None:
    """Check settings, machine, data directory, servers and read models; exit status 1 if something fails."""
    output = Output(json=json)

    async def action() -> int:
        findings = []
        async for finding in _findings():
            findings.append(finding)
            output.line(f"{finding.level:<5} {finding.check:<18} {finding.text}".replace("\n", MARGIN))
            if finding.advice:
                output.line(f"{MARGIN[1:]}→ {finding.advice}")
        levels: list[Level] = ["ok", "warn", "fail"]
        counts = {level: sum(finding.level == level for finding in findings) for level in levels}
        output.line(", ".join(f"{count} {level}" for level, count in counts.items()))
        output.record({"findings": [asdict(finding) for finding in findings], **counts})
        return EXIT_FAILED if counts["fail"] else 0

    run(output, action)


async def _findings() -> AsyncIterator[Finding]:
    yield _python()
    try:
        settings = Settings.load()
    except ConfigurationError as error:
        yield Finding("settings", "fail", error.message, "Correct the environment, then ask again.")
        return
    for finding in _settings(settings):
        yield finding
    if settings.redis_url is None:
        yield _valkey()
    yield _data_directory(settings.data_dir)
    yield _key(settings)
    instance = await _instance(settings)
    yield instance
    async for finding in _log_and_read_models(settings, runs=instance.level == "ok"):
        yield finding


def _python() -> Finding:
    from importlib.metadata import version  # noqa: PLC0415 - loads slowly

    text = f"chronicle {version('mcp-chronicle')} on Python {sys.version.split()[0]}, {sys.platform}"
    if sys.version_info < PYTHON_MIN:
        return Finding("program", "fail", text, "Use Python 3.11 or later.")
    return Finding("program", "ok", text)


def _settings(settings: Settings) -> Iterator[Finding]:
    shown = settings.describe()
    given = {f"{PREFIX}{field}".lower() for field in settings.model_fields_set}
    lines = [
        f"{name}={shown[name]}" + ("" if name.lower() in given else "  (default)") for name in sorted(shown)
    ]
    yield Finding("settings", "ok", "\n".join(lines))
    if settings.durability != "always":
        yield Finding(
            "durability",
            "warn",
            f"CHRONICLE_DURABILITY is '{settings.durability}': a crash may lose acknowledged events.",
            "Use 'always' unless the server cannot do it.",
        )


def _valkey() -> Finding:
    from infra.redis.valkey import server_binary  # noqa: PLC0415 - other commands start faster without it

    try:
        binary = server_binary()
        done = subprocess.run(  # noqa: S603 - the program that serve starts
            [binary, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=True
        )
    except ChronicleError as error:
        return Finding("valkey", "fail", error.message)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            "valkey", "fail", f"The Valkey server cannot be run: {error}", "Reinstall the program."
        )
    version = next((word[2:] for word in done.stdout.split() if word.startswith("v=")), done.stdout.strip())
    return Finding("valkey", "ok", f"{version} at {binary}")


def _data_directory(path: Path) -> Finding:
    if not path.exists():
        parent = next(parent for parent in path.absolute().parents if parent.exists())
        if not os.access(parent, os.W_OK):
            return Finding(
                "data directory", "fail", f"{path} cannot be made in {parent}", "Set CHRONICLE_DATA_DIR."
            )
        return Finding("data directory", "ok", f"{path} is not there yet; the first start makes it")
    if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
        return Finding(
            "data directory", "fail", f"{path} cannot be written", "Set CHRONICLE_DATA_DIR, or its rights."
        )
    free = shutil.disk_usage(path).free
    text = f"{path}, {free / 1024**3:.1f} GiB free"
    if free < FREE_BYTES_WARN:
        level: Level = "fail" if free < FREE_BYTES_FAIL else "warn"
        return Finding("data directory", level, text, "Free space: a full disk stops every change.")
    if path.stat().st_mode & stat.S_IWOTH:
        return Finding("data directory", "fail", f"{text}; everybody can write it", f"Run: chmod o-w {path}")
    return Finding("data directory", "ok", text)


def _key(settings: Settings) -> Finding:
    path = settings.admin_key_file
    if not path.exists():
        return Finding("administrator key", "ok", f"{path} is not there yet; the first start makes it")
    try:
        read_key(settings)
    except ConfigurationError as error:
        return Finding("administrator key", "fail", error.message)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return Finding(
            "administrator key", "fail", f"others can read {path} ({mode:o})", f"Run: chmod 600 {path}"
        )
    return Finding("administrator key", "ok", f"{path} ({mode:04o})")


async def _instance(settings: Settings) -> Finding:
    url = running_url(settings)
    try:
        async with open_api(settings) as api:
            await api.probe("/livez")
            try:
                await api.probe("/readyz")
            except ChronicleError as error:
                return Finding(
                    "running program", "warn", f"{url} is up but not ready: {error.message}", "Wait."
                )
    except ConfigurationError:
        return Finding(
            "running program", "warn", "not asked: there is no key for it", "Start it: chronicle serve"
        )
    except ChronicleError as error:
        if not isinstance(error, Unavailable):
            return Finding(
                "running program",
                "fail",
                f"{url} is not this program: {error.message}",
                "Check CHRONICLE_URL.",
            )
        killed = (settings.data_dir / RUN_FILE).exists()
        text = (
            f"none answers at {url}{f'; {RUN_FILE} is left over from one that was killed' if killed else ''}"
        )
        return Finding("running program", "warn", text, "Start it: chronicle serve")
    return Finding("running program", "ok", f"{url} is ready")


async def _log_and_read_models(settings: Settings, *, runs: bool) -> AsyncIterator[Finding]:
    if settings.redis_url is None and not (settings.data_dir / "log").exists():
        yield Finding("log", "ok", "there is none yet; the first start makes it")
        return
    from infra.bootstrap import open_for_verification  # noqa: PLC0415 - as above

    try:
        async with open_for_verification(settings) as opened:
            head = await opened.log.head()
            kept = "fsync on every write" if settings.durability == "always" else settings.durability
            yield Finding("log", "ok", f"head at {head}; durability: {kept}")
            for name, store in opened.stores.items():
                try:
                    checkpoint = await store.reached()
                except ChronicleError as error:
                    yield Finding(f"read model {name}", "fail", error.message)
                    continue
                lag = head.sequence - checkpoint.sequence
                failures = await _failures(settings, name) if runs and lag > LAG_EVENTS_WARN else 0
                yield _read_model(name, lag, f"at {checkpoint}", runs=runs, failures=failures)
    except ChronicleError as error:
        yield Finding("log, read models", "fail", error.message)


async def _failures(settings: Settings, name: str) -> int:
    """How often the running program could not apply a batch to a read model, by its own count."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - only a lag needs it

    async with open_api(settings) as api:
        families = text_string_to_metric_families(await api.text("/metrics"))
        samples = [sample for family in families for sample in family.samples]
    return sum(
        int(sample.value)
        for sample in samples
        if sample.name == "chronicle_projection_failures_total" and sample.labels["projection"] == name
    )


def _read_model(name: str, lag: int, where: str, *, runs: bool, failures: int) -> Finding:
    check = f"read model {name}"
    if lag < 0:
        return Finding(
            check, "fail", f"{where}, {-lag} events beyond the log", "The log lost events: restore it."
        )
    if lag and not runs:
        return Finding(check, "ok", f"{where}, {lag} events to catch up with at the next start")
    if lag > LAG_EVENTS_WARN and failures:
        return Finding(
            check,
            "warn",
            f"{where}, {lag} events behind, {failures} failures",
            "Look at the program's log for follower_failed.",
        )
    if lag > LAG_EVENTS_WARN:
        return Finding(check, "warn", f"{where}, {lag} events behind, no failures", "Wait: it catches up.")
    return Finding(check, "ok", f"{where}, {lag} events behind")
