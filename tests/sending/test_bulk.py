"""Many artifacts at once, at real servers: storms of refusals, interruptions, and going on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer
from tests.fleet.fixtures import required
from tests.fleet.process import find_program, free_ports, is_root, listens, running
from tests.sending.raw import RawServer, reply
from tests.sending.support import HTTPX, MODES, Mode, plain
from webhook_storage import RetryPolicy, Sender
from webhook_storage.bulk import aget_many, aput_many, get_many, put_many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sending.raw import Call
    from webhook_storage.report import Report

ROOT = Path(__file__).parents[2]
COUNT = 250
CONTENTS = {f"k{number}": f"content {number} ".encode() * 60 for number in range(COUNT)}
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def put(mode: Mode, url: str, items: Any, **options: Any) -> Report:
    """Store many, in threads or in an event loop."""
    if mode.is_async:
        return asyncio.run(aput_many(plain(url), items, **options))
    return put_many(plain(url), items, **options)


def get(mode: Mode, url: str, keys: Any, directory: Path, **options: Any) -> Report:
    """Fetch many, in threads or in an event loop."""
    if mode.is_async:
        return asyncio.run(aget_many(plain(url), keys, directory, **options))
    return get_many(plain(url), keys, directory, **options)


# --- a server that limits ------------------------------------------------------------------------

_CONF = """
{user}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/error.log crit;
events {{ worker_connections 2048; }}
http {{
  log_format status "$status";
  access_log {directory}/access.log status;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  default_type application/octet-stream;
  keepalive_requests 1000000;
  limit_req_zone $server_port zone=rate:1m rate=40r/s;
  server {{
    listen 127.0.0.1:{port};
    root {directory}/data;
    location / {{
      limit_req zone=rate burst=20 nodelay;
      limit_req_status {status};
      error_page {status} @refused;
      dav_methods PUT;
    }}
    location @refused {{ {header} return {status}; }}
  }}
}}
"""


@dataclass(frozen=True)
class Limited:
    """An nginx that takes 40 requests a second, and 20 more at once."""

    url: str
    directory: Path

    def answers(self) -> Counter[str]:
        """Return how often it has given each status."""
        return Counter((self.directory / "access.log").read_text().split())

    def stored(self) -> dict[str, bytes]:
        """Return what it has."""
        return {path.name: path.read_bytes() for path in (self.directory / "data").iterdir()}


@contextlib.contextmanager
def limited(directory: Path, status: int, retry_after: str | None) -> Iterator[Limited]:
    """Run it; beyond its limit it answers this status."""
    program = find_program("nginx", "nginx")
    (directory / "data").mkdir(parents=True)
    (port,) = free_ports(1)
    header = f"add_header Retry-After {retry_after} always;" if retry_after else ""
    user = "user root;" if is_root() else ""
    conf = directory / "nginx.conf"
    conf.write_text(
        _CONF.format(user=user, directory=directory, port=port, status=status, header=header)
    )
    command = (program, "-p", directory, "-e", directory / "error.log", "-c", conf)
    with running(command, lambda: listens(port), directory / "log"):
        yield Limited(f"http://127.0.0.1:{port}", directory)


@pytest.mark.parametrize(
    ("status", "retry_after", "limit", "mode"),
    [
        (429, None, 16, MODES[0]),
        (429, "1", 64, MODES[0]),
        (503, None, 64, MODES[0]),
        (429, "1", 64, MODES[1]),
    ],
    ids=["429", "429 with Retry-After", "503", "429 with Retry-After, event loop"],
)
def test_a_storm_ends(
    tmp_path: Path, status: int, retry_after: str | None, limit: int, mode: Mode
) -> None:
    """Many items are all stored, each whole, and few requests are refused on the way."""
    with (
        required(),
        limited(tmp_path / "nginx", status, retry_after) as server,
        Sender(secrets=[], transport=mode.transport()),
    ):
        report = put(mode, server.url, CONTENTS, limit=limit)
        answers = server.answers()
        assert CONTENTS == server.stored()
    assert {"stored": COUNT} == report.counts
    assert COUNT == answers["201"]
    assert 0 < answers[str(status)] < COUNT / 2
    assert COUNT + answers[str(status)] == sum(item.attempts for item in report.items)


@modes
def test_a_wish_for_tomorrow_is_not_granted(mode: Mode) -> None:
    """A server that wants to be left alone for a day is left alone as long as the policy says."""
    policy = RetryPolicy(attempts=6, max_delay=0.01)  # more than there are refusals
    with FileService() as service, mode.sending():
        service.inject(Answer(429, headers={"Retry-After": "86400"}), times=5)
        report = put(mode, service.url, {f"k{n}": b"x" for n in range(20)}, retry=policy, limit=2)
    assert {"stored": 20} == report.counts


def test_one_slow_host_does_not_stop_the_others() -> None:
    """While one server wants to be left alone the items for another are stored."""
    refused, well = threading.Event(), threading.Event()
    items = {f"k{number}": b"x" for number in range(50)}
    reports: list[Report] = []

    def answer(_: Call) -> bytes:
        if well.is_set():
            return reply("201 Created")
        refused.set()
        return reply("429 Too Many Requests", Retry_After="1")

    policy = RetryPolicy(attempts=10_000, max_delay=0.05, deadline=1e9)
    with (
        RawServer(answer).serving() as slow,
        FileService() as quick,
        Sender(secrets=[], transport=HTTPX.transport(), retry=policy) as sender,
    ):

        def store() -> None:
            with sender:
                reports.append(put_many(plain(slow.url), items, limit=4))

        other = threading.Thread(target=store)
        other.start()
        try:
            assert refused.wait(30)
            assert put_many(plain(quick.url), items, limit=4).ok
            assert (50, True, []) == (len(quick.files), other.is_alive(), reports)
        finally:
            well.set()
            other.join()
    assert [{"stored": 50}] == [report.counts for report in reports]


# --- there and back ------------------------------------------------------------------------------


@modes
def test_there_and_back(mode: Mode, tmp_path: Path) -> None:
    """What was stored is what is fetched, by every transport, and a second time nothing moves."""
    items = {f"folder {number % 7}/k{number}": CONTENTS[f"k{number}"] for number in range(100)}
    with FileService() as service, mode.sending(attempts=3):
        receipts = put(mode, service.url, items, limit=8).receipts
        fetched = get(mode, service.url, receipts.values(), tmp_path, limit=8)
        sent = len(service.requests)
        assert {"equal": 100} == get(mode, service.url, receipts.values(), tmp_path).counts
        assert sent == len(service.requests)
        assert {"equal": 100} == put(mode, service.url, items, receipts=receipts).counts
        assert ["HEAD"] * 100 == [each.method for each in service.requests[sent:]]
    assert {"fetched": 100} == fetched.counts
    assert items == {key: (tmp_path / key).read_bytes() for key in items}


@modes
def test_a_wrong_token_ends_it(mode: Mode) -> None:
    """A credential that is refused is not tried a thousand times; the right one stores all."""
    items = {f"k{number}": b"x" for number in range(100)}
    headers = {"Authorization": "Bearer ${TOKEN}"}
    for token in ("wrong", "right"):
        # httpcore may close a connection that another thread has just taken.
        with FileService(token="right") as service, mode.sending({"TOKEN": token}, attempts=3):
            storage = plain(service.url, headers=headers)
            if mode.is_async:
                report = asyncio.run(aput_many(storage, items, limit=4))
            else:
                report = put_many(storage, items, limit=4)
        if token == "right":
            assert {"stored": 100} == report.counts, report.failures
            continue
        assert {"failed", "not begun"} == report.counts.keys()
        assert {"AuthenticationError"} == {item.kind for item in report.failures}
        assert 3 <= len(service.requests) <= 3 + 4


# --- interrupted and killed ----------------------------------------------------------------------

_PROGRAM = """
import signal, sys
from webhook_storage import RetryPolicy, Sender
from webhook_storage.bulk import put_many
from tests.sending.support import plain

signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored in the background
url, journal = sys.argv[1:]
items = {f"k{number}": f"content {number}".encode() for number in range(200)}
policy = RetryPolicy(initial_delay=1e6, max_delay=1e6, deadline=1e9)
try:
    with Sender(secrets=[]):
        put_many(plain(url), items, limit=4, journal=journal, retry=policy)
except KeyboardInterrupt:
    sys.exit(130)
"""

ITEMS = {f"k{number}": f"content {number}".encode() for number in range(200)}


@contextlib.contextmanager
def storing(url: str, journal: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Store two hundred in another process."""
    command = [sys.executable, "-c", _PROGRAM, url, str(journal)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def written(journal: Path) -> set[str]:
    """Return the keys in a journal that are stored."""
    entries = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    return {entry["key"] for entry in entries if entry["outcome"] == "stored"}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_what_was_ended_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    """Ended in its middle, and in pauses of days, a batch goes on where it was."""
    journal, reached = tmp_path / "journal", threading.Event()

    with FileService() as service:

        def busy(_: object) -> Answer | None:
            """Take a hundred, and then be too busy."""
            if len(service.files) < 100:
                return None
            reached.set()
            return Answer(503)

        service.inject(busy, times=None)
        with storing(service.url, journal) as process:
            assert reached.wait(30)
            process.send_signal(how)
            code = process.wait(30)
        assert (130 if how == signal.SIGINT else -how) == code
        done = written(journal)
        assert done <= {path.removeprefix("/") for path in service.files}
        assert len(done) >= 100 - 4
        service.clear_faults()
        sent = len(service.requests)
        with HTTPX.sending():
            report = put_many(plain(service.url), ITEMS, journal=journal, trust_receipts=True)
        again = {each.path.removeprefix("/") for each in service.requests[sent:]}
    assert {"equal": len(done), "stored": 200 - len(done)} == report.counts
    assert ITEMS.keys() - done == again
    assert ITEMS == {path.removeprefix("/"): body for path, body in service.files.items()}
