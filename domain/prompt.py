"""Prompts: messages with the roles system, user and assistant, and arguments that are put into them."""

import re
from typing import Literal

from pydantic import Field, model_validator

from domain.definition import Definition, DefinitionContent, DefinitionModel
from domain.errors import Fault, InvalidInput
from domain.identity import McpName
from domain.tool import DESCRIPTION_LENGTH_MAX

ARGUMENTS_MAX = 64
MESSAGES_MAX = 64
RENDERED_BYTES_MAX = 1024 * 1024

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}")


class PromptArgument(DefinitionModel):
    """One argument, always a string."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,127}$")
    title: str | None = None
    description: str | None = None
    required: bool = False


class PromptMessage(DefinitionModel):
    """One message; `{{ name }}` in its text stands for an argument. Nothing else is computed."""

    role: Literal["system", "user", "assistant"]
    text: str


class PromptDefinition(DefinitionContent):
    """A prompt as clients see it and as it is rendered. Without messages it is known from a catalogue only."""

    name: McpName
    title: str | None = None
    description: str | None = Field(default=None, max_length=DESCRIPTION_LENGTH_MAX)
    arguments: list[PromptArgument] = Field(default_factory=list, max_length=ARGUMENTS_MAX)
    messages: list[PromptMessage] = Field(default_factory=list, max_length=MESSAGES_MAX)

    @property
    def key(self) -> str:
        """A prompt is known by its name."""
        return self.name

    @model_validator(mode="after")
    def _variables_are_arguments(self) -> "PromptDefinition":
        names = [argument.name for argument in self.arguments]
        if len(names) != len(set(names)):
            raise ValueError("two arguments have the same name")
        for index, message in enumerate(self.messages):
            unknown = sorted(set(_VARIABLE.findall(message.text)) - set(names))
            if unknown:
                raise ValueError(f"message {index} uses {unknown}, which are not among the arguments {names}")
        return self


def render(prompt: PromptDefinition, arguments: dict[str, str]) -> list[PromptMessage]:
    """The messages with the arguments put in, system messages first. An absent optional argument is empty.

    Raises InvalidInput for missing, unknown or too large arguments, with JSON Pointers below /arguments.
    """
    known = {argument.name for argument in prompt.arguments}
    missing = [
        argument.name for argument in prompt.arguments if argument.required and argument.name not in arguments
    ]
    faults = [Fault(f"/arguments/{name}", "This argument is required.") for name in missing]
    faults += [
        Fault(f"/arguments/{name}", f"There is no such argument; known are {sorted(known)}.")
        for name in arguments
        if name not in known
    ]
    if faults:
        raise InvalidInput(f"The arguments do not fit the prompt '{prompt.name}'.", faults)
    room = RENDERED_BYTES_MAX
    rendered = []
    for message in sorted(prompt.messages, key=lambda message: message.role != "system"):
        room -= _rendered_size(message.text, arguments)
        if room < 0:
            raise InvalidInput(
                f"The rendered prompt is larger than {RENDERED_BYTES_MAX} bytes; shorten the arguments."
            )
        text = _VARIABLE.sub(lambda found: arguments.get(found[1], ""), message.text)
        rendered.append(PromptMessage(role=message.role, text=text))
    return rendered


def _rendered_size(text: str, arguments: dict[str, str]) -> int:
    names = _VARIABLE.findall(text)
    return len(text.encode()) + sum(len(arguments.get(name, "").encode()) for name in names)


class Prompt(Definition):
    """A prompt of one namespace. The stored names are permanent."""

    TOPIC = "prompt"

    class Event(Definition.Event):
        """Base of a prompt's events."""

    class Created(Event, Definition.Created):
        """See Definition.Created."""

        TOPIC = "prompt.registered"

    class Revised(Event, Definition.Revised):
        """See Definition.Revised."""

        TOPIC = "prompt.revised"

    class RolledBack(Event, Definition.RolledBack):
        """See Definition.RolledBack."""

        TOPIC = "prompt.rolled_back"

    class RevisionApproved(Event, Definition.RevisionApproved):
        """See Definition.RevisionApproved."""

        TOPIC = "prompt.revision_approved"

    class RevisionRejected(Event, Definition.RevisionRejected):
        """See Definition.RevisionRejected."""

        TOPIC = "prompt.revision_rejected"

    class Disabled(Event, Definition.Disabled):
        """See Definition.Disabled."""

        TOPIC = "prompt.disabled"

    class Enabled(Event, Definition.Enabled):
        """See Definition.Enabled."""

        TOPIC = "prompt.enabled"

    class Retired(Event, Definition.Retired):
        """See Definition.Retired."""

        TOPIC = "prompt.retired"

    class Restored(Event, Definition.Restored):
        """See Definition.Restored."""

        TOPIC = "prompt.restored"
