"""What happens to requests in flight when the program ends: streams are ended, everything else is left to finish."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from api.cli.drain import EndingStreams

SCOPE: Scope = {"type": "http"}


class Client:
    """Sends a whole request and then nothing more, and keeps what it is answered."""

    def __init__(self) -> None:
        self._waiting: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        self.heard: list[Message] = []
        self.first_body = asyncio.Event()
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        if self._waiting:
            return self._waiting.pop()
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.heard.append(message)
        if message["type"] == "http.response.body":
            self.first_body.set()


def endless(media_type: bytes) -> EndingStreams:
    """An application that answers one line and then waits for the client to leave."""

    async def application(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", media_type)]})
        await send({"type": "http.response.body", "body": b"{}\n", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    return EndingStreams(application)


@pytest.mark.parametrize("media_type", [b"application/x-ndjson", b"text/event-stream; charset=utf-8"])
async def test_a_stream_is_ended_and_its_answer_is_whole(
    media_type: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client sees the end of the answer, not a connection that breaks."""
    monkeypatch.setitem(EndingStreams.__call__.__globals__["_STREAMS"], b"text/event-stream", 0.01)
    client, application = Client(), endless(media_type)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(application(SCOPE, client.receive, client.send))
        await client.first_body.wait()
        application.closing.set()
    assert client.heard[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_an_answer_that_is_no_stream_is_left_to_finish() -> None:
    """A download must not be cut because the program ends; only its own client may end it."""
    client, application = Client(), endless(b"application/json")
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(application(SCOPE, client.receive, client.send))
        await client.first_body.wait()
        application.closing.set()
        for _ in range(20):
            await asyncio.sleep(0)  # the loop gets its chance to do what it must not do
        assert not answering.done()
        client.gone.set()
    assert len(client.heard) == 2


async def test_a_client_that_leaves_is_heard_at_once() -> None:
    """The layer between changes nothing as long as nothing ends."""
    client, application = Client(), endless(b"application/x-ndjson")
    client.gone.set()
    async with asyncio.timeout(10):
        await application(SCOPE, client.receive, client.send)
    assert len(client.heard) == 2
