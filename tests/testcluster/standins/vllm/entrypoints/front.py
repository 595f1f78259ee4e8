"""HTTP before llama.cpp's server, for the ASGI middleware that the manifests give to vLLM.

Each connection is for one request: its head is read and shown to the middleware, which lets it
through or answers itself. What goes through is handed on as bytes, so nothing is held back.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from typing import Any
from urllib.parse import unquote

Scope = dict[str, Any]


async def serve(host: str, port: int, behind: int, middleware: list[str]) -> None:
    """Serve for ever; ``behind`` is the port of the server on loopback."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _request(reader, writer, behind, middleware)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # One of both went away.
        finally:
            writer.close()

    server = await asyncio.start_server(talk, host, port)
    async with server:
        await server.serve_forever()


async def _request(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    behind: int,
    middleware: list[str],
) -> None:
    lines = await _head(reader)
    method, target, _version = lines[0].split(" ")

    async def through(_scope: Scope, _receive: object, _send: object) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", behind)
        outer.write(_closing(lines))
        ways = {
            asyncio.create_task(_copy(reader, outer)),
            asyncio.create_task(_answer(inner, writer)),
        }
        _done, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for one in left:
            one.cancel()
        outer.close()

    async def send(message: Scope) -> None:
        if message["type"] == "http.response.start":
            head = [f"HTTP/1.1 {message['status']} as the middleware says", "connection: close"]
            head += [f"{name.decode()}: {value.decode()}" for name, value in message["headers"]]
            writer.write("\r\n".join([*head, "", ""]).encode())
        else:
            writer.write(message["body"])
            await writer.drain()

    app: Any = through
    for name in middleware:
        module, _, thing = name.rpartition(".")
        app = getattr(importlib.import_module(module), thing)(app)
    path = unquote(target.partition("?")[0])
    await app({"type": "http", "method": method, "path": path}, reader.read, send)


async def _head(reader: asyncio.StreamReader) -> list[str]:
    return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]


def _closing(lines: list[str]) -> bytes:
    kept = [one for one in lines if not one.lower().startswith("connection:")]
    return "\r\n".join([*kept, "Connection: close", "", ""]).encode("latin-1")


async def _answer(inner: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_closing(await _head(inner)))
    await _copy(inner, writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def free_port() -> int:
    """A port for the server behind, which listens on loopback alone."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
