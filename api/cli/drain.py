"""An orderly end of the HTTP server: finish what is in flight, end the streams that would never end by themselves."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Self

import anyio
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GRACEFUL_S = 10
"""How long requests in flight may take to finish before they are cancelled."""

EVENT_STREAM_GRACE_S = 2.0
"""An answer as server-sent events may be a tool call on its way; longer ones are feeds, and are ended."""

_STREAMS = {b"application/x-ndjson": 0.0, b"text/event-stream": EVENT_STREAM_GRACE_S}


class EndingStreams:
    """ASGI middleware. Once `closing` is set, endless responses are ended in an orderly way; others are left alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, self.closing)
        await self._app(scope, exchange.receive, exchange.send)
        await exchange.end()


class _Exchange:
    """One request; the application hears `http.disconnect` when its stream is to end."""

    def __init__(self, receive: Receive, send: Send, closing: asyncio.Event) -> None:
        self._receive, self._send, self._closing = receive, send, closing
        self._request_complete = self._ended = False
        self._grace_s: float | None = None
        self._unfinished_stream = False

    async def receive(self) -> Message:
        if not self._request_complete:
            message = await self._receive()
            self._request_complete = not message.get("more_body", False)
            return message
        answer: Message = {"type": "http.disconnect"}
        async with anyio.create_task_group() as tasks:

            async def hear() -> None:
                nonlocal answer
                answer = await self._receive()
                tasks.cancel_scope.cancel()

            tasks.start_soon(hear)
            await self._closing.wait()
            if self._grace_s is None:
                await anyio.sleep_forever()  # no stream: only the client ends it
            await anyio.sleep(self._grace_s or 0.0)
            self._ended = True
            tasks.cancel_scope.cancel()
        return answer

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = next((value for name, value in message["headers"] if name.lower() == b"content-type"), b"")
            self._grace_s = _STREAMS.get(kind.partition(b";")[0].strip().lower())
            self._unfinished_stream = self._grace_s is not None
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._unfinished_stream = False
        await self._send(message)

    async def end(self) -> None:
        """Finish the response of a stream that was ended here, so that the client sees an end and no failure."""
        if self._ended and self._unfinished_stream:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class DrainingServer(uvicorn.Server):
    """uvicorn's server without its own signal handling, which would end the process before the log is flushed."""

    def __init__(self, config: uvicorn.Config, streams: EndingStreams) -> None:
        super().__init__(config)
        self._streams = streams
        self.listens = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `StopSignals`."""
        yield

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override] # sockets, passed on
        """Start, and say so in `listens`."""
        await super().startup(sockets)  # type: ignore[arg-type] # as above
        self.listens.set()

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override] # as above
        """Drain, within GRACEFUL_S."""
        self._streams.closing.set()
        await super().shutdown(sockets)  # type: ignore[arg-type] # as above

    def cut(self) -> None:
        """End now what is in flight."""
        self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()


class StopSignals:
    """SIGINT and SIGTERM: the first drains, the second cuts what is in flight, the third ends the process at once.

    Acknowledged events survive each of them: they are on the disk before they are acknowledged.
    """

    def __init__(self) -> None:
        self.count = 0
        self.interrupted = False
        """Whether somebody pressed Ctrl-C; SIGTERM is an order, and what it ends is done."""
        self._server: DrainingServer | None = None
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop, number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    def serves(self, server: DrainingServer | None) -> None:
        """Signals are for this server now; before and after it, the first one ends the start or the flush."""
        self._server = server

    def _stop(self, number: signal.Signals) -> None:
        self.count += 1
        self.interrupted |= number == signal.SIGINT
        if self.count > 2:
            sys.stderr.write("forced to stop\n")
            sys.stderr.flush()
            os._exit(130)
        if self._server is None:
            if self._task is not None and self.count == 1:
                self._task.cancel()
        elif self.count == 1:
            self._server.should_exit = True
        else:
            self._server.cut()
