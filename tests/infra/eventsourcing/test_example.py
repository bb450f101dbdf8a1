"""The library's own example application, as its package documents it, runs on this persistence module."""

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from infra.redis.eventsourcing import RedisFactory
from infra.redis.valkey import ValkeyServer
from tests.infra.eventsourcing.cases import MODULE

ROOT = Path(__file__).parents[3]
PARTS = 4
"""The aggregate, the application, their test, and the line that runs it."""


def documented_example() -> str:
    """The first code blocks of the text that the library's package carries."""
    text = distribution("eventsourcing").read_text("METADATA") or ""
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "\n".join(blocks[:PARTS])


def test_the_documented_dog_school_runs_unchanged(
    log_server: ValkeyServer, deployment: str, tmp_path: Path
) -> None:
    """Setting PERSISTENCE_MODULE and where the server is, is all that it takes."""
    example = documented_example()
    assert example.rstrip().endswith("test_dog_school()")
    settings = {"PERSISTENCE_MODULE": MODULE, "REDIS_URL": log_server.url, "REDIS_DEPLOYMENT": deployment}
    script = tmp_path / "dog_school.py"
    script.write_text(example, encoding="utf-8")
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, str(script)], env=environment, cwd=tmp_path, check=True, timeout=50)
    factory = RedisFactory({"REDIS_URL": log_server.url, "REDIS_LOG": f"{deployment}.dogschool"})
    try:
        topics = [found.topic for found in factory.application_recorder().select_notifications(1, 10)]
    finally:
        factory.close()
    assert topics == ["__main__:Dog.Registered", "__main__:Dog.TrickAdded", "__main__:Dog.TrickAdded"]
