"""The exact request, with marks where a secret would stand; for looking at, not for sending."""

from __future__ import annotations

import dataclasses
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from webhook_storage import place
from webhook_storage.contracts import Auth
from webhook_storage.render import form_fields, render
from webhook_storage.template import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        secrets: For each text that stands for a secret the secret's name, and its filter.
        signature: What says who sends it and is made when it is sent, in words.
        fields: Those of the form in which the artifact is sent.
        file: The artifact's field in that form and its file name, or None.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    auth: tuple[str, str] | None
    body: str
    sends_artifact: bool
    secrets: Mapping[str, tuple[str, str]]
    signature: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    file: tuple[str, str] | None = None

    def text(self) -> str:
        """Return the request as it goes over the wire, with ``${NAME}`` for each secret."""
        lines = [f"{self.method} {self.url}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.auth:
            lines.append(f"Authorization: Basic base64({':'.join(self.auth)})")
        if self.signature:
            lines.append(f"({self.signature})")
        if self.body:
            lines += ["", self.body]
        pieces = self._pieces("\n".join(lines))
        return "".join(_spelled(*secret) if secret else text for text, secret in pieces)

    def curl(self) -> str:
        """Return a curl command that takes each secret from an environment variable."""
        # With "-X HEAD" curl would wait for a body; brackets would be patterns.
        method = ["--head"] if self.method == "HEAD" else ["-X", self.method]
        words = ["curl", "--fail-with-body", *method, *(["--globoff"] if "[" in self.url else [])]
        own = {"content-length", "accept-encoding", "user-agent"}
        if self.file:
            own.add("content-type")
        for name, value in self.headers:
            if name.lower() not in own:
                words += ["-H", self._shell(f"{name}: {value}")]
        if self.auth:
            words += ["-u", self._shell(":".join(self.auth))]
        for name, value in self.fields:
            words += ["--form-string", self._shell(f"{name}={value}")]
        if self.file:
            words += ["--form", self._shell(f"{self.file[0]}=@FILE;filename={self.file[1]}")]
        elif self.sends_artifact:
            words += ["--data-binary", "@FILE"]
        elif self.body:
            words += ["--data-raw", self._shell(self.body)]
        command = " ".join([*words, self._shell(self.url)])
        return f"{command}  # without {self.signature}" if self.signature else command

    def _shell(self, text: str) -> str:
        """Quote for a POSIX shell, secrets as variables outside of the single quotes."""
        quoted = [
            _expanded(*secret) if secret else shlex.quote(piece)
            for piece, secret in self._pieces(text)
            if secret or piece
        ]
        return "".join(quoted) or "''"

    def _pieces(self, text: str) -> Iterator[tuple[str, tuple[str, str] | None]]:
        """Yield the text in pieces, and with each that stands for a secret which one."""
        marks = sorted(self.secrets, key=len, reverse=True)
        if not marks:
            yield text, None
            return
        for piece in re.split(f"({'|'.join(map(re.escape, marks))})", text):
            yield piece, self.secrets.get(piece)


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
        secrets=values.spellings(),
        signature=str(request.auth) if isinstance(request.auth, Auth) else "",
        fields=tuple(form_fields(request.data, values.marks)) if request.multipart else (),
        file=_file(request, values),
    )


def _file(request: Request, values: Values) -> tuple[str, str] | None:
    """Return the field and the file name of an artifact that goes in a form."""
    if request.multipart is None:
        return None
    field, filename = request.multipart
    return field, place.form_value(parse(filename), values.marks)


def _auth(request: Request, values: Values) -> tuple[str, str] | None:
    """Return user and password; encoded together they would hide the marks."""
    if request.auth is None or isinstance(request.auth, Auth):
        return None
    user, password = map(parse, request.auth)
    return place.user(user, values.marks), place.password(password, values.marks)


def _body(request: Request, wire: WireRequest) -> str:
    if request.body is not None:
        return f"({request.body.size} bytes of the artifact)"
    if wire.body is None:
        return ""
    return b"".join(wire.body.chunks()).decode("utf-8", errors="replace")[:_SHOWN]


def _spelled(name: str, changed_by: str) -> str:
    """Return a secret's placeholder."""
    return f"${{{name}|{changed_by}}}" if changed_by else f"${{{name}}}"


def _expanded(name: str, changed_by: str) -> str:
    """Return what a POSIX shell replaces by a secret."""
    variable = re.sub(r"\W+", "_", name).strip("_").upper() if ":" in name or "#" in name else name
    if changed_by in {"base64", "basic"}:
        return f'"$(printf %s "${{{variable}}}" | base64 -w 0)"'
    return f'"${{{variable}}}"'
