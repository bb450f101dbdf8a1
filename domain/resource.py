"""Resources: what an agent can read, under one URI or under a URI template (RFC 6570)."""

import base64
import binascii
import re
from typing import Annotated, Literal
from urllib.parse import unquote

import uritemplate
from pydantic import Field, field_validator, model_validator

from domain.binding import HttpRequestBinding, UnboundBinding
from domain.definition import Definition, DefinitionContent, DefinitionModel
from domain.tool import DESCRIPTION_LENGTH_MAX

URI_LENGTH_MAX = 2048
NAME_LENGTH_MAX = 256

# Used with `fullmatch` only: `$` would let a line feed through at the end.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f\x7f]*")
_SIMPLE_EXPRESSION = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ADJACENT_EXPRESSIONS = re.compile(_SIMPLE_EXPRESSION.pattern + r"\{[A-Za-z_]")


class ResourceAnnotations(DefinitionModel):
    """Hints for clients, with the names of the MCP specification."""

    audience: list[Literal["user", "assistant"]] | None = None
    priority: float | None = Field(default=None, ge=0, le=1)
    lastModified: str | None = None


class StaticResourceBinding(DefinitionModel):
    """The content itself: text, or bytes in base64."""

    type: Literal["static"]
    text: str | None = None
    blob: str | None = None

    @model_validator(mode="after")
    def _one_content(self) -> "StaticResourceBinding":
        if (self.text is None) == (self.blob is None):
            raise ValueError("give either text or blob")
        return self

    @field_validator("blob")
    @classmethod
    def _is_base64(cls, blob: str | None) -> str | None:
        if blob is not None:
            try:
                base64.b64decode(blob, validate=True)
            except binascii.Error as error:
                raise ValueError(f"blob is not base64: {error}") from error
        return blob


class HttpResourceBinding(HttpRequestBinding):
    """A resource that one GET request fetches; `{name}` in the URL's path takes a variable of the URI template."""


ResourceBinding = Annotated[
    HttpResourceBinding | StaticResourceBinding | UnboundBinding, Field(discriminator="type")
]


class ResourceDefinition(DefinitionContent):
    """A resource as clients see it and as it is read: with a URI, or a URI template for many alike."""

    uri: str | None = Field(default=None, max_length=URI_LENGTH_MAX)
    uri_template: str | None = Field(default=None, max_length=URI_LENGTH_MAX)
    name: str = Field(min_length=1, max_length=NAME_LENGTH_MAX)
    title: str | None = None
    description: str | None = Field(default=None, max_length=DESCRIPTION_LENGTH_MAX)
    mime_type: str | None = Field(default=None, max_length=256)
    annotations: ResourceAnnotations | None = None
    binding: ResourceBinding

    @property
    def key(self) -> str:
        """A resource is known by its URI or template."""
        return self.uri or self.uri_template or ""

    @field_validator("uri")
    @classmethod
    def _is_a_uri(cls, uri: str | None) -> str | None:
        if uri is not None and not _URI.fullmatch(uri):
            raise ValueError("not an absolute URI (RFC 3986): it needs a scheme and no blanks")
        return uri

    @field_validator("uri_template")
    @classmethod
    def _is_a_template(cls, template: str | None) -> str | None:
        if template is not None:
            if template.count("{") != template.count("}") or not uritemplate.variables(template):
                raise ValueError("not a URI template (RFC 6570) with at least one variable")
            if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", template):
                raise ValueError("a URI template starts with a literal scheme")
            if any(character.isspace() or not character.isprintable() for character in template):
                raise ValueError("a URI template holds no blanks and no control characters")
            if _ADJACENT_EXPRESSIONS.search(template):
                raise ValueError("put literal text between two expressions: nothing says where a value ends")
        return template

    @model_validator(mode="after")
    def _one_address(self) -> "ResourceDefinition":
        if (self.uri is None) == (self.uri_template is None):
            raise ValueError("give either uri or uri_template")
        if isinstance(self.binding, HttpResourceBinding):
            known = set(uritemplate.variables(self.uri_template or ""))
            unknown = [name for name in self.binding.path_parameters if name not in known]
            if unknown:
                raise ValueError(f"the binding's URL uses {unknown}, which are no variables of uri_template")
        return self


def match_template(template: str, uri: str) -> dict[str, str] | None:
    """The variables that make `template` into `uri`, percent-decoded; None if nothing does.

    Read from left to right in linear time: each simple expression (`{name}`) takes the shortest run of at least one
    character up to the first occurrence of the literal text that follows it, and the last one all that is left before
    the closing text. A value holds none of `/ ? #`. A longer value would never help: what it skips is allowed in the
    next value as well. Templates with other expressions of RFC 6570, a name twice, or two expressions side by side
    match nothing, and neither does a URI longer than URI_LENGTH_MAX.
    """
    first, *parts = _SIMPLE_EXPRESSION.split(template)
    names, literals = parts[::2], parts[1::2]
    readable = names and len(set(names)) == len(names) and all(literals[:-1])
    if not readable or any(mark in literal for literal in (first, *literals) for mark in "{}"):
        return None
    end = len(uri) - len(literals[-1])
    if len(uri) > URI_LENGTH_MAX or not uri.startswith(first) or not uri.endswith(literals[-1]):
        return None
    values: dict[str, str] = {}
    start = len(first)
    for name, literal in zip(names, [*literals[:-1], ""], strict=True):
        stop = uri.find(literal, start + 1, end) if literal else end
        value = uri[start:stop]
        if stop <= start or any(mark in value for mark in "/?#"):
            return None
        values[name] = unquote(value)
        start = stop + len(literal)
    return values


class Resource(Definition):
    """A resource of one namespace. The stored names are permanent."""

    TOPIC = "resource"

    class Event(Definition.Event):
        """Base of a resource's events."""

    class Created(Event, Definition.Created):
        """See Definition.Created."""

        TOPIC = "resource.registered"

    class Revised(Event, Definition.Revised):
        """See Definition.Revised."""

        TOPIC = "resource.revised"

    class RolledBack(Event, Definition.RolledBack):
        """See Definition.RolledBack."""

        TOPIC = "resource.rolled_back"

    class RevisionApproved(Event, Definition.RevisionApproved):
        """See Definition.RevisionApproved."""

        TOPIC = "resource.revision_approved"

    class RevisionRejected(Event, Definition.RevisionRejected):
        """See Definition.RevisionRejected."""

        TOPIC = "resource.revision_rejected"

    class Disabled(Event, Definition.Disabled):
        """See Definition.Disabled."""

        TOPIC = "resource.disabled"

    class Enabled(Event, Definition.Enabled):
        """See Definition.Enabled."""

        TOPIC = "resource.enabled"

    class Retired(Event, Definition.Retired):
        """See Definition.Retired."""

        TOPIC = "resource.retired"

    class Restored(Event, Definition.Restored):
        """See Definition.Restored."""

        TOPIC = "resource.restored"
