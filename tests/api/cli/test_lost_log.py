"""A program whose log lost acknowledged events: it does not start, says why, and the way out works."""

import re
import shutil
from pathlib import Path

from tests.api.cli.program import chronicle, running


def test_a_lost_log_is_refused_until_the_loss_is_accepted(data_dir: Path) -> None:
    """The read models know what was acknowledged also where the log's whole directory is gone."""
    with running(data_dir) as program:
        assert program.stop().status == 0
    shutil.rmtree(data_dir / "log")
    refused = chronicle(data_dir, "serve", "--port", "0")
    assert refused.status == 1
    found = re.search(r"position (\S+) is missing.*events accept-loss (\S+)`", refused.err)
    assert found is not None
    assert found[1] == found[2]
    assert chronicle(data_dir, "events", "verify", "--json").result["events"] == 0
    accepted = chronicle(data_dir, "events", "accept-loss", found[1], "--json")
    assert accepted.status == 0, accepted.err
    assert accepted.result == {"kept": "0-0", "lost": found[1]}
    with running(data_dir) as program:
        assert chronicle(data_dir, "events", "verify", "--json").result["events"] == 1
        assert program.stop().status == 0
