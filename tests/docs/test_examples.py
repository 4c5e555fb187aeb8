"""The examples do what they say, those that need an account of Dropbox excepted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes.oauth import CLIENT, SECRET, TokenService

if TYPE_CHECKING:
    from tests.fleet.moto import Moto

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, **environment: str) -> list[str]:
    """Return what an example prints, without what differs from run to run."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name],
        check=True,
        env=os.environ | environment,
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


def test_object_storage(moto: Moto) -> None:
    """A worker runs a flow that was stored on S3, by a definition without credentials."""
    moto.client("s3", region="us-east-1").create_bucket(Bucket="workflows")
    keys = {"S3_KEY_ID": moto.user.id, "S3_SECRET_KEY": moto.user.secret}
    lines = run("object_storage.py", S3_ENDPOINT=moto.url, **keys)
    assert ["stored greeting", "worker: hello worker"] == lines


def test_company_files() -> None:
    """A client gets one token for all that it does, and none with a wrong secret."""
    with TokenService() as service:
        places = {"FILES_URL": service.url, "TOKEN_URL": service.token_url}
        lines = run("company_files.py", CLIENT_ID=CLIENT, CLIENT_SECRET=SECRET, **places)
        tokens = len(service.given)
    assert ["stored 10 bytes", "fetched three rows", "there is one: False"] == lines[:3]
    assert "refused: POST ${TOKEN_URL} gave no access token: invalid_client" == lines[3]
    assert 1 == tokens
