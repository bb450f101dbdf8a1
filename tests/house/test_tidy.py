"""Limits on the code itself. Each failure names the file and the line, and says what the limit is for."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "commands", "projections", "infra", "api")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# Modules that nothing imports because something outside starts them.
ENTRY_POINTS = {
    "api.websocket.asyncapi",  # writes docs/asyncapi.json
    "api.cli",  # the console script of pyproject.toml
    "infra.redis.eventsourcing",  # named by the eventsourcing library's PERSISTENCE_MODULE setting
}


def python_files(*folders: str) -> Iterator[Path]:
    """Every Python file below the folders, in order."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name(path: Path) -> str:
    """The file's path inside the repository."""
    return str(path.relative_to(ROOT))


def dotted(path: Path) -> str:
    """The name under which the file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_module_is_longer_than_its_limit() -> None:
    """One idea for each module: a longer file holds two."""
    lengths = {
        name(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files(*PACKAGES, "tests")
    }
    assert {path: lines for path, lines in lengths.items() if lines > MODULE_LINES_MAX} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    """A function that does not fit a screen cannot be checked by looking at it."""
    too_long = [
        f"{name(path)}:{node.lineno} {node.name}: {lines} lines"
        for path in python_files(*PACKAGES, "tests")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert too_long == []


def test_every_module_says_what_it_is_for() -> None:
    """The module docstring tells a stranger purpose and limits before the code does."""
    assert [name(path) for path in python_files(*PACKAGES) if not ast.get_docstring(tree(path))] == []


def catches_everything(node: ast.AST) -> bool:
    """Whether this is a handler of Exception or wider that neither raises it again nor another error from it."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    caught = (
        {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)}
        if node.type
        else {"Exception"}
    )
    raises_again = any(
        isinstance(part, ast.Raise) and (part.exc is None or part.cause) for part in ast.walk(node)
    )
    return bool(caught & {"Exception", "BaseException"}) and not raises_again


def test_catching_everything_states_its_reason() -> None:
    """`except Exception` belongs to the outer edge of a task, and the line says why this is one."""
    reasoned = re.compile(r"# noqa: BLE001 - \S+")
    unexplained = [
        f"{name(path)}:{node.lineno}"
        for path in python_files(*PACKAGES, "tests")
        for node in ast.walk(tree(path))
        if catches_everything(node)
        and isinstance(node, ast.ExceptHandler)
        and not reasoned.search(path.read_text(encoding="utf-8").splitlines()[node.lineno - 1])
    ]
    assert unexplained == []


def test_nothing_is_put_off_in_a_comment() -> None:
    """Work that is left goes to the issue tracker, where it is found again."""
    later = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    suffixes = {".py", ".lua", ".sql", ".yml", ".yaml", ".md", ".toml", ".graphql", ".sh"}
    folders = [ROOT / folder for folder in (*PACKAGES, "tests", "docs", ".ci")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes]
    files += [ROOT / file for file in ("justfile", "justw", "pyproject.toml", "README.md", ".ci/run")]
    found = [
        f"{name(path)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if later.search(line)
    ]
    assert found == []


def imported_names(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports; `from a import b` counts as both `a` and `a.b`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_is_dead() -> None:
    """A module that the program never imports is deleted; being imported by its own test does not count."""
    modules = {
        dotted(path): path
        for path in python_files(*PACKAGES)
        if path.name not in {"__init__.py", "__main__.py"}
    }
    imported = {found for path in python_files(*PACKAGES) for found in imported_names(path)}
    assert sorted(set(modules) - imported - ENTRY_POINTS) == []


def test_the_lock_file_names_no_address() -> None:
    """Packages come from the index that pip is configured with, never from one that a file names."""
    lock = (ROOT / "poetry.lock").read_text(encoding="utf-8")
    assert re.findall(r"^.*\w://.*$", lock, re.MULTILINE) == []
    assert re.findall(r"^\[package\.source\]|^url\s*=", lock, re.MULTILINE) == []


def test_the_readme_gives_the_two_commands() -> None:
    """Whoever clones the repository needs these two before anything else."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "./justw run" in readme
    assert "./justw test" in readme
