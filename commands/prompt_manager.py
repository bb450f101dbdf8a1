"""The Prompt Manager: registers prompts, through the shared life cycle, and renders system and user messages."""

from collections.abc import Mapping

from commands.definition_manager import DefinitionManager
from domain.commands import ApplyPrompt, RegisterPrompt, RevisePrompt
from domain.entry import Entry
from domain.errors import Conflict
from domain.prompt import Prompt, PromptDefinition, PromptMessage, render


class PromptManager(DefinitionManager[Prompt]):
    """Registers prompts and renders them."""

    kind = Prompt
    register_command = RegisterPrompt
    apply_command = ApplyPrompt
    revise_command = RevisePrompt
    write_scope = "prompts:write"
    approve_scope = "prompts:approve"

    def render(self, entry: Entry, arguments: Mapping[str, str]) -> list[PromptMessage]:
        """The messages of the served revision. Raises InvalidInput for arguments that do not fit."""
        definition = PromptDefinition.model_validate(entry.definition)
        if not definition.messages:
            raise Conflict(
                f"The prompt '{definition.name}' is known from a catalogue and has no messages yet. "
                "Revise it with messages to make it usable."
            )
        return render(definition, dict(arguments))
