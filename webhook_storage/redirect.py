"""Where a redirect may lead: nowhere that a header, a cookie or an artifact of ours must not go."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, urljoin, urlsplit

from webhook_storage.contracts import Request, WireRequest
from webhook_storage.errors import RedirectRefusedError

if TYPE_CHECKING:
    from webhook_storage.answer import Reply
    from webhook_storage.secret import Redactor

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_NEUTRAL = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", "webhook-storage")]
"""All that another origin gets to see; none of it comes from a template."""


def next_hop(
    request: Request, wire: WireRequest, reply: Reply, redactor: Redactor, *, left: int
) -> WireRequest | None:
    """Return the request to send after a redirect, or None when the reply is none.

    The same origin gets the same request. Another origin gets a bare GET, and only when the request
    names its host in `redirect_hosts`.

    Raises:
        RedirectRefusedError: When following would lose the artifact or carry something away.
    """
    location = reply.headers.get("location")
    if reply.status not in _REDIRECTS or not location or reply.good:
        return None
    reading = request.method in {"GET", "HEAD"}
    here, target = urlsplit(wire.url), _target(request, wire, reply.status, location)
    shown = redactor.redact(_printable(f"{target.scheme}://{_host(target)}"))

    def refuse(reason: str, hint: str) -> NoReturn:
        message = f"{request.method} {request.url} answered {reply.status}, to {shown}: {reason}"
        raise RedirectRefusedError(message, status=reply.status, hint=hint)

    if not request.follow:
        refuse("redirects are switched off", "give the final URL, or set allow_redirects=True")
    if not left:
        refuse("that is one redirect too many", "the server sends in a circle; give the final URL")
    if not reading and reply.status in {301, 302, 303}:
        refuse(
            "following would turn the request into a GET; nothing was stored", _advice(wire, target)
        )
    if here.scheme == "https" and target.scheme != "https":
        refuse("it leads from https to an unprotected connection", "give the final https URL")
    if _origin(target) == _origin(here):
        return _moved(wire, target._replace(netloc=here.netloc, fragment=""))
    if not reading:
        refuse("it leads to another host, which must not get the artifact", "give the final URL")
    if not any(fnmatchcase(target.hostname or "", pattern) for pattern in request.redirect_hosts):
        refuse("it leads to another host", "name that host in redirect_hosts to fetch from there")
    return WireRequest(
        method=request.method,
        url=target._replace(netloc=_host(target), fragment="").geturl(),
        headers=list(_NEUTRAL),
        timeout=wire.timeout,
        verify=wire.verify,
        proxies=wire.proxies,
        bare=True,
    )


def _target(request: Request, wire: WireRequest, status: int, location: str) -> SplitResult:
    """Return where a redirect leads.

    Raises:
        RedirectRefusedError: When that is no server, for example a local file.
    """
    try:
        target = urlsplit(urljoin(wire.url, location))
        if target.scheme in _PORTS and target.hostname and target.port != 0:
            return target
    except ValueError:
        pass  # what it says would show where it leads
    message = f"{request.method} {request.url} answered {status}: it leads to no server"
    raise RedirectRefusedError(message, status=status, hint="give the final URL")


def _host(parts: SplitResult) -> str:
    """Return the host as it is spelled: in lower case, a secret in it would not be recognized."""
    return parts.netloc.rpartition("@")[2]


def _moved(wire: WireRequest, target: SplitResult) -> WireRequest:
    """Return the same request for another URL."""
    return WireRequest(
        method=wire.method,
        url=target.geturl(),
        headers=wire.headers,
        body=wire.body,
        timeout=wire.timeout,
        verify=wire.verify,
        cert=wire.cert,
        proxies=wire.proxies,
        bare=wire.bare,
    )


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port (RFC 6454)."""
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _advice(wire: WireRequest, target: SplitResult) -> str:
    """Return what to write instead; a forgotten slash at the end is the usual reason."""
    if target.path == urlsplit(wire.url).path + "/":
        return "end the URL's path with a slash"
    return "give the final URL"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
