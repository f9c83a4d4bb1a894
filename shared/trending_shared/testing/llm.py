"""A server of chat completions on loopback that says what a test tells it to."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

Request = Mapping[str, Any]
"""A question's body: model, messages, response_format, …"""
Answer = tuple[int, bytes]
"""Status and body."""
Reply = Callable[[Request], Awaitable[Answer]]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


def completes(content: Any, *, finish: str = "stop", usage: Any = USAGE) -> Reply:
    """A completion with this content: a text, or what is to be JSON."""
    text = content if isinstance(content, str) else json.dumps(content)
    return _completes({"content": text}, finish, usage)


def refuses(words: str) -> Reply:
    return _completes({"content": None, "refusal": words}, "stop", USAGE)


def fails(status: int, body: bytes = b'{"error": {"message": "no"}}') -> Reply:
    """Any status with any body."""

    async def reply(_: Request) -> Answer:
        return status, body

    return reply


def waits(for_: asyncio.Event, then: Reply) -> Reply:
    """Answers not before the event."""

    async def reply(request: Request) -> Answer:
        await for_.wait()
        return await then(request)

    return reply


def _completes(message: Mapping[str, Any], finish: str, usage: Any) -> Reply:
    async def reply(request: Request) -> Answer:
        completion = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": request["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish,
                    "message": {"role": "assistant", **message},
                }
            ],
            "usage": usage,
        }
        return 200, json.dumps(completion).encode()

    return reply


class FakeLlm:
    """`POST /v1/chat/completions`, nothing else; an async context manager.

    `replies` are given in their order, the last one again and again.
    """

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.headers: list[Mapping[str, str]] = []
        self.asked = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """The base URL for clients."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}/v1"

    def data(self) -> Any:
        """The JSON inside the last question's user message."""
        content = self.requests[-1]["messages"][-1]["content"]
        return json.loads(content[content.index("{") : content.rindex("}") + 1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._talking:
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        try:
            status, body = await self._answer(reader)
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
                "connection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has left
        finally:
            self._talking.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *fields = head.split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (field.partition(":") for field in fields if field)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if line.split()[:2] != ["POST", "/v1/chat/completions"]:
            return 404, b"{}"
        request = json.loads(body)
        self.requests.append(request)
        self.headers.append(headers)
        self.asked.set()
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return await reply(request)
