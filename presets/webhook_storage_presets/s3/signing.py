"""Signature Version 4 of AWS, made by botocore, for S3 and for any other service.

Source: AWS General Reference, Signing AWS API requests; botocore 1.44 (``botocore.auth``). botocore
logs what it signs, the session token included, so its loggers are silent meanwhile.
"""

from __future__ import annotations

import hashlib
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from webhook_storage import origin
from webhook_storage.auth import AuthModel, SecretText
from webhook_storage.contracts import Access, Exchange, Request, Wanted, WireRequest, Work
from webhook_storage.errors import AuthenticationError, MissingExtraError
from webhook_storage.secret import SecretValue, silenced_logs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY = hashlib.sha256().hexdigest()

_SIGNED = ("content-md5", "content-type", "host", "if-match", "if-none-match", "range")
"""Headers that are signed, with ``Host`` and all of AWS; not what a proxy may change."""

_SIGNATURE = "X-Amz-Signature"
"""The last parameter of a signed URL."""

_LIFETIME = 300.0
"""Seconds after which the chain is asked again; botocore itself renews what it holds earlier."""

_REFUSALS = (b"ExpiredToken", b"InvalidAccessKeyId", b"TokenRefreshRequired")
"""Codes in the answer to credentials that other ones may replace."""


class AwsSigV4(AuthModel):
    """Signs each request with the credentials of an AWS account, or of a service like it.

    Without `access_key_id` the credentials are those that botocore finds: in the environment, the
    shared files, by web identity, from a container or a machine's metadata.

    Example:
        >>> auth = AwsSigV4(region="eu-west-1", access_key_id="${ID}", secret_access_key="${KEY}")
        >>> str(auth)
        'a signature of AWS for s3 in eu-west-1'
    """

    type: Literal["aws_sigv4"] = "aws_sigv4"
    region: str = Field(description="Region that the signature names.")
    service: str = Field("s3", description="Service that the signature names.")
    access_key_id: SecretText | None = Field(
        None, description="Placeholder of the access key's id; none for botocore's chain."
    )
    secret_access_key: SecretText | None = Field(
        None, description="Placeholder of the secret access key."
    )
    session_token: SecretText = Field(
        "", description="Placeholder of the session token of temporary credentials."
    )
    aws_profile: str | None = Field(
        None, description="Profile of the shared files, for botocore's chain."
    )
    sign_payload: bool = Field(
        default=True,
        description="Whether the body's SHA-256 is signed too; over http it always is.",
    )
    place: Literal["header", "query"] = Field(
        "header",
        description="Whether the signature is in a header, or in the URL as in a presigned one, "
        "where the body is not signed.",
    )
    lifetime: Annotated[int, Field(ge=1, le=604_800)] = Field(
        300, description="Seconds for which a signature in the URL is good."
    )

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.access_key_id is None) is not (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together")
        return self

    def __str__(self) -> str:
        """Say what will be in the request."""
        return f"a signature of AWS for {self.service} in {self.region}"

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get the credentials."""
        if self.access_key_id is None or self.secret_access_key is None:
            found: Access = yield Work(partial(_from_chain, self.aws_profile), identity="aws")
            return found
        wanted = {"id": self.access_key_id, "key": self.secret_access_key}
        if self.session_token:
            wanted["token"] = self.session_token
        secrets: dict[str, SecretValue] = yield Wanted(wanted)
        return Access(secrets=secrets)

    def header_name(self) -> str:
        """Return the header that says who sends it, empty where the URL does."""
        return "Authorization" if self.place == "header" else ""

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add the signature, the date and what else is signed."""
        digest = self._digest(wire) if self.place == "header" else ""
        # AWS reads a plus sign in a query as itself when it signs, and we write it for a blank.
        path, mark, query = wire.url.partition("?")
        wire = wire.changed(url=f"{path}{mark}{query.replace('+', '%20')}")
        with silenced_logs():
            if self.place == "query":
                return wire.changed(url=self._signed_url(wire, access))
            return wire.with_headers(_signed(wire, access, digest, self.region, self.service))

    def signatures(self, wire: WireRequest) -> Iterable[str]:
        """Return the signature, wherever it is."""
        if self.place == "header":
            return super().signatures(wire)
        return [wire.url.rpartition(f"&{_SIGNATURE}=")[2]]

    def _signed_url(self, wire: WireRequest, access: Access) -> str:
        botocore = _botocore()
        auth = botocore.auth
        kind = auth.S3SigV4QueryAuth if self.service == "s3" else auth.SigV4QueryAuth
        request = _request(wire)
        kind(_credentials(access), self.service, self.region, self.lifetime).add_auth(request)
        return str(request.url)

    def refused(self, status: int, body: bytes) -> bool:
        """Tell whether other credentials may be taken: temporary ones end with 400 or 403."""
        return status in {400, 401, 403} and any(code in body for code in _REFUSALS)

    def _digest(self, wire: WireRequest) -> str:
        if wire.body is None:
            return EMPTY
        if not self.sign_payload and wire.url.startswith("https:"):
            return UNSIGNED
        return wire.body.sha256()


def _signed(
    wire: WireRequest, access: Access, digest: str, region: str, service: str
) -> dict[str, str]:
    """Return the headers that make a request a signed one."""
    request = _request(wire)
    kind = _signer(s3=service == "s3")
    kind(_credentials(access), service, region, digest).add_auth(request)
    wanted = {"authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"}
    return {name: value for name, value in request.headers.items() if name.lower() in wanted}


def _credentials(access: Access) -> Any:
    """Return the credentials as botocore has them."""
    secrets = {name: value.reveal() for name, value in access.secrets.items()}
    token = secrets.get("token") or None
    return _botocore().credentials.Credentials(secrets["id"], secrets["key"], token)


def _request(wire: WireRequest) -> Any:
    """Return the request as botocore has it, with the headers that are signed."""
    given = {"host": _host(wire.url)}  # as it is sent, unless a header says another one
    for name, value in wire.headers:
        lower = name.lower()
        if lower in _SIGNED or lower.startswith("x-amz-"):
            given[lower] = value
    return _botocore().awsrequest.AWSRequest(method=wire.method, url=wire.url, headers=given)


def _host(url: str) -> str:
    """Return host and port as a Host header has them."""
    return origin.host(url).removesuffix(":443" if url.startswith("https:") else ":80")


@cache
def _signer(*, s3: bool) -> Any:
    """Return botocore's signer, to which the body's digest is known."""
    botocore = _botocore()
    base = botocore.auth.S3SigV4Auth if s3 else botocore.auth.SigV4Auth

    class Signer(base):  # type: ignore[misc, valid-type]
        def __init__(self, credentials: Any, service: str, region: str, digest: str) -> None:
            super().__init__(credentials, service, region)
            self._digest = digest

        def payload(self, request: Any) -> str:  # noqa: ARG002 - it was read before
            return self._digest

    return Signer


def _from_chain(profile: str | None) -> Access:
    """Return the credentials that botocore finds.

    Raises:
        AuthenticationError: It finds none, or says that there is something wrong with them.
    """
    botocore = _botocore()
    found, fault = None, ""
    with silenced_logs():
        try:
            credentials = botocore.session.Session(profile=profile).get_credentials()
            found = credentials and credentials.get_frozen_credentials()
        except Exception as error:  # noqa: BLE001 - its text may hold a part of a file
            fault = type(error).__name__
    if found is None or not found.access_key or not found.secret_key:
        message = "botocore finds no AWS credentials" + (f", {fault}" if fault else "")
        hint = (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile, or give "
            "placeholders as access_key_id and secret_access_key"
        )
        raise AuthenticationError(message, status=0, hint=hint)
    secrets = {"id": SecretValue(found.access_key), "key": SecretValue(found.secret_key)}
    if found.token:
        secrets["token"] = SecretValue(found.token)
    return Access(secrets=secrets, lifetime=_LIFETIME)


def _botocore() -> Any:
    """Return the library.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import botocore.auth  # noqa: PLC0415 - an extra
        import botocore.awsrequest  # noqa: PLC0415
        import botocore.credentials  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415
    except ModuleNotFoundError:
        pass
    else:
        return botocore
    message = "AWS's signatures are made by botocore, which is not installed"
    raise MissingExtraError(message, extra="aws")
