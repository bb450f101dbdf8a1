"""Prints, as shell exports, what pip is configured with, for Poetry: the index, the certificates, the proxy.

pip's own option parser is asked, so that environment, pip.conf files and pip's built-in default count exactly as
pip counts them. A setting that the caller made for Poetry (POETRY_PYPI_MIRROR_URL, REQUESTS_CA_BUNDLE, HTTPS_PROXY)
is left alone. pip's find-links folders serve the tool environment only: Poetry knows none.
"""

import os
import shlex

from pip._internal.commands import create_command


def main() -> None:
    """Print one `export NAME=value` line for each setting that is there."""
    options = create_command("download").parser.get_default_values()
    wanted = {
        "POETRY_PYPI_MIRROR_URL": options.index_url,
        "REQUESTS_CA_BUNDLE": options.cert,
        "HTTPS_PROXY": options.proxy,
    }
    for name, value in wanted.items():
        if value and not os.environ.get(name):
            print(f"export {name}={shlex.quote(value)}")  # noqa: T201 - its output is its purpose


if __name__ == "__main__":
    main()
