"""A request's templates and their values, made into the request that goes over the wire."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any
from urllib.parse import quote, urlencode

from webhook_storage import place
from webhook_storage.artifact import BytesBody, JoinedBody
from webhook_storage.contracts import Auth, Body, Request, WireRequest
from webhook_storage.errors import ConfigurationError
from webhook_storage.template import Lookup, Template, parse

_Render = Callable[[Template, Lookup], str]

_DEFAULT_HEADERS = {
    "accept": ("Accept", "*/*"),
    # An artifact comes back as the bytes that were stored, so nothing may be compressed on the way.
    "accept-encoding": ("Accept-Encoding", "identity"),
    "user-agent": ("User-Agent", "webhook-storage"),
}
_OCTETS = "application/octet-stream"


def templates(request: Request) -> list[tuple[str, Template]]:
    """Return the templates of a request that have placeholders, with the argument they are in."""
    found: list[tuple[str, Template]] = []
    for name, value in zip(_TEMPLATED, _templated(request), strict=True):
        if value:
            _collect(name, value, found)
    return found


_TEMPLATED = (
    "url", "params", "headers", "cookies", "json", "data", "auth", "multipart", "proxies", "cert",
    "verify",
)  # fmt: skip
_templated = attrgetter(*_TEMPLATED)


def _collect(name: str, node: Any, found: list[tuple[str, Template]]) -> None:
    """Find the templates in a nested value; keys and bytes are none."""
    if isinstance(node, str):
        if "$" in node and (template := parse(node)).sources:
            found.append((name, template))
    elif isinstance(node, (dict, Mapping)):  # a dict is told at once, a mapping slowly
        for child in node.values():
            _collect(name, child, found)
    elif isinstance(node, (list, tuple)):
        for child in node:
            _collect(name, child, found)


def render(request: Request, lookup: Lookup) -> WireRequest:
    """Return the request with all values in their places.

    Args:
        request: The templates.
        lookup: The value of each placeholder, already known to be there.

    Raises:
        UnsafeValueError: When a value cannot go where its placeholder stands.
        TemplateError: When a placeholder stands where none may stand.
    """
    body, content_type = _body(request, lookup)
    return WireRequest(
        method=request.method,
        url=_url(request, lookup),
        headers=_headers(request, lookup, body, content_type),
        body=body,
        timeout=request.timeout,
        verify=_path(request.verify, lookup) if isinstance(request.verify, str) else request.verify,
        cert=_cert(request.cert, lookup),
        proxies=_proxies(request, lookup),
    )


def _url(request: Request, lookup: Lookup) -> str:
    url = place.url(parse(request.url), lookup)
    query = _encode(request.params, place.query_value, lookup)
    if not query:
        return url
    joint = "?" if "?" not in url else "" if url.endswith(("?", "&")) else "&"
    return f"{url}{joint}{query}"


def _headers(
    request: Request, lookup: Lookup, body: Body | None, content_type: str | None
) -> list[tuple[str, str]]:
    """Return the request's headers, then those that it does not set itself."""
    headers = [
        (name, _header(value, lookup))
        for name, value in request.headers.items()
        # The length is known here, and a value of None switches a header off.
        if value is not None and name.lower() != "content-length"
    ]
    given = {name.lower() for name, _ in headers}
    if "transfer-encoding" in given:
        message = "the length of a body is announced, so it has no Transfer-Encoding"
        raise ConfigurationError(message, path="headers", hint="leave that header out")
    if request.auth is not None and not isinstance(request.auth, Auth):
        if "authorization" in given:
            message = "auth and an Authorization header contradict each other"
            raise ConfigurationError(message, path="auth", hint="keep one of the two")
        headers.append(("Authorization", _basic(request.auth, lookup)))
    if request.cookies:
        pairs = (
            f"{name}={place.cookie(parse(text), lookup)}" for name, text in request.cookies.items()
        )
        headers.append(("Cookie", "; ".join(pairs)))
    if content_type is not None and ("content-type" not in given or request.multipart):
        headers = [pair for pair in headers if pair[0].lower() != "content-type"]
        headers.append(("Content-Type", content_type))
    if body is not None:
        headers.append(("Content-Length", str(body.size)))
    elif request.method in {"POST", "PUT", "PATCH"}:
        headers.append(("Content-Length", "0"))
    headers += [pair for name, pair in _DEFAULT_HEADERS.items() if name not in given]
    return headers


def _header(value: Any, lookup: Lookup) -> str:
    """Return a header's text; a mapping or a list becomes JSON in ASCII."""
    if isinstance(value, str):
        return place.header(parse(value), lookup)
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(_document(value, lookup))
    return str(value)


def _basic(auth: Sequence[str], lookup: Lookup) -> str:
    """Return the credentials of RFC 7617, in UTF-8."""
    user, password = place.user(parse(auth[0]), lookup), place.password(parse(auth[1]), lookup)
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _body(request: Request, lookup: Lookup) -> tuple[Body | None, str | None]:
    """Return what is sent, and its content type where the request does not say it."""
    if request.multipart:
        return _multipart(request, lookup)
    if request.body is not None:
        return request.body, _OCTETS
    if request.json is not None:
        text = json.dumps(_document(request.json, lookup), separators=(",", ":"))
        return BytesBody(text.encode()), "application/json"
    if isinstance(request.data, str):
        return BytesBody(place.text_body(parse(request.data), lookup).encode()), None
    if request.data is not None:
        form = _encode(request.data, place.form_value, lookup)
        return BytesBody(form.encode()), "application/x-www-form-urlencoded"
    return None, None


def _multipart(request: Request, lookup: Lookup) -> tuple[Body, str]:
    """Return a form with the fields of `data` first and the artifact as a file last (RFC 7578)."""
    boundary = secrets.token_hex(16)
    field, filename = request.multipart or ("", "")
    parts: list[Body] = []
    for name, value in form_fields(request.data, lookup):
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n'
        parts.append(BytesBody(f"{head}{value}\r\n".encode()))
    shown = place.form_value(parse(filename), lookup)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(field)}"; '
        f'filename="{_quoted(shown)}"\r\nContent-Type: {_OCTETS}\r\n\r\n'
    )
    parts.append(BytesBody(head.encode()))
    if request.body is not None:
        parts.append(request.body)
    parts.append(BytesBody(f"\r\n--{boundary}--\r\n".encode()))
    return JoinedBody(parts), f"multipart/form-data; boundary={boundary}"


def form_fields(data: Any, lookup: Lookup) -> Iterator[tuple[str, str]]:
    """Yield the fields that accompany a file."""
    for name, value in _pairs(data):
        yield name, place.form_value(parse(value), lookup) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """Return a name for a quoted string, encoded as browsers do (HTML, multipart/form-data)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _document(node: Any, lookup: Lookup) -> Any:
    """Return the JSON document with its texts filled."""
    if isinstance(node, str):
        return place.json_value(parse(node), lookup)
    if isinstance(node, Mapping):
        return {key: _document(child, lookup) for key, child in node.items()}
    if isinstance(node, (list, tuple)):
        return [_document(child, lookup) for child in node]
    return node


def _encode(pairs: Any, render_value: _Render, lookup: Lookup) -> str:
    """Return a query or a form."""
    if isinstance(pairs, str):
        return place.text_body(parse(pairs), lookup)
    filled = [
        (name, render_value(parse(value), lookup) if isinstance(value, str) else value)
        for name, value in _pairs(pairs)
    ]
    return urlencode(filled)


def _pairs(source: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values; a list as value repeats the name, None leaves it out."""
    if source is None:
        return
    pairs = source.items() if isinstance(source, Mapping) else source
    if isinstance(pairs, str) or not all(map(_is_pair, pairs)):
        message = "fields are a mapping, or a list of pairs of name and value"
        raise ConfigurationError(message, path="data or params")
    for name, value in pairs:
        for single in value if isinstance(value, (list, tuple)) else [value]:
            if single is not None:
                yield name, single


def _is_pair(thing: object) -> bool:
    return isinstance(thing, (list, tuple)) and len(thing) == 2  # noqa: PLR2004 - that is a pair


def _path(text: str, lookup: Lookup) -> str:
    return place.pem_file(parse(text), lookup)


def _cert(cert: str | Sequence[str] | None, lookup: Lookup) -> str | tuple[str, str] | None:
    if cert is None or isinstance(cert, str):
        return cert and _path(cert, lookup)
    return _path(cert[0], lookup), _path(cert[1], lookup)


def _proxies(request: Request, lookup: Lookup) -> dict[str, str] | None:
    if request.proxies is None:
        return None
    return {scheme: _proxy(parse(url), lookup) for scheme, url in request.proxies.items()}


def _proxy(template: Template, lookup: Lookup) -> str:
    """Return a proxy's URL; a value that is only a part of it is encoded and leads nowhere else."""
    if len(template.parts) == 1:
        return place.plain(template, lookup)
    return template.fill(lookup, lambda _, value: quote(value, safe=""))
