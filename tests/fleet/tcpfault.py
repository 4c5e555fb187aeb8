"""A TCP relay that breaks connections on purpose, in front of any loopback server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

Mode = Literal[
    "pass",  # change nothing
    "reset",  # reset the connection after so many bytes of the answer
    "reset-once",  # the same, for the first connection only
    "reset-upload",  # reset the connection after so many bytes of the request
    "cut",  # end the answer politely after so many bytes
    "stall",  # send so many bytes of the answer, then nothing more
    "slow",  # so many bytes of the answer a second
    "blackhole",  # take the connection, answer nothing
]
CHUNK = 65536
TICKS_PER_SECOND = 10


class _LimitError(Exception):
    """As many bytes have passed as were allowed."""


class TcpFault:
    """A running relay.

    Attributes:
        port: Where to connect instead of the server's own port.
        connections: How many there have been.
    """

    def __init__(self, upstream: int, mode: Mode, after: int) -> None:
        """Say which port to relay to, what to do, and after how many bytes."""
        self.port = 0
        self.connections = 0
        self._upstream, self._mode, self._after = upstream, mode, after
        self._relays: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()

    @property
    def url(self) -> str:
        """The relay as a plain HTTP origin."""
        return f"http://127.0.0.1:{self.port}"

    def run(self, started: threading.Event) -> None:
        """Relay until `stop`, then drop every connection."""
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve(started))

    def stop(self) -> None:
        """End `run` from another thread."""
        self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self, started: threading.Event) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stopped.wait()
        server.close()
        await _cancel(self._relays)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        mode = self._mode
        if mode == "reset-once":
            mode = "reset" if self.connections == 1 else "pass"
        relay = self._loop.create_task(self._relay(reader, writer, mode))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mode: Mode
    ) -> None:
        with contextlib.closing(writer):
            if mode == "blackhole":
                await self._stopped.wait()
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
            with contextlib.closing(up_writer):
                upload_limit = self._after if mode == "reset-upload" else None
                limit = self._after if mode in {"reset", "cut", "stall", "slow"} else None
                answer = _copy_slowly if mode == "slow" else _copy
                finished = await _race(
                    _copy(reader, up_writer, upload_limit), answer(up_reader, writer, limit)
                )
                if finished:
                    return
                if mode == "stall":
                    await self._stopped.wait()
                if mode in {"reset", "reset-upload"}:
                    _reset(writer)


async def _race(*copies: Coroutine[None, None, None]) -> bool:
    """Run both directions; false when one of them reached its limit."""
    tasks = {asyncio.ensure_future(copy) for copy in copies}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        results = await _cancel(tasks)
    return not any(isinstance(result, _LimitError) for result in results)


async def _cancel(tasks: set[asyncio.Task[None]]) -> list[BaseException | None]:
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
) -> None:
    # `drain` is to wait until the kernel has everything: a reset drops what it does not have.
    writer.transport.set_write_buffer_limits(0)
    passed = 0
    while data := await reader.read(CHUNK):
        allowed = data if limit is None else data[: limit - passed]
        writer.write(allowed)
        await writer.drain()
        passed += len(allowed)
        if passed == limit:
            raise _LimitError
    writer.write_eof()


async def _copy_slowly(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
) -> None:
    assert limit is not None
    while data := await reader.read(max(1, limit // TICKS_PER_SECOND)):
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(1 / TICKS_PER_SECOND)
    writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    # Lingering for zero seconds makes the kernel answer with RST instead of FIN.
    now = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    writer.transport.abort()


@contextlib.contextmanager
def serve_tcpfault(upstream: int, mode: Mode, after: int = 0) -> Iterator[TcpFault]:
    """Run a relay in a thread."""
    fault, started = TcpFault(upstream, mode, after), threading.Event()
    thread = threading.Thread(target=fault.run, args=(started,))
    thread.start()
    try:
        started.wait()
        yield fault
    finally:
        fault.stop()
        thread.join()
