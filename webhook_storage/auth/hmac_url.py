"""URLs that are signed by an HMAC (RFC 2104) and end after a while, as Swift's temporary ones.

Source: OpenStack Swift, Temporary URL middleware.
"""

from __future__ import annotations

import base64
import hmac
import re
import time
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from pydantic import Field, field_validator, model_validator

from webhook_storage import origin
from webhook_storage.auth.description import AuthModel, SecretText
from webhook_storage.contracts import Access, Exchange, Request, Wanted, WireRequest
from webhook_storage.errors import ConfigurationError, UnsafeValueError

if TYPE_CHECKING:
    from typing import Self

    from webhook_storage.secret import SecretValue

_FIELDS = ("method", "scheme", "host", "path", "raw_path", "query", "expires")
_FIELD = re.compile(r"\{(\w*)\}")
_CONTROLS = re.compile("[\x00-\x1f\x7f]")
_BYTES = "surrogateescape"
"""A path may be no UTF-8, and what is signed is then its bytes."""

_WEEK = 7 * 24 * 3600


class HmacUrl(AuthModel):
    """A signature over the request's method, path and time of expiry, in the query.

    It is made anew for each attempt, so that a long download does not outlive it. With the defaults
    it is the ``temp_url_sig`` of OpenStack Swift.

    Example:
        >>> auth = HmacUrl(key="${TEMP_URL_KEY}", lifetime=60)
        >>> str(auth)
        'an HMAC of method, expires and path in temp_url_sig'
    """

    type: Literal["hmac_url"] = "hmac_url"
    key: SecretText = Field(description="Placeholder of the key.")
    algorithm: Literal["sha256", "sha512", "sha1"] = Field(
        "sha256", description="Hash of the HMAC; sha1 for old services only."
    )
    layout: str = Field(
        "{method}\n{expires}\n{path}",
        description="What is signed: a text with {method}, {expires}, {path} (decoded), {raw_path} "
        "(as it is sent), {query}, {scheme} and {host}; it names expires and one of the paths.",
    )
    encoding: Literal["hex", "base64", "base64url"] = Field(
        "hex", description="How the signature is written; base64url has no padding."
    )
    signature_parameter: str = Field(
        "temp_url_sig", min_length=1, description="Parameter of the query with the signature."
    )
    expires_parameter: str = Field(
        "temp_url_expires",
        min_length=1,
        description="Parameter of the query with the time of expiry, in seconds since 1970.",
    )
    lifetime: int = Field(
        300, ge=1, le=_WEEK, description="Seconds for which a URL is good, counted by our clock."
    )

    @field_validator("layout")
    @classmethod
    def _check_layout(cls, text: str) -> str:
        names = _FIELD.findall(text)
        unknown = [name for name in names if name not in _FIELDS]
        if unknown:
            raise ValueError(f"it knows the fields {', '.join(_FIELDS)} only")
        if "expires" not in names or not {"path", "raw_path"} & {*names}:
            raise ValueError("it signs {expires} and {path} or {raw_path}, or it would fit all")
        return text

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        if self.signature_parameter == self.expires_parameter:
            raise ValueError("signature_parameter and expires_parameter are two parameters")
        return self

    def __str__(self) -> str:
        """Say what will be in the request."""
        *names, last = dict.fromkeys(_FIELD.findall(self.layout))
        return f"an HMAC of {', '.join(names)} and {last} in {self.signature_parameter}"

    def log_in(self, request: Request, challenge: str) -> Exchange[Access]:  # noqa: ARG002
        """Get the key."""
        secrets: dict[str, SecretValue] = yield Wanted({"key": self.key})
        return Access(secrets=secrets)

    def sign(self, wire: WireRequest, access: Access) -> WireRequest:
        """Add expiry and signature to the query.

        Raises:
            ConfigurationError: When one of them is there already.
            UnsafeValueError: When a control character in the path would change what is signed.
        """
        url, _, query = wire.url.partition("#")[0].partition("?")
        taken = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
        if taken & {self.signature_parameter, self.expires_parameter}:
            message = "auth signs the URL, and its query has a signature or an expiry already"
            raise ConfigurationError(message, path="auth", hint="leave them out of the URL")
        expires = str(int(time.time()) + self.lifetime)
        key = access.secrets["key"].reveal().encode()
        signed = hmac.new(key, self._text(wire, query, expires), self.algorithm).digest()
        ours = {self.signature_parameter: self._written(signed), self.expires_parameter: expires}
        pairs = urlencode(ours, quote_via=quote, safe="")
        return wire.changed(url=f"{url}?{query}&{pairs}" if query else f"{url}?{pairs}")

    def header_name(self) -> str:
        """Return nothing: all is in the query."""
        return ""

    def signatures(self, wire: WireRequest) -> list[str]:
        """Return the signature."""
        query = parse_qsl(origin.target(wire.url).partition("?")[2])
        return [value for name, value in query if name == self.signature_parameter]

    def _text(self, wire: WireRequest, query: str, expires: str) -> bytes:
        """Return what is signed."""
        raw_path = origin.path(wire.url)
        path = unquote(raw_path, errors=_BYTES)
        if _CONTROLS.search(path):
            message = "a URL with a control character in its path is not signed"
            raise UnsafeValueError(message, hint="store it under another key")
        fields = {
            "method": wire.method,
            "scheme": wire.origin.scheme,
            "host": origin.host(wire.url),
            "path": path,
            "raw_path": raw_path,
            "query": query,
            "expires": expires,
        }
        return _FIELD.sub(lambda found: fields[found[1]], self.layout).encode(errors=_BYTES)

    def _written(self, signed: bytes) -> str:
        if self.encoding == "hex":
            return signed.hex()
        if self.encoding == "base64":
            return base64.b64encode(signed).decode()
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()
