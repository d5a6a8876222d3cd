"""HTTP/1.1 by hand, for a client with 512 connections shares the processor: calls in, answers out, some cut short."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Answer(NamedTuple):
    """One answer, to be sent whole."""

    status: int
    body: bytes
    headers: dict[str, str]

    @classmethod
    def json(cls, status: int, body: Any, **headers: str) -> "Answer":
        """An answer of JSON."""
        return cls(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})

    @classmethod
    def error(cls, status: int, message: str, **fields: Any) -> "Answer":
        """An error as OpenAI words it; `fields` are param, code and type."""
        return cls.json(status, {"error": {"message": message, **fields}})


class Call:
    """One request, to be answered once, in one of three ways."""

    __slots__ = ("_connection", "body", "headers", "method", "path", "query")

    def __init__(
        self, connection: "Connection", method: str, target: str, headers: dict[str, str], body: bytes
    ) -> None:
        self._connection = connection
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = body

    def answer(self, answer: Answer) -> None:
        """Send it whole."""
        self._connection.send(encoded(answer))
        self._connection.end(keep="close" not in self.headers.get("connection", ""))

    def reset(self, answer: Answer) -> None:
        """Send half of the body, then reset the connection."""
        self._connection.send(encoded(answer)[: -max(1, len(answer.body) // 2)])
        self._connection.abort()

    def drip(self, answer: Answer, pause_seconds: float) -> None:
        """Send the body byte by byte."""
        whole = encoded(answer)
        body_at = len(whole) - len(answer.body)
        self._connection.send(whole[:body_at])
        self._drop(whole, body_at, pause_seconds)

    def _drop(self, whole: bytes, place: int, pause_seconds: float) -> None:
        if place == len(whole):
            self._connection.end(keep=True)
        elif not self._connection.closed:
            self._connection.send(whole[place : place + 1])
            asyncio.get_running_loop().call_later(pause_seconds, self._drop, whole, place + 1, pause_seconds)


def encoded(answer: Answer) -> bytes:
    """An answer as it goes over the wire."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    phrase = PHRASES.get(answer.status, "Status")
    head = f"HTTP/1.1 {answer.status} {phrase}\r\n{headers}Content-Length: {len(answer.body)}\r\n\r\n"
    return head.encode() + answer.body


class Connection(asyncio.Protocol):
    """One client's connection: it reads a request, hands it to `take`, and reads the next when that one is answered."""

    def __init__(self, take: Callable[[Call], None]) -> None:
        self._take = take
        self._buffer = bytearray()
        self._body = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._busy = False
        self._transport: asyncio.Transport | None = None

    @property
    def closed(self) -> bool:
        """Whether the client is gone."""
        return self._transport is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """End; what is still worked on is answered to nobody."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data
        self._advance()

    def send(self, data: bytes) -> None:
        """Send bytes of an answer."""
        if self._transport is not None:
            self._transport.write(data)

    def end(self, keep: bool) -> None:
        """An answer is out; go on with the next request, or close."""
        self._busy = False
        if self._transport is not None and not keep:
            self._transport.close()
        elif self._buffer:
            asyncio.get_running_loop().call_soon(self._advance)

    def abort(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            plug: socket.socket = self._transport.get_extra_info("socket")
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _advance(self) -> None:
        if self._busy or (self._head is None and not self._read_head()):
            return
        assert self._head is not None
        method, target, headers = self._head
        body = self._read_chunks() if "transfer-encoding" in headers else self._read_length(headers)
        if body is not None:
            self._head, self._busy = None, True
            self._take(Call(self, method, target, headers, body))

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        if "100-continue" in headers.get("expect", ""):
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._head = method, target, headers
        return True

    def _read_length(self, headers: dict[str, str]) -> bytes | None:
        length = int(headers.get("content-length", 0))
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _read_chunks(self) -> bytes | None:
        while (line_end := self._buffer.find(b"\r\n")) >= 0:
            size = int(self._buffer[:line_end].split(b";")[0], 16)
            data_at = line_end + 2
            if len(self._buffer) < data_at + size + 2:
                return None
            self._body += self._buffer[data_at : data_at + size]
            del self._buffer[: data_at + size + 2]
            if size == 0:
                body = bytes(self._body)
                self._body.clear()
                return body
        return None
