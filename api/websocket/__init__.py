"""The WebSocket interface: live events with resume, and requests over the operation table, at `/v1/ws`.

`messages` holds the wire format, `outbox` the bounded way out, `connection` one connection, `routes` the handshake.
"""

from api.websocket.routes import websocket_extension, websocket_routes

__all__ = ["websocket_extension", "websocket_routes"]
