"""Prefect 3: a server with basic authentication, and programs that use it.

Prefect has an environment of its own, so what uses it runs there, with our sources on the path.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fleet.process import (
    FLEET,
    ROOT,
    STOPPED_WITHIN,
    MissingServerError,
    free_ports,
    running,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAM = Path(__file__).with_name("prefect_program.py")
SOURCES = (ROOT, ROOT / "resolvers", ROOT / "presets")
ANSWERED_WITHIN = 120.0
AUTH = "admin:CANARY-prefect-password"
_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
}


@dataclass(frozen=True)
class Prefect:
    """A running server.

    Attributes:
        api: What ``PREFECT_API_URL`` has to be.
        home: Where Prefect keeps its database.
        auth: What ``PREFECT_API_AUTH_STRING`` has to be.
    """

    api: str
    home: Path
    auth: str = AUTH

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables of whoever may use the server."""
        return {"PREFECT_API_URL": self.api, "PREFECT_API_AUTH_STRING": self.auth}


@contextlib.contextmanager
def serve_prefect(directory: Path) -> Iterator[Prefect]:
    """Run a server in a directory of its own; it takes some seconds to make its database."""
    program = FLEET / "prefect/bin/prefect"
    if not program.exists():
        raise MissingServerError("prefect")
    home = directory / "home"
    home.mkdir(parents=True)
    (port,) = free_ports(1)
    server = Prefect(f"http://127.0.0.1:{port}/api", home)
    command = (program, "server", "start", "--host", "127.0.0.1", "--port", port, "--no-services")
    environment = {
        **_QUIET,
        **server.settings,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": AUTH,
        "HOME": str(directory),
    }
    log = directory / "server.log"
    group = None
    try:
        with running(command, lambda: _is_well(server), log, environment) as group:
            yield server
    finally:
        if group is not None:
            _end_group(group)


def use_prefect(
    told: Sequence[Mapping[str, Any]],
    directory: Path,
    settings: Mapping[str, str],
    *,
    home: Path | None = None,
    profiles: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Any]:
    """Let the program do something where Prefect is installed.

    Args:
        told: Its commands, see `prefect_program`.
        directory: Where its files go.
        settings: Prefect's settings, as environment variables.
        home: Prefect's home, where an ephemeral server finds its database.
        profiles: Prefect's profiles, with the settings of each.

    Returns:
        What each command answered.

    Raises:
        RuntimeError: It failed, or left processes behind.
    """
    path = directory / "profiles.toml"
    path.write_text("".join(_profile(*profile) for profile in (profiles or {}).items()))
    environment = {
        **_QUIET,
        **settings,
        "PREFECT_HOME": str(home or directory),
        "PREFECT_PROFILES_PATH": str(path),
        "PYTHONPATH": os.pathsep.join(map(str, SOURCES)),
        "HOME": str(directory),
        "PATH": os.environ["PATH"],
    }
    # -P, as this directory holds a module that is called prefect too.
    command = (FLEET / "prefect/bin/python", "-P", PROGRAM)
    return _answers(list(map(str, command)), json.dumps(told), environment, directory)


def _answers(
    command: list[str], told: str, environment: dict[str, str], directory: Path
) -> list[Any]:
    with (directory / "program.log").open("w+") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            cwd=directory,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(told, ANSWERED_WITHIN)
        finally:
            left_behind = _end_group(process.pid)
            process.wait()
        if process.returncode or left_behind:
            what = "left processes behind" if not process.returncode else "failed"
            raise RuntimeError(f"{command!r} {what}:\n{Path(log.name).read_text()[-2000:]}")
    answers: list[Any] = json.loads(output)
    return answers


def _end_group(group: int) -> bool:
    """End what is left of a group of processes, and return whether anything was."""
    deadline = time.monotonic() + STOPPED_WITHIN
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    return True


def _is_well(server: Prefect) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.api}/health") as answer:
        return bool(answer.status == 200)
    return False


def _profile(name: str, settings: Mapping[str, str]) -> str:
    """Write one profile as Prefect keeps it; a text of TOML is one of JSON."""
    lines = (f"{setting} = {json.dumps(text)}" for setting, text in settings.items())
    return "\n".join((f"[profiles.{name}]", *lines, ""))
