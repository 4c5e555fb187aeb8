"""Who we are for AWS: the credentials that botocore finds, and clients that send by our own.

Facts: "Credentials" and "Configuration" of the Boto3 documentation, "Settings reference" of the AWS
SDKs and Tools Reference Guide; the source of botocore 1.44 (``Session``, ``Endpoint`` with its
event ``before-send``, ``InstanceMetadataFetcher``, ``ContainerMetadataFetcher``). botocore finds
credentials and endpoint, signs, and reads the answers. What it has to send, logins at STS and IAM
Identity Center too, our client sends: once, in the time that there is, and to nowhere else. Only
the metadata services of machines and containers are asked by botocore itself.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from http.client import BAD_REQUEST, INTERNAL_SERVER_ERROR, MULTIPLE_CHOICES, TOO_MANY_REQUESTS
from typing import TYPE_CHECKING, Any, NamedTuple

from webhook_storage.client import HttpClient
from webhook_storage.contracts import Deadline, Unavailable
from webhook_storage.errors import MissingExtraError
from webhook_storage.secret import silenced_logs
from webhook_storage_resolvers.aws.answers import NO_CREDENTIALS, meaning_of_login

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from webhook_storage.token import Refusal

REGION = re.compile(r"[A-Za-z0-9-]{1,63}")

_METADATA_SHARE = 4
"""A metadata service is asked three times in a row, so each time may take less than a third."""

_NO_TIME = Unavailable("there was no time left to ask")
_NO_REGION = Unavailable("no region: set AWS_REGION to the one where the secrets are")
_NO_CLIENT = Unavailable(
    "the region or the endpoint is none: check AWS_REGION, AWS_ENDPOINT_URL and the profile"
)

_deadline: ContextVar[Deadline] = ContextVar("webhook_storage_aws_deadline")
"""When an answer is of no use any more to whoever asks in this thread."""


class NoAnswerError(Exception):
    """Nobody answered, or nobody that knows; botocore knows no such exception, so it gives up.

    Attributes:
        outcome: Why.
    """

    def __init__(self, outcome: Unavailable) -> None:
        """Keep the reason."""
        super().__init__()
        self.outcome = outcome


class Access(NamedTuple):
    """What a question is asked with.

    Attributes:
        session: The session with the credentials.
        client: The client of one service in one region.
        fingerprint: Tells these credentials from others.
    """

    session: Any
    client: Any
    fingerprint: int

    def call(self, operation: str, parameters: Mapping[str, Any], deadline: Deadline) -> Any:
        """Return the answer to one question.

        Raises:
            NoAnswerError: There is none.
            Exception: What botocore makes of an answer that says no, or of one that is none.
        """
        with _until(deadline), silenced_logs():
            return getattr(self.client, operation)(**parameters)


class Login:
    """The session of this process and its clients, shared by threads.

    Args:
        service: Name of the service, as botocore has it.
        region: By default that of the environment or the profile.
        profile: By default that of the environment.
        endpoint_url: By default that of the environment, the profile or the region.

    Attributes:
        http: Who sends.
        denied: Operations that were asked for in vain, for want of a right.
    """

    __slots__ = (
        "_clients", "_endpoint_url", "_lock", "_profile", "_region", "_service", "_session",
        "denied", "http",
    )  # fmt: skip

    def __init__(
        self, service: str, region: str | None, profile: str | None, endpoint_url: str | None
    ) -> None:
        """Look for nothing yet."""
        self.http = HttpClient()
        self.denied: set[str] = set()
        self._service = service
        self._region = region
        self._profile = profile
        self._endpoint_url = endpoint_url
        self._lock = threading.Lock()
        self._session: Any = None
        self._clients: dict[str, Any] = {}

    def access(
        self, region: str | None, deadline: Deadline, refused: Access | None = None
    ) -> Access | Refusal:
        """Return what a question is asked with, or why there is nothing.

        Args:
            region: Where to ask; None stands for the usual region.
            deadline: When it is of no use any more.
            refused: What was returned before, and let no question in.
        """
        seconds = deadline.remaining()
        if not seconds or not self._lock.acquire(timeout=seconds):
            return _NO_TIME
        try:
            if refused is not None and refused.session is self._session:
                self._forget()
            with _until(deadline):
                return self._access(region)
        finally:
            self._lock.release()

    def _access(self, region: str | None) -> Access | Refusal:
        """Return the access; credentials that are not found are looked for anew next time."""
        try:
            library = _botocore()
            with silenced_logs():
                if self._session is None:
                    self._session = self._start(library)
                found = self._session.get_credentials()
                if found is not None:
                    fingerprint = hash(found.get_frozen_credentials())
                    return self._open(region, fingerprint)
                outcome: Refusal = NO_CREDENTIALS
        except ImportError:
            missing = MissingExtraError("AWS needs botocore, which is not installed", extra="aws")
            outcome = Unavailable(f"{missing}: {missing.hint}")
        except NoAnswerError as error:
            said = error.outcome
            outcome = Unavailable(f"no credentials: {said.detail}", said.retry_after)
        except Exception as error:  # noqa: BLE001 - its text may hold what stands in a file
            outcome = meaning_of_login(error)
        self._forget()
        return outcome

    def _open(self, region: str | None, fingerprint: int) -> Access | Refusal:
        """Return the access with the client of a region."""
        chosen = region or self._usual_region(self._session)
        if not chosen:
            return _NO_REGION
        try:
            if chosen not in self._clients:
                self._clients[chosen] = self._session.create_client(
                    self._service, region_name=chosen, endpoint_url=self._endpoint_url
                )
        except ValueError:
            return _NO_CLIENT
        return Access(self._session, self._clients[chosen], fingerprint)

    def _start(self, library: Any) -> Any:
        """Return a session that sends by our client, and once."""
        session = library.session.Session(profile=self._profile)
        session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
        session.set_default_client_config(
            library.config.Config(retries={"mode": "standard", "total_max_attempts": 1})
        )
        if region := self._usual_region(session):
            session.set_config_variable("region", region)
        bundle = session.get_config_variable("ca_bundle")
        if bundle is not None and bundle != self.http.verify:
            self.http = HttpClient(verify=bundle)
        session.register("before-send", _sender(self.http, library))
        patience = session.get_config_variable("metadata_service_timeout")
        attempts = session.get_config_variable("metadata_service_num_attempts")
        share = _deadline.get().remaining() / _METADATA_SHARE / attempts
        # Not by the session, which would make an integer of it: zero, if there is little time.
        store = session.get_component("config_store")
        store.set_config_variable("metadata_service_timeout", min(patience, share))
        return session

    def _usual_region(self, session: Any) -> str | None:
        """Return the region; other tools of AWS than botocore know the last variable only."""
        usual = self._region or session.get_config_variable("region")
        return usual or os.environ.get("AWS_REGION")

    def _forget(self) -> None:
        self._session = None
        self._clients = {}


@contextmanager
def _until(deadline: Deadline) -> Iterator[None]:
    """Set the deadline of this thread."""
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def _botocore() -> Any:
    """Return the library, an extra that is slow to import."""
    import botocore.awsrequest  # noqa: PLC0415 - as the line above says
    import botocore.config  # noqa: PLC0415
    import botocore.loaders  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    return botocore


@cache
def _loader(paths: str | None) -> Any:
    """Return what reads botocore's descriptions of services, once for all sessions: they are long.

    Args:
        paths: Where others lie than those that come with botocore.
    """
    return _botocore().loaders.create_loader(paths)


def _sender(http: HttpClient, library: Any) -> Callable[..., Any]:
    """Return what botocore calls before it sends; it does not send when that returns an answer."""

    def send(request: Any, **_: Any) -> Any:
        # STS would answer in JSON if that were accepted, and botocore reads its XML.
        headers = {"Accept": "*/*", "Host": _host(request.url)}
        headers |= {name: _text(value) for name, value in request.headers.items()}
        body = request.body.encode() if isinstance(request.body, str) else request.body
        answer = http.ask(
            request.method, request.url, _deadline.get(), headers=headers, content=body
        )
        if isinstance(answer, Unavailable):
            where = f"asking {_host(request.url)}: check region, endpoint and network"
            raise NoAnswerError(Unavailable(f"{answer.detail}, {where}"))
        status = answer.status
        redirects = MULTIPLE_CHOICES <= status < BAD_REQUEST
        if redirects or status == TOO_MANY_REQUESTS or status >= INTERNAL_SERVER_ERROR:
            raise NoAnswerError(answer.trouble())
        raw = _Raw(answer.body)
        return library.awsrequest.AWSResponse(request.url, status, answer.headers, raw)

    return send


class _Raw:
    """A body as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        """Yield all of it."""
        yield self._body


def _host(url: str) -> str:
    """Return the host as it is signed: without the port that the scheme has anyway."""
    scheme, _, rest = url.partition("://")
    authority = rest.partition("/")[0].rpartition("@")[2]
    return authority.removesuffix(":443" if scheme == "https" else ":80")


def _text(value: str | bytes) -> str:
    """Return a header's value; those of botocore are of either kind."""
    return value.decode() if isinstance(value, bytes) else value
