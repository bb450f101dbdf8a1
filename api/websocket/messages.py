"""The wire format of `chronicle.v1`: one JSON object for each message, told apart by `type`.

Client messages are models, because they are validated; server messages are typed dictionaries, because they are only
written. `docs/asyncapi.json` is made from both.
"""

from typing import (
    Any,
    ClassVar,
    Literal,
    NotRequired,  # the one that pydantic reads before Python 3.12
    TypeAlias,
)
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from commands.audit import LIVE, EventFilter
from commands.message_manager import validate
from domain.errors import Fault, InvalidInput
from domain.recorded import Position

ID_LENGTH_MAX = 64


class ClientMessage(BaseModel):
    """What a client says."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True)


class Authenticate(ClientMessage):
    """The first message of a client that cannot set the Authorization header."""

    type: Literal["auth"]
    key: str


class Subscribe(ClientMessage):
    """Events from now on (`live`), or all after a position and then live ones."""

    type: Literal["subscribe"]
    id: str = Field(min_length=1, max_length=ID_LENGTH_MAX, description="Chosen by the client")
    from_: str = Field(default=LIVE, alias="from", description="A position, or `live`")
    filter: EventFilter = EventFilter()

    @property
    def position(self) -> Position | None:
        """Where to go on after; None for `live`. Raises InvalidInput for what is neither."""
        return None if self.from_ == LIVE else Position.parse(self.from_, "/from")

    @property
    def operation_input(self) -> dict[str, Any]:
        """The input of the operation `event.follow`."""
        return {"after": self.from_, **self.filter.model_dump(exclude_unset=True)}


class Unsubscribe(ClientMessage):
    """End one subscription."""

    type: Literal["unsubscribe"]
    id: str


class Ping(ClientMessage):
    """Answered with a pong of the same id, behind everything that was to be sent before."""

    type: Literal["ping"]
    id: str | None = Field(default=None, max_length=ID_LENGTH_MAX)


class OperationRequest(ClientMessage):
    """One row of the operation table, except those that stream: `input` is what REST takes as body or query."""

    type: Literal["request"]
    id: str = Field(min_length=1, max_length=ID_LENGTH_MAX)
    operation: str = Field(max_length=64)
    input: dict[str, Any] = Field(default_factory=dict)
    target: str | None = Field(default=None, description="Id of the definition or namespace that it is about")
    expected_version: int | None = Field(default=None, ge=0)
    idempotency_key: str | None = None

    @property
    def target_id(self) -> UUID | None:
        """The target as an id. Raises InvalidInput."""
        try:
            return None if self.target is None else UUID(self.target)
        except ValueError:
            message = f"'{self.target[:64] if self.target else ''}' is not an id."
            raise InvalidInput(message, [Fault("/target", message)]) from None


AnyClientMessage: TypeAlias = Authenticate | Subscribe | Unsubscribe | Ping | OperationRequest

CLIENT_MESSAGES: dict[str, type[AnyClientMessage]] = {
    "auth": Authenticate,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "ping": Ping,
    "request": OperationRequest,
}


class FaultMessage(TypedDict):
    """One wrong value: a JSON Pointer into the client's message."""

    pointer: str
    message: str


class AuthenticatedMessage(TypedDict):
    """The key of the first message is good."""

    type: Literal["authenticated"]


class SubscribedMessage(TypedDict):
    """The subscription exists; its events follow."""

    type: Literal["subscribed"]
    id: str


class UnsubscribedMessage(TypedDict):
    """The subscription is over; nothing of it follows."""

    type: Literal["unsubscribed"]
    id: str


class EventMessage(TypedDict):
    """One event of one subscription, as a CloudEvent; `event.sequence` is the position to resume after."""

    type: Literal["event"]
    id: str
    event: dict[str, Any]


class CaughtUpMessage(TypedDict):
    """Everything up to this position was delivered; what follows is live. It is a position to resume after."""

    type: Literal["caught_up"]
    id: str
    position: str


class GapMessage(TypedDict):
    """The log is not the one that was read before: the subscription is over. Start anew, from `live` or `0-0`."""

    type: Literal["gap"]
    id: str
    message: str


class HeartbeatMessage(TypedDict):
    """The server lives. `position` is how far the log is, for judging one's lag; it is none to resume after."""

    type: Literal["heartbeat"]
    position: str


class PongMessage(TypedDict):
    """The answer to a ping."""

    type: Literal["pong"]
    id: str | None


class ResultMessage(TypedDict):
    """The result of the request of that id."""

    type: Literal["result"]
    id: str
    result: Any


class ErrorMessage(TypedDict):
    """What went wrong. With an id, the subscription or request of that id is over."""

    type: Literal["error"]
    id: NotRequired[str]
    code: str
    message: str
    trace_id: str
    errors: NotRequired[list[FaultMessage]]


ServerMessage: TypeAlias = (
    AuthenticatedMessage
    | SubscribedMessage
    | UnsubscribedMessage
    | EventMessage
    | CaughtUpMessage
    | GapMessage
    | HeartbeatMessage
    | PongMessage
    | ResultMessage
    | ErrorMessage
)


def parse(text: str) -> AnyClientMessage:
    """A client's message. Raises InvalidInput for what is not JSON, of an unknown type or wrong."""
    return validate_message(decode(text))


def decode(text: str) -> dict[str, Any]:
    """The JSON object of a message. Raises InvalidInput."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The message is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise InvalidInput("The message is not a JSON object.")
    return value


def validate_message(value: dict[str, Any]) -> AnyClientMessage:
    """The object as the model of its type. Raises InvalidInput."""
    kind = value.get("type")
    model = CLIENT_MESSAGES.get(kind) if isinstance(kind, str) else None
    if model is None:
        message = f"'type' is one of {', '.join(CLIENT_MESSAGES)}."
        raise InvalidInput(message, [Fault("/type", message)])
    return validate(model, value)


def message_id(value: dict[str, Any]) -> str | None:
    """The id that a message carries, also if the rest of it is wrong."""
    found = value.get("id")
    return found if isinstance(found, str) and 0 < len(found) <= ID_LENGTH_MAX else None
