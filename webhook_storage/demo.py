"""The main job in five steps: store a flow and a script over HTTP, run both in another process.

Rule: everything shown was sent or received by this very run, and the end of it looks for the
secrets in all that was shown and stored.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.panel import Panel
from rich.rule import Rule
from rich.text import Text

from webhook_storage.artifact import BytesBody
from webhook_storage.errors import WebhookStorageError
from webhook_storage.sender import Sender
from webhook_storage.server import Server
from webhook_storage.storage import Storage
from webhook_storage.testing import find_leaks
from webhook_storage.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

PASSWORD: Final = "DEMO_PASSWORD"  # noqa: S105 - the name of a variable
KEY: Final = "DEMO_SIGNING_KEY"

_SCRIPT = '''\
"""Cheapest first: a flow that stays a readable file on the service."""


def cheapest(prices):
    return min(prices, key=prices.get)
'''
_PRICES = {"apples": 3, "bread": 4, "cheese": 9}

_WIDTH = 80
_STYLES = {"✓": "green", "✗": "red"}
_NEXT = "read docs/command.md, or begin with: webhook-storage serve DIRECTORY"

_PICTURE = """\
  this process                file server                 a new process
 ┌──────────────┐            ┌─────────────┐            ┌───────────────┐
 │ ${PASSWORD}  │  1 start   │             │            │ ${PASSWORD}   │
 │ a flow       │ ─────────▶ │  127.0.0.1  │   4 GET    │ fetch, verify │
 │ a script     │   2 PUT    │             │ ─────────▶ │ and run       │
 │              │ ─────────▶ │             │            │               │
 └──────┬───────┘            └─────────────┘            └───────▲───────┘
        └─────── 3  the definition as JSON, without a secret ───┘"""


class _Secrets(NamedTuple):
    """What only the environments of the two processes have."""

    password: str
    key: str

    def environment(self) -> dict[str, str]:
        return {PASSWORD: self.password, KEY: self.key}


def show(console: Console | None = None) -> None:
    """Run the demonstration.

    Args:
        console: Where to show it; by default standard output.
    """
    console = console or Console(highlight=False)
    console.record = True
    own = _Secrets(secrets.token_urlsafe(24), secrets.token_urlsafe(32))
    console.print(Panel(Text(_PICTURE), title="webhook-storage demo", width=_WIDTH))
    with tempfile.TemporaryDirectory() as folder, _environment(own.environment()):
        served = Path(folder, "served")
        served.mkdir()
        with Server(served, password=own.password) as server, Sender() as sender:
            _step(console, 1, "A file server starts, and wants a password")
            _tell(console, f"{server.url}  user: {server.user}  password: ${PASSWORD}")
            definitions = _store(console, server, sender, Path(folder))
            _step(console, 3, "The definition is data: it names secrets and holds none")
            console.print(JSONHighlighter()(_compact(definitions[0])), soft_wrap=True)
            _tell(console, 'The script has one like it, with "stored_as_script", and no key.')
            _run_elsewhere(console, definitions, own)
        _search(console, served, own)
    console.print(f"\n[bold]Next:[/] {_NEXT}", soft_wrap=True)


# --- the steps -----------------------------------------------------------------------------------


def _store(console: Console, server: Server, sender: Sender, folder: Path) -> list[str]:
    """Store a pickled flow, signed, and a script as it is; return their definitions."""
    _step(console, 2, "A flow, pickled and signed, and a script are stored")
    url = f"{server.url}/flows/${{flow.slug}}"
    request = {"url": url, "auth": [server.user, f"${{{PASSWORD}}}"]}
    pickled = Webhook(request, "PUT", request, "GET", signing_keys={"demo": f"${{{KEY}}}"})
    script = folder / "cheapest.py"
    script.write_text(_SCRIPT, encoding="utf-8")
    plain = Webhook(
        request, "PUT", request, "GET", stored_as_script=True, flow_script_path=str(script)
    )
    total = _make_flow(tax=7)
    pickled.add_flow(total)
    plain.flows["cheapest"] = "cheapest"
    with _log() as lines:
        pickled.build()
        plain.build()
    facts = {"flow.name": "total", "flow.slug": "total", "build.time": ""}
    sent = BytesBody(bytes(pickled.receipts["total"].size))
    for line in sender.preview(pickled.store_exchange(sent, facts)).text().splitlines():
        _tell(console, line, style="dim")
    _quote(console, lines)
    plain.flow_script_path = None
    return [pickled.to_json(), plain.to_json()]


def _run_elsewhere(console: Console, definitions: list[str], own: _Secrets) -> None:
    """Show what new processes make of the definitions, with the right secrets and with others."""
    environments = {
        "right": own.environment(),
        "wrong password": {**own.environment(), PASSWORD: "a guess"},
        "wrong key": {**own.environment(), KEY: "a guess of a signing key"},
        "no key": {PASSWORD: own.password},
    }
    with ThreadPoolExecutor() as pool:
        answers = pool.map(partial(_elsewhere, definitions), environments.values())
        said = dict(zip(environments, answers, strict=True))
    _step(console, 4, "A new process, with an environment of its own, runs both")
    _quote(console, said.pop("right"))
    _step(console, 5, "Without the right secrets nothing is fetched, nothing is loaded")
    for name, lines in said.items():
        _tell(console, name, style="bold")
        _quote(console, lines[:2])


def _search(console: Console, served: Path, own: _Secrets) -> None:
    """Look for the secrets in what was shown and in what was stored, and say what came of it."""
    files = [path.read_bytes() for path in served.rglob("*") if path.is_file()]
    shown = console.export_text(clear=False)
    places: list[str | bytes] = [shown, *files]
    leaks = [form for text in places for each in own for form in find_leaks(text, each)]
    lines = len(shown.splitlines())
    console.print()
    where = f"{lines} lines above and {len(files)} stored files"
    _tell(console, f"Both secrets, in any form, were looked for in the {where}:")
    _tell(console, f"{len(leaks)} found", style="bold red" if leaks else "bold green")


# --- the flow ------------------------------------------------------------------------------------


def _make_flow(tax: int) -> Callable[[Mapping[str, int]], float]:
    """Return a flow that exists nowhere else than in this process, with what it remembers."""

    def total(prices: Mapping[str, int]) -> float:
        return round(sum(prices.values()) * (100 + tax) / 100, 2)

    return total


# --- the other process ---------------------------------------------------------------------------


def _elsewhere(definitions: list[str], environment: Mapping[str, str]) -> list[str]:
    """Run this module in a new process and return the lines that it says."""
    inherited = {name: value for name, value in os.environ.items() if name not in {PASSWORD, KEY}}
    done = subprocess.run(
        [sys.executable, "-m", "webhook_storage.demo"],
        input=json.dumps(definitions),
        env={**inherited, **environment, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=30,
    )
    return (done.stdout + done.stderr).splitlines()


def main() -> None:
    """Fetch and run the flows of the definitions on standard input."""
    for text in json.loads(sys.stdin.read()):
        storage = Storage.from_json(text)
        for name in storage.flows:
            sys.stdout.write("".join(f"{line}\n" for line in _run(storage, name)))


def _run(storage: Storage, name: str) -> list[str]:
    """Return what a flow said of the prices, or why it was not run."""
    with _log() as lines:
        try:
            flow: Callable[[Mapping[str, int]], Any] = storage.get_flow(name)
        except WebhookStorageError as error:
            return [f"✗ {type(error).__name__}", f"  {error}"]
    return [*lines, f"✓ {name}({_PRICES}) → {flow(_PRICES)!r}"]


# --- showing -------------------------------------------------------------------------------------


def _step(console: Console, number: int, title: str) -> None:
    console.print()
    head = Text(f"{number}  ", style="bold cyan").append(title, style="bold")
    console.print(Rule(head, align="left", style="cyan"), width=_WIDTH)


def _quote(console: Console, lines: Iterable[str]) -> None:
    """Show lines of a log or of another process."""
    for line in lines:
        _tell(console, line, style=_STYLES.get(line[:1], ""))


def _tell(console: Console, line: str, style: str = "") -> None:
    """Show a line, indented and folded; nothing in it is markup."""
    folded = textwrap.wrap(
        line, _WIDTH, initial_indent="   ", subsequent_indent="     ", break_on_hyphens=False
    )
    for each in folded:
        console.print(Text(each, style=style), soft_wrap=True)


def _compact(text: str) -> str:
    """Return JSON with short lists on one line, so that no line is longer than 80 characters."""
    narrow = json.dumps(json.loads(text), indent=1)
    return re.sub(r"\[\s+([^][]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", narrow)


# --- the surroundings ----------------------------------------------------------------------------


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while, and let no proxy stand before this machine."""
    changed = {**variables, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextlib.contextmanager
def _log() -> Iterator[list[str]]:
    """Collect what the sender logs about requests and answers."""
    log, handler = logging.getLogger("webhook_storage"), _Lines()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


if __name__ == "__main__":
    main()
