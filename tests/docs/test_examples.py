"""The examples that need no account do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str) -> list[str]:
    """Return what an example prints, without what differs from run to run."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [line.partition(", sha256 ")[0] for line in done.stdout.splitlines()]


def test_file_server() -> None:
    """A large file goes to a server and comes back; a wrong password is refused."""
    stored, fetched, refused = run("file_server.py")
    assert "stored 33554432 bytes" == stored
    assert "fetched 33554432 bytes, the same ones" == fetched
    assert refused.startswith("refused: GET ${SERVER_URL}/backups/${artifact.key} answered 401")


def test_signed_flow() -> None:
    """A worker runs a flow that is signed, and refuses the one that is not."""
    lines = run("signed_flow.py")
    assert ["stored with a signature", "worker: hello worker", "stored without a signature"] == (
        lines[:3]
    )
    assert lines[3].startswith("worker refuses: flow 'greeting' is not signed")
