"""A TCP relay that breaks connections on purpose, in front of any loopback server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

Mode = Literal[
    "pass",  # change nothing
    "reset",  # reset the connection after so many bytes of the answer
    "cut",  # end the connection politely after so many bytes of the answer
    "half-close",  # the same, but go on listening to the client
    "stall",  # send so many bytes of the answer, then nothing more
    "slow",  # so many bytes of the answer a second
    "reset-upload",  # reset the connection after so many bytes of the request
    "half-close-upload",  # the same towards the server, which can still answer
    "stall-upload",  # take so many bytes of the request, then no more
    "slow-upload",  # so many bytes of the request a second
    "blackhole",  # take the connection, answer nothing
]
CHUNK = 65536
TICKS_PER_SECOND = 10
SMALL_BUFFER = 64 * 1024


@dataclass(frozen=True)
class Plan:
    """What a relay does.

    Attributes:
        upstream: The loopback port to relay to.
        mode: How it breaks connections.
        after: After how many bytes, or how many bytes a second.
        times: How many connections it breaks, the first ones; None for all.
        meanwhile: Called when the server has lost the connection, before the client does.
    """

    upstream: int
    mode: Mode
    after: int = 0
    times: int | None = None
    meanwhile: Callable[[], object] | None = None


@dataclass(frozen=True)
class Way:
    """One direction of a connection, and who wants to know how many bytes go there."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    count: Callable[[int], object] = bool


class _LimitError(Exception):
    """As many bytes have passed as were allowed."""


class TcpFault:
    """A running relay.

    Attributes:
        port: Where to connect instead of the server's own port.
        connections: How many there have been.
        reached: Set when the fault has come about.
        asked: How many bytes of requests have passed.
        answered: How many bytes of answers have passed.
    """

    def __init__(self, plan: Plan) -> None:
        """Keep the plan."""
        self.port = 0
        self.connections = 0
        self.reached = threading.Event()
        self.asked = self.answered = 0
        self._plan = plan
        self._relays: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
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
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def _serve(self, started: threading.Event) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        if self._plan.mode == "stall-upload":  # else the kernel takes megabytes of it
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        server = await asyncio.start_server(self._accept, sock=listening)
        self.port = listening.getsockname()[1]
        started.set()
        await self._stopped.wait()
        # A connection that is being accepted while the server closes would be left open by asyncio.
        while running := asyncio.all_tasks() - {asyncio.current_task()}:
            await _cancel(self._relays)
            await asyncio.wait(running)
        server.close()
        for writer in self._writers:  # one whose data nobody reads would not close
            writer.transport.abort()
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        times = self._plan.times
        mode = self._plan.mode if times is None or self.connections <= times else "pass"
        relay = self._loop.create_task(self._relay(reader, writer, mode))
        self._relays.add(relay)
        relay.add_done_callback(self._relays.discard)
        relay.add_done_callback(lambda _: writer.close())  # also of one that never began
        self._writers.append(writer)

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, mode: Mode
    ) -> None:
        with contextlib.suppress(OSError):
            if mode == "blackhole":
                self.reached.set()
                await self._stopped.wait()
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._plan.upstream)
            self._writers.append(up_writer)
            with contextlib.closing(up_writer):
                up, down = Way(reader, up_writer, self._ask), Way(up_reader, writer, self._answer)
                kind = mode.removesuffix("-upload")
                hurt, whole = (up, down) if kind != mode else (down, up)
                finished = await _race(self._break(kind, hurt), _copy(whole, None))
                if not finished and kind == "stall":
                    await self._stopped.wait()
            if finished:
                return
            if self._plan.meanwhile is not None:
                await asyncio.to_thread(self._plan.meanwhile)
            if kind == "reset":
                _reset(writer)

    def _ask(self, size: int) -> None:
        self.asked += size

    def _answer(self, size: int) -> None:
        self.answered += size

    async def _break(self, kind: str, way: Way) -> None:
        """Copy the direction that the fault is for, up to the fault."""
        if kind == "slow":
            self.reached.set()
            await _copy_slowly(way, self._plan.after)
            return
        try:
            await _copy(way, None if kind == "pass" else self._plan.after)
        except _LimitError:
            self.reached.set()
            if kind != "half-close":
                raise
            way.writer.write_eof()
            while await way.reader.read(CHUNK):  # what is not read would be answered by a reset
                pass


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


async def _copy(way: Way, limit: int | None) -> None:
    # `drain` is to wait until the kernel has everything: a reset drops what it does not have.
    way.writer.transport.set_write_buffer_limits(0)
    passed = 0
    while data := await way.reader.read(CHUNK):
        allowed = data if limit is None else data[: limit - passed]
        way.writer.write(allowed)
        await way.writer.drain()
        passed += len(allowed)
        way.count(len(allowed))
        if passed == limit:
            raise _LimitError
    way.writer.write_eof()


async def _copy_slowly(way: Way, rate: int) -> None:
    way.writer.transport.set_write_buffer_limits(0)
    while data := await way.reader.read(max(1, rate // TICKS_PER_SECOND)):
        way.writer.write(data)
        await way.writer.drain()
        await asyncio.sleep(len(data) / rate)
    way.writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    # Lingering for zero seconds makes the kernel answer with RST instead of FIN.
    now = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    writer.transport.abort()


@contextlib.contextmanager
def serve_tcpfault(plan: Plan) -> Iterator[TcpFault]:
    """Run a relay in a thread."""
    fault, started = TcpFault(plan), threading.Event()
    thread = threading.Thread(target=fault.run, args=(started,))
    thread.start()
    try:
        started.wait()
        yield fault
    finally:
        fault.stop()
        thread.join()
