"""Each command has exactly one handler, and each operation of the table one meaning."""

import ast
from collections import Counter
from pathlib import Path

from domain import commands, decide

CASES = Path(decide.__file__)


def leaf_commands() -> set[str]:
    """The lifecycle and namespace commands that `decide` must tell apart; the kinds' own ones share a case."""
    found = [
        item
        for item in vars(commands).values()
        if isinstance(item, type) and issubclass(item, commands.Command)
    ]
    bases = {commands.Register, commands.Apply, commands.Revise}
    return {
        item.__name__ for item in found if item is not commands.Command and bases.isdisjoint(item.__mro__[1:])
    }


def test_each_command_has_one_handler() -> None:
    """A command without a case would fall through, and one with two would be ambiguous."""
    tree = ast.parse(CASES.read_text(encoding="utf-8"))
    handled = Counter(
        node.cls.id
        for node in ast.walk(tree)
        if isinstance(node, ast.MatchClass) and isinstance(node.cls, ast.Name)
    )
    # Register and Apply differ by what they find; `register` handles both, without a match.
    assert handled == Counter(dict.fromkeys(leaf_commands() - {"Register", "Apply"}, 1))
