"""The named bounds of a WebSocket connection, and the codes that it is closed with.

Close codes: RFC 6455, section 7.4.1 and the IANA registry below 4000; 4401 and 4406 say what HTTP's 401 and 406 say.
"""

from dataclasses import dataclass
from typing import Final

SUBPROTOCOL: Final = "chronicle.v1"

CLOSE_TOO_BIG = 1009
CLOSE_RESTART = 1012
CLOSE_TRY_AGAIN = 1013
CLOSE_UNAUTHENTICATED = 4401
CLOSE_NO_SUBPROTOCOL = 4406

CLOSE_REASON_BYTES_MAX = 123
"""RFC 6455, section 5.5: a control frame carries 125 bytes, and two of them are the code."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Every bound, and behind it what happens when it is reached."""

    connections_max: int = 1000  # closed with 1013 right after the handshake
    authentication_s: float = 5.0  # closed with 4401
    message_bytes_max: int = 64 * 1024  # closed with 1009
    subscriptions_max: int = 16  # an error message; the others go on
    requests_in_flight_max: int = 16  # an error message; the others go on
    outgoing_max: int = 16  # whoever has more to say waits, back to the reading of the log
    send_timeout_s: float = 10.0  # closed with 1013 and the position to resume after
    close_timeout_s: float = 5.0  # the connection is dropped without a close frame
    heartbeat_s: float = 15.0


DEFAULT_LIMITS = Limits()
