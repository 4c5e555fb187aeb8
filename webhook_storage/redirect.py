"""Where a redirect may lead: nowhere that a header, a cookie or an artifact of ours must not go."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NoReturn

from webhook_storage import origin
from webhook_storage.contracts import Request, WireRequest
from webhook_storage.errors import RedirectRefusedError

if TYPE_CHECKING:
    from webhook_storage.answer import Reply
    from webhook_storage.secret import Redactor

_SEE_OTHER = 303
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NEUTRAL = [("Accept", "*/*"), ("Accept-Encoding", "identity"), ("User-Agent", "webhook-storage")]
"""All that another origin gets to see; none of it comes from a template."""


def next_hop(
    request: Request, wire: WireRequest, reply: Reply, redactor: Redactor, *, left: int
) -> WireRequest | None:
    """Return the request to send after a redirect, or None when the reply is none.

    The same origin gets the same request. Another origin gets a bare GET, and only when the request
    names its host in `redirect_hosts`. A guarded request stays guarded.

    Raises:
        RedirectRefusedError: When following would lose the artifact or carry something away.
    """
    location = reply.headers.get("location")
    if reply.status not in _REDIRECTS or not location or reply.good:
        return None
    reading = request.method in {"GET", "HEAD"}
    url = _target(request, wire, reply.status, location)
    here, there = origin.origin(wire.url), origin.origin(url)
    # As it is spelled: in lower case, a secret in it would not be recognized.
    shown = redactor.redact(_printable(f"{there.scheme}://{origin.host(url)}"))

    def refuse(reason: str, hint: str) -> NoReturn:
        message = f"{request.method} {request.url} answered {reply.status}, to {shown}: {reason}"
        raise RedirectRefusedError(message, status=reply.status, hint=hint)

    if not request.follow:
        refuse("redirects are switched off", "give the final URL, or set allow_redirects=True")
    if not left:
        refuse("that is one redirect too many", "the server sends in a circle; give the final URL")
    if not reading and reply.status in {301, 302, 303}:
        lost = "following would turn the request into a GET"
        # 303 is the answer of who has done something (RFC 9110, section 15.4.4).
        stored = "it may be stored" if reply.status == _SEE_OTHER else "nothing was stored"
        refuse(f"{lost}; {stored}", _advice(wire, url))
    if here.scheme == "https" and there.scheme != "https":
        refuse("it leads from https to an unprotected connection", "give the final https URL")
    if origin.same_origin(wire.url, url):
        return _moved(wire, f"{there.scheme}://{origin.host(wire.url)}{origin.target(url)}")
    if not reading:
        refuse("it leads to another host, which must not get the artifact", "give the final URL")
    if not any(fnmatchcase(there.host, pattern) for pattern in request.redirect_hosts):
        refuse("it leads to another host", "name that host in redirect_hosts to fetch from there")
    return WireRequest(
        method=request.method,
        url=f"{there.scheme}://{origin.host(url)}{origin.target(url)}",
        headers=list(_NEUTRAL),
        timeout=wire.timeout,
        verify=wire.verify,
        proxies=wire.proxies,
        bare=True,
        guarded=wire.guarded,
    )


def _target(request: Request, wire: WireRequest, status: int, location: str) -> str:
    """Return where a redirect leads.

    Raises:
        RedirectRefusedError: When that is no server, for example a local file.
    """
    url = origin.join(wire.url, location)
    there = origin.origin(url)
    known = there.host or origin.same_origin(wire.url, url)
    if there.scheme in {"http", "https"} and known:
        return url
    message = f"{request.method} {request.url} answered {status}: it leads to no server"
    raise RedirectRefusedError(message, status=status, hint="give the final URL")


def _moved(wire: WireRequest, url: str) -> WireRequest:
    """Return the same request for another URL."""
    return WireRequest(
        method=wire.method,
        url=url,
        headers=wire.headers,
        body=wire.body,
        timeout=wire.timeout,
        verify=wire.verify,
        cert=wire.cert,
        proxies=wire.proxies,
        bare=wire.bare,
        guarded=wire.guarded,
    )


def _advice(wire: WireRequest, url: str) -> str:
    """Return what to write instead; a forgotten slash at the end is the usual reason."""
    if origin.path(url) == origin.path(wire.url) + "/":
        return "end the URL's path with a slash"
    return "give the final URL"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
