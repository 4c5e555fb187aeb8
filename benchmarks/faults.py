"""An HTTP relay that breaks some of what passes, by a seeded random.

``python -m benchmarks.faults PORT`` runs in a process of its own, so that its sockets and its
memory are not taken for ours. It prints its port, serves until its standard input ends, and prints
how often it did what.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import socket
import struct
import subprocess
import sys
from collections import Counter
from typing import IO, TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KINDS = (
    "reset before the body",
    "reset in the upload",
    "reset after the upload",
    "reset in the answer",
    "cut answer",
    "stall",
    "503",
    "429",
)
"""What an honest network and server do; each as likely as the others."""

ALTER = "altered answer"
"""What no sender can mend, and each must notice."""

_STALL = 0.2
"""Seconds of a pause in the middle of an answer."""

_CHUNK = 64 * 1024
_MOST_OF_A_HEAD = 64 * 1024


class _Message(NamedTuple):
    """The beginning of a request or an answer, and how long its body is."""

    head: bytes
    length: int


class _BrokenError(Exception):
    """The connection to the client is to end here."""


class Relay:
    """Passes requests on, and breaks as many as the rate says.

    Args:
        upstream: Loopback port of the server.
        rate: Part of the requests with which something happens.
        seed: Of the random.
        kinds: What may happen.

    Attributes:
        counts: How often each of these did.
    """

    def __init__(self, upstream: int, rate: float, seed: int, kinds: Sequence[str]) -> None:
        self.counts: Counter[str] = Counter()
        self._upstream = upstream
        self._rate = rate
        self._kinds = kinds
        self._random = random.Random(seed)  # noqa: S311 - it is to be the same each time

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of a client."""
        with contextlib.closing(writer), contextlib.suppress(OSError, EOFError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            with contextlib.closing(up_writer), contextlib.suppress(_BrokenError):
                while True:
                    await self._exchange(reader, writer, up_reader, up_writer)

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:
        """Pass one request and its answer."""
        request = await _read_head(reader)
        kind = ""
        if self._random.random() < self._rate:
            kind = self._random.choice(self._kinds)
            self.counts[kind] += 1
        if kind == "reset before the body":
            _reset(writer)
        if kind in {"503", "429"}:
            await _refuse(writer, reader, request, kind)
            return
        up_writer.write(request.head)
        await _copy(reader, up_writer, request.length, part=kind == "reset in the upload")
        if kind == "reset in the upload":
            _reset(writer)
        answer = await _read_head(up_reader)
        if request.head.startswith(b"HEAD"):
            answer = _Message(answer.head, 0)
        if kind == "reset after the upload":
            _reset(writer)
        await _answer(up_reader, writer, answer, kind)


async def _read_head(reader: asyncio.StreamReader) -> _Message:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if line)
    return _Message(head, int(fields.get(b"content-length", b"0")))


async def _refuse(
    writer: asyncio.StreamWriter, reader: asyncio.StreamReader, request: _Message, kind: str
) -> None:
    """Answer that now is a bad time; a body is read first, as it is on its way."""
    left = request.length
    while left:
        left -= len(await _some(reader, left))
    head = f"HTTP/1.1 {kind} Not now\r\nRetry-After: 0\r\nContent-Length: 5\r\n\r\nlater"
    writer.write(head.encode())
    await writer.drain()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: _Message, kind: str
) -> None:
    """Pass an answer, or a part of it."""
    broken = kind in {"reset in the answer", "cut answer"}
    if broken and not answer.length:
        writer.write(answer.head[: len(answer.head) // 2])
        await writer.drain()
    else:
        writer.write(answer.head)
        await _copy(
            reader, writer, answer.length, part=broken, stalls=kind == "stall", alters=kind == ALTER
        )
    if kind == "reset in the answer":
        _reset(writer)
    if kind == "cut answer":
        raise _BrokenError


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    length: int,
    *,
    part: bool = False,
    stalls: bool = False,
    alters: bool = False,
) -> None:
    """Pass a body, or the half of it."""
    left = length // 2 if part else length
    while left:
        data = await _some(reader, left)
        left -= len(data)
        if alters:
            data, alters = bytes([data[0] ^ 1]) + data[1:], False
        writer.write(data)
        await writer.drain()
        if stalls:
            await asyncio.sleep(_STALL)
            stalls = False


async def _some(reader: asyncio.StreamReader, most: int) -> bytes:
    data = await reader.read(min(_CHUNK, most))
    if not data:
        raise EOFError
    return data


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST, which drops what was not sent yet."""
    now = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    writer.transport.abort()
    raise _BrokenError


async def _run(relay: Relay) -> None:
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0, limit=_MOST_OF_A_HEAD)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def main() -> None:
    """Relay until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("upstream", type=int)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=(*KINDS, ALTER))
    options = parser.parse_args()
    relay = Relay(options.upstream, options.rate, options.seed, options.kind or KINDS)
    asyncio.run(_run(relay))
    print(json.dumps(relay.counts))


@contextlib.contextmanager
def relayed(
    upstream: int, rate: float, *, seed: int = 1, kinds: Sequence[str] = KINDS
) -> Iterator[tuple[str, Counter[str]]]:
    """Run a relay and give its origin, and the counts, which are there when it has ended."""
    chosen = [word for kind in kinds for word in ("--kind", kind)]
    command = [
        *(sys.executable, "-m", __name__, str(upstream)),
        *("--rate", str(rate), "--seed", str(seed), *chosen),
    ]
    counts: Counter[str] = Counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield f"http://127.0.0.1:{int(cast('IO[str]', process.stdout).readline())}", counts
        finally:
            told, _ = process.communicate()
            counts.update(json.loads(told or "{}"))


if __name__ == "__main__":
    main()
