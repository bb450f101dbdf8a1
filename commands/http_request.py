"""From an HTTP binding and arguments to one request, and from its answer to content. Pure; secrets stay references."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from commands.ports import RemoteResponse
from commands.request import ToolResult, tool_error
from domain.binding import HttpBinding, HttpRequestBinding
from domain.errors import Fault, InvalidInput

ERROR_BODY_SHOWN_MAX = 2000
"""Characters of a failed answer's body that a tool error repeats."""

STRUCTURED_DEPTH_MAX = 64
"""Levels of nesting of a structured answer."""

_BODY_METHODS = ("POST", "PUT", "PATCH")


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A request that is complete but for its secrets.

    The URL and the headers are the definition's and may hold references to secrets. What a caller gave is in `query`
    and `content`, where a reference is a mere text: whoever may call a tool must not be able to read a secret.
    """

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    timeout_s: float
    query: tuple[tuple[str, str], ...] = ()


def tool_request(binding: HttpBinding, arguments: Mapping[str, Any]) -> OutgoingRequest:
    """Where each argument goes: path, named query parameters, then the rest. Raises InvalidInput."""
    placed = set(binding.path_parameters) | set(binding.query.values())
    rest = {name: value for name, value in arguments.items() if name not in placed}
    query: list[tuple[str, str]] = []
    for parameter, name in binding.query.items():
        if name in arguments:
            query += _parameters(parameter, arguments[name])
    headers = {"accept": "application/json, text/*;q=0.9, */*;q=0.5", **_lower(binding.headers)}
    content = None
    if binding.method in _BODY_METHODS:
        content = orjson.dumps(rest)
        headers.setdefault("content-type", "application/json")
    else:
        for name, value in rest.items():
            query += _parameters(name, value)
    url = _fill(binding, {name: arguments.get(name) for name in binding.path_parameters})
    return OutgoingRequest(binding.method, url, headers, content, binding.timeout_s, tuple(query))


def resource_request(binding: HttpRequestBinding, variables: Mapping[str, str]) -> OutgoingRequest:
    """The GET request of a resource. Raises InvalidInput for a variable that would leave its path segment."""
    headers = {"accept": "*/*", **_lower(binding.headers)}
    return OutgoingRequest("GET", _fill(binding, variables), headers, None, binding.timeout_s)


def tool_result(response: RemoteResponse) -> ToolResult:
    """An answer as MCP content. A status outside 2xx, or JSON that is none, is a tool error."""
    media_type = response.content_type.partition(";")[0].strip().lower()
    if not 200 <= response.status < 300:
        shown = response.body[: 4 * ERROR_BODY_SHOWN_MAX].decode(errors="replace")[:ERROR_BODY_SHOWN_MAX]
        return tool_error(f"The tool's endpoint answered {response.status}. {shown}".strip())
    if not response.body:
        return ToolResult([])
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            value = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            return tool_error(f"The tool's endpoint announced {media_type} and answered something else.")
        text = response.body.decode(errors="replace")
        return ToolResult([{"type": "text", "text": text}], value if _is_structured(value) else None)
    if media_type.startswith("text/") or media_type in ("", "application/xml", "application/javascript"):
        return ToolResult([{"type": "text", "text": response.body.decode(errors="replace")}])
    data = base64.b64encode(response.body).decode()
    family = media_type.partition("/")[0]
    if family in ("image", "audio"):
        return ToolResult([{"type": family, "data": data, "mimeType": media_type}])
    resource = {"uri": "data:" + media_type, "mimeType": media_type, "blob": data}
    return ToolResult([{"type": "resource", "resource": resource}])


def resource_content(uri: str, mime_type: str | None, response: RemoteResponse) -> dict[str, Any]:
    """An answer as the contents of a resource: text where it is text, else base64."""
    media_type = response.content_type.partition(";")[0].strip().lower() or "application/octet-stream"
    content: dict[str, Any] = {"uri": uri, "mimeType": mime_type or media_type}
    textual = media_type.startswith("text/") or media_type.endswith(("json", "xml", "javascript", "yaml"))
    if textual:
        content["text"] = response.body.decode(errors="replace")
    else:
        content["blob"] = base64.b64encode(response.body).decode()
    return content


def _is_structured(value: Any) -> bool:
    """Whether it is an object that every transport can write again; what nests too deep is answered as text alone."""
    if not isinstance(value, dict):
        return False
    level: list[Any] = [value]
    for _ in range(STRUCTURED_DEPTH_MAX):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]
        if not level:
            return True
    return False


def _fill(binding: HttpRequestBinding, values: Mapping[str, Any]) -> str:
    parts = urlsplit(binding.url)
    path = parts.path
    for name in dict.fromkeys(binding.path_parameters):
        path = path.replace("{" + name + "}", _segment(name, values.get(name)))
    return parts._replace(path=path).geturl()


def _segment(name: str, value: Any) -> str:
    # A value that is empty or all dots would change which resource the path names, however it is encoded.
    text = _scalar(name, value)
    if not text.strip("."):
        message = "It goes into the path of a URL, so it must not be empty and not consist of dots alone."
        raise InvalidInput(f"The argument '{name}' cannot be used.", [Fault(f"/arguments/{name}", message)])
    return quote(text, safe="")


def _parameters(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, list):
        return [(name, _text(item)) for item in value]
    return [(name, _text(value))]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _scalar(name: str, value: Any) -> str:
    if isinstance(value, dict | list) or value is None:
        message = "It goes into the path of a URL, so it must be a string, a number or a boolean."
        raise InvalidInput(f"The argument '{name}' cannot be used.", [Fault(f"/arguments/{name}", message)])
    return _text(value)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
