"""The exact request, with marks where a secret would stand; for looking at, not for sending."""

from __future__ import annotations

import dataclasses
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook_storage import place
from webhook_storage.render import render
from webhook_storage.template import parse
from webhook_storage.values import MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.contracts import Request, WireRequest
    from webhook_storage.values import Values

_SHOWN = 4096
"""Most characters of a body that are shown."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A request without its secrets.

    Attributes:
        method: HTTP method.
        url: URL with marks.
        headers: Pairs with marks; basic authentication is in `auth` instead.
        auth: User and password, with marks, or None.
        body: What is sent: text, or a note that it is the artifact.
        sends_artifact: Whether the body is the artifact.
        names: The spelling of the secret behind each mark.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    auth: tuple[str, str] | None
    body: str
    sends_artifact: bool
    names: tuple[str, ...]

    def text(self) -> str:
        """Return the request as it goes over the wire, with ``${NAME}`` for each secret."""
        lines = [f"{self.method} {self.url}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.auth:
            lines.append(f"Authorization: Basic base64({':'.join(self.auth)})")
        if self.body:
            lines += ["", self.body]
        pieces = self._pieces("\n".join(lines))
        return "".join(f"${{{piece}}}" if secret else piece for piece, secret in pieces)

    def curl(self) -> str:
        """Return a curl command that takes each secret from an environment variable."""
        words = ["curl", "--fail-with-body", "-X", self.method]
        for name, value in self.headers:
            if name.lower() not in {"content-length", "accept-encoding", "user-agent"}:
                words += ["-H", self._shell(f"{name}: {value}")]
        if self.auth:
            words += ["-u", self._shell(":".join(self.auth))]
        if self.sends_artifact:
            words += ["--data-binary", "@FILE"]
        elif self.body:
            words += ["--data-raw", self._shell(self.body)]
        return " ".join([*words, self._shell(self.url)])

    def _shell(self, text: str) -> str:
        """Quote for a POSIX shell, secrets as variables outside of the single quotes."""
        quoted = [
            f'"${{{_variable(piece)}}}"' if secret else shlex.quote(piece)
            for piece, secret in self._pieces(text)
            if secret or piece
        ]
        return "".join(quoted) or "''"

    def _pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield literal text, and the names of secrets, each with whether it is one."""
        end = 0
        for found in MARK.finditer(text):
            yield text[end : found.start()], False
            yield self.names[int(found[1] or found[2])], True
            end = found.end()
        yield text[end:], False


def preview(request: Request, values: Values) -> Preview:
    """Return the request with marks in place of its secrets."""
    wire = render(dataclasses.replace(request, auth=None), values.marks)
    return Preview(
        method=wire.method,
        url=wire.url,
        headers=tuple(wire.headers),
        auth=_auth(request, values),
        body=_body(request, wire),
        sends_artifact=request.body is not None,
        names=tuple(map(str, values.references)),
    )


def _auth(request: Request, values: Values) -> tuple[str, str] | None:
    """Return user and password; encoded together they would hide the marks."""
    if request.auth is None:
        return None
    user, password = map(parse, request.auth)
    return place.user(user, values.marks), place.password(password, values.marks)


def _body(request: Request, wire: WireRequest) -> str:
    if request.body is not None:
        return f"({request.body.size} bytes of the artifact)"
    if wire.body is None:
        return ""
    return b"".join(wire.body.chunks()).decode("utf-8", errors="replace")[:_SHOWN]


def _variable(name: str) -> str:
    """Return the name of a shell variable for a secret."""
    return re.sub(r"\W+", "_", name).strip("_").upper() if ":" in name or "#" in name else name
