"""Takes the addresses out of the package descriptions in a lock file, the only place where Poetry leaves any.

The lock file then holds no URL at all, which the tidy test checks: packages come from the index that pip is
configured with.
"""

import re
import sys
from pathlib import Path


def main() -> None:
    """Rewrite the lock file named on the command line."""
    path = Path(sys.argv[1])
    text = path.read_text(encoding="utf-8")
    stripped = re.sub(
        r"^description = .*$",
        lambda line: re.sub(r" ?\(?https?://[^\s\")]+\)?", "", line.group()),
        text,
        flags=re.MULTILINE,
    )
    path.write_text(stripped, encoding="utf-8")


if __name__ == "__main__":
    main()
