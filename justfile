# Recipes of MCP Chronicle. Start them with ./justw, which brings just and poetry along.

set positional-arguments := true

tools := env("JUSTW_TOOLS", "")
python := ".venv/bin/python"

# `python -m` everywhere, never a script of .venv/bin: a script's first line cannot hold a path with a space.
chronicle := python + " -c 'import sys; from api.cli import main; sys.argv[0] = \"chronicle\"; sys.exit(main())'"

[private]
default:
    @"{{ just_executable() }}" --justfile "{{ justfile() }}" --list --unsorted

# A program that ends says why in its own words; just's line about the recipe would only follow it.

# Start MCP Chronicle on this machine, with everything it needs inside
[no-exit-message]
run *ARGS: (_install "main")
    @exec {{ chronicle }} serve "$@"

# Run the command line from this checkout
[no-exit-message]
chronicle *ARGS: (_install "main")
    @exec {{ chronicle }} "$@"

# Run the tests; ARGS go to pytest
[no-exit-message]
test *ARGS: (_install "dev")
    @exec {{ python }} -m pytest "$@"

# Break servers, clients, networks and files under load, and judge what is left; ARGS: --seconds --seed --only --json
faults *ARGS: (_install "dev")
    @exec {{ python }} -m tests.faults "$@"

# All static checks, the tidy test and the checks of the operations files
check: (_install "dev")
    {{ python }} -m ruff format --check .
    {{ python }} -m ruff check .
    {{ python }} -m mypy
    {{ python }} -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
    "{{ tools }}/bin/python" -m poetry check --strict --lock
    {{ python }} -m pytest -q tests/house

# Format the code and mend what can be mended
fmt: (_install "dev")
    {{ python }} -m ruff format .
    {{ python }} -m ruff check --fix .

# Start the Elasticsearch that the tests use, in the foreground, and print its URL
[no-exit-message]
elasticsearch: (_install "dev")
    @exec {{ python }} -m tests.support.elasticsearch_node

# Write poetry.lock anew for the bounds in pyproject.toml
lock:
    "{{ tools }}/bin/python" -m poetry lock
    "{{ tools }}/bin/python" .ci/strip_lock.py poetry.lock

# Brings .venv up to the lock file: `main` for running, `dev` for all. Skipped while the stamp fits.
[private]
[no-exit-message]
_install group:
    #!/bin/sh
    set -eu
    if [ -z "{{ tools }}" ]; then
        echo "start recipes with ./justw: it brings poetry along" >&2
        exit 1
    fi
    wanted="$(cksum poetry.lock pyproject.toml) $PWD $("{{ tools }}/bin/python" -V)"
    stamp=.venv/.installed
    for done in dev "{{ group }}"; do # what dev needs includes what main needs
        if [ -x .venv/bin/python ] && [ "$(cat "$stamp-$done" 2>/dev/null)" = "$wanted" ]; then exit 0; fi
    done
    options="--only main"
    if [ "{{ group }}" = dev ]; then options="--with dev"; fi
    echo "justw: installing the {{ group }} dependencies into .venv" >&2
    log=.toolchain/install.log
    if ! "{{ tools }}/bin/python" -m poetry install $options >"$log" 2>&1; then
        echo "justw: poetry install failed. The last lines of $log:" >&2
        tail -n 40 "$log" >&2
        exit 1
    fi
    printf '%s\n' "$wanted" >"$stamp-{{ group }}"
