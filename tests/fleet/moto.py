"""moto: S3, Secrets Manager and Parameter Store of AWS, which check signatures and rights."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.session import Session

from tests.fleet.process import find_program, free_ports, listens, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# So many calls are free before moto looks at credentials: those that make the first user.
FREE_CALLS = 3


@dataclass(frozen=True)
class AccessKey:
    """What a user signs with."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Moto:
    """A running moto.

    Attributes:
        url: The endpoint of all services.
        log: Where each request leaves a line.
        admin: The key of a user who may do everything.
        user: The key of one who may use S3, Secrets Manager and Parameter Store.
        reader: The key of one who may read single secrets and parameters, and no batches.
        stranger: The key of one who may do nothing.
    """

    url: str
    log: Path
    admin: AccessKey
    user: AccessKey
    reader: AccessKey
    stranger: AccessKey
    region: str = "eu-west-1"
    account: str = "123456789012"

    @property
    def wrong(self) -> AccessKey:
        """The user's key with another secret."""
        return AccessKey(self.user.id, f"WRONG{self.user.secret[5:]}")

    def client(self, service: str, key: AccessKey | None = None, region: str = "") -> Any:
        """A client of botocore, of the user if of nobody else."""
        return _client(self.url, service, key or self.user, region or self.region)

    def add_user(self, name: str, *actions: str) -> AccessKey:
        """Make a user with rights."""
        return _add_user(self.client("iam", self.admin), name, *actions)

    def calls(self) -> int:
        """How many requests there were so far."""
        return self.log.read_text().count(" HTTP/1.1")

    def environment(self, directory: Path) -> Mapping[str, str]:
        """Return variables that lead here, with each key in a profile of a file."""
        names = ("user", "reader", "stranger", "wrong")
        keys = {name: getattr(self, name) for name in names}
        profiles = (
            f"[{name}]\naws_access_key_id = {key.id}\naws_secret_access_key = {key.secret}\n"
            for name, key in keys.items()
        )
        credentials = directory / "aws-credentials"
        credentials.write_text("\n".join(profiles))
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.user.id,
            "AWS_SECRET_ACCESS_KEY": self.user.secret,
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "AWS_CONFIG_FILE": str(directory / "aws-config"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def serve_moto(directory: Path) -> Iterator[Moto]:
    """Run moto in a directory of its own."""
    program = find_program("moto_server", "moto")
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "log"
    (port,) = free_ports(1)
    command = (program, "-H", "127.0.0.1", "-p", port)
    environment = {"INITIAL_NO_AUTH_ACTION_COUNT": str(FREE_CALLS)}
    with running(command, lambda: listens(port), log, environment):
        yield _with_users(f"http://127.0.0.1:{port}", log)


@functools.cache
def shared_moto() -> Moto:
    """Return the one moto of this process; it ends with the process."""
    stack = contextlib.ExitStack()
    directory = tempfile.TemporaryDirectory(prefix="moto-", ignore_cleanup_errors=True)
    server = stack.enter_context(serve_moto(Path(stack.enter_context(directory))))
    atexit.register(stack.close)
    return server


def _with_users(url: str, log: Path) -> Moto:
    free = AccessKey("nobody", "nothing")
    admin = _add_user(_client(url, "iam", free, Moto.region), "admin", "*")
    iam = _client(url, "iam", admin, Moto.region)
    single = ("secretsmanager:GetSecretValue", "ssm:GetParameter")
    return Moto(
        url=url,
        log=log,
        admin=admin,
        user=_add_user(iam, "user", "s3:*", "secretsmanager:*", "ssm:*"),
        reader=_add_user(iam, "reader", *single),
        stranger=_add_user(iam, "stranger", "iam:GetUser"),
    )


def _add_user(iam: Any, name: str, *actions: str) -> AccessKey:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return AccessKey(key["AccessKeyId"], key["SecretAccessKey"])


@functools.cache
def _client(url: str, service: str, key: AccessKey, region: str) -> Any:
    # Nothing of the machine's configuration is looked at, nor its proxies.
    nothing = {"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None)}
    return Session(session_vars=nothing).create_client(
        service,
        region_name=region,
        endpoint_url=url,
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        config=Config(proxies={}),
    )
