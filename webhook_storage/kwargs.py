"""The kwargs of `requests.request` as a definition has them: checked, and read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from webhook_storage import place
from webhook_storage.auth import find
from webhook_storage.auth.fixed import twice
from webhook_storage.contracts import DEFAULT_TIMEOUT, Auth, Request
from webhook_storage.errors import ConfigurationError, LiteralSecretWarning, TemplateError
from webhook_storage.registry import did_you_mean
from webhook_storage.template import parse

_KWARGS = (
    "url", "params", "headers", "cookies", "json", "data", "files", "auth", "timeout", "verify",
    "cert", "proxies", "allow_redirects",
)  # fmt: skip
"""Keyword arguments of `requests.request` that mean the same here."""

_CREDENTIALS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "x-auth-token", "cookie"}
)
_DEEPEST = 100
"""Levels of mappings and lists in one another."""

_LONGEST_TIMEOUT = 1_000_000
"""Seconds; clients hand more on to systems that cannot count so far."""

_BARE_NAME = re.compile(r"(?<!\$)\$([A-Z_][A-Z0-9_]{2,})")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def check_kwargs(kwargs: Mapping[str, Any], path: str, more: tuple[str, ...] = ()) -> None:
    """Check the kwargs of one request.

    Raises:
        ConfigurationError: When one is unknown or of another type, or a template is malformed.
    """
    known = (*_KWARGS, *more)
    for name in kwargs:
        if name not in known:
            message = f"unknown argument {name!r}.{did_you_mean(name, known)}"
            hint = f"known are {', '.join(known)}"
            raise ConfigurationError(message, path=f"{path}.{name}", hint=hint)
    if not isinstance(kwargs.get("url"), str):
        message = "a request needs a 'url'"
        raise ConfigurationError(message, path=f"{path}.url")
    for name, value in kwargs.items():
        check = _SHAPES.get(name)
        if check is not None and value is not None and not check[0](value):
            message = f"{name!r} is {check[1]}"
            raise ConfigurationError(message, path=f"{path}.{name}")
    for name, value in kwargs.items():
        _check_templates(value, f"{path}.{name}")
    _check_auth(kwargs)
    _check_url(kwargs["url"], f"{path}.url")
    _lint(kwargs, path)


def _check_auth(kwargs: Mapping[str, Any]) -> None:
    """Refuse an unknown kind, and one beside which something else says who sends it.

    Raises:
        ConfigurationError: When it is so.
    """
    headers, found = kwargs.get("headers") or {}, auth(kwargs.get("auth"))
    if not isinstance(found, Auth):
        taken = "" if found is None else "Authorization"
    else:
        params = kwargs.get("params")
        found.write(Request(method="GET", url="", headers=headers, params=params))
        taken = found.header_name()
    if taken and taken.lower() in {name.lower() for name in headers}:
        raise twice(taken)


def check_method(method: object, path: str) -> None:
    """Check the method of a request that is one mapping.

    Raises:
        ConfigurationError: When it is none.
    """
    if not (isinstance(method, str) and method.isascii() and method.isalpha() and method.isupper()):
        message = "the 'method' is an HTTP method in upper case, for example DELETE"
        raise ConfigurationError(message, path=path)


def plain_data(value: Any, path: str = "", depth: int = 0) -> Any:
    """Return the value as JSON would give it back.

    Raises:
        ValueError: When it holds more than plain data, or is nested deeper than anybody nests.
    """
    if depth > _DEEPEST:
        message = f"it is nested more than {_DEEPEST} deep"
        raise ValueError(message)
    if isinstance(value, Mapping):
        return {
            str(name): plain_data(child, f"{path}.{name}", depth + 1)
            for name, child in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain_data(child, path, depth + 1) for child in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    where = f"{path.removeprefix('.')} is a" if path else "this is a"
    message = f"{where} {type(value).__name__}; a definition holds plain data only"
    raise ValueError(message)


def facts_in(kwargs: Mapping[str, Any]) -> frozenset[str]:
    """Return the facts that the placeholders of a request name."""
    return frozenset(fact for text in _texts(kwargs) if "$" in text for fact in parse(text).facts())


def names_fact(kwargs: Mapping[str, Any], fact: str) -> bool:
    """Tell whether a placeholder names a fact; that of a key is nearly always in the URL."""
    return any(fact in parse(text).facts() for text in _texts(kwargs))


def timeout(value: Any) -> tuple[float, float]:
    """Return the seconds to connect and to wait, of one number, of two, or of nothing."""
    if value is None:
        return DEFAULT_TIMEOUT
    if isinstance(value, list):
        return float(value[0]), float(value[1])
    return float(value), float(value)


def auth(value: Any) -> Sequence[str] | Auth | None:
    """Return user and password, or what a mapping with a type describes."""
    return find(value) if isinstance(value, dict) else value


def cert(value: Any) -> str | tuple[str, str] | None:
    """Return the path or the PEM text of a certificate, or of certificate and key."""
    return (value[0], value[1]) if isinstance(value, list) else value


def _check_templates(value: Any, path: str) -> None:
    if isinstance(value, Mapping):
        for name, child in value.items():
            _check_templates(child, f"{path}.{name}")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _check_templates(child, f"{path}[{index}]")
    elif isinstance(value, str):
        try:
            parse(value)
        except TemplateError as error:
            error.path = path
            raise


def _check_url(url: str, path: str) -> None:
    try:
        place.check_url(parse(url))
    except TemplateError as error:
        error.path = path
        raise


def _lint(kwargs: Mapping[str, Any], path: str) -> None:
    """Warn of what is probably a secret, or was probably meant as a placeholder."""
    for name, value in (kwargs.get("headers") or {}).items():
        if name.lower() in _CREDENTIALS and isinstance(value, str) and parse(value).is_literal:
            message = (
                f"{path}.headers[{name!r}] seems to hold a secret itself; write ${{NAME}} instead, "
                "so that it is neither stored nor shown"
            )
            warnings.warn(message, LiteralSecretWarning, stacklevel=5)
    if any(_PRIVATE_KEY.search(text) for text in _texts(kwargs.get("cert"))):
        message = (
            f"{path}.cert holds a private key itself; write ${{NAME}} instead, so that it is "
            "neither stored nor shown"
        )
        warnings.warn(message, LiteralSecretWarning, stacklevel=5)
    if any(_BARE_NAME.search(text) for value in kwargs.values() for text in _texts(value)):
        message = f"{path} has a $NAME without braces, which is plain text here; write ${{NAME}}"
        warnings.warn(message, LiteralSecretWarning, stacklevel=5)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in plain data, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, Mapping)):
        for child in value.values():
            yield from _texts(child)
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from _texts(child)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and [type(text) for text in value] == [str, str]


def _is_timeouts(value: Any) -> bool:
    return isinstance(value, list) and [_is_number(number) for number in value] == [True, True]


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and (0 < value <= _LONGEST_TIMEOUT)
    )


_SHAPES: dict[str, tuple[Any, str]] = {
    "params": (lambda value: isinstance(value, (dict, list, str)), "a mapping or a list of pairs"),
    "headers": (lambda value: isinstance(value, dict), "a mapping of names to texts"),
    "cookies": (_is_texts, "a mapping of names to texts"),
    "data": (lambda value: isinstance(value, (dict, list, str)), "a text or a mapping"),
    "files": (
        lambda value: _is_texts(value) and len(value) == 1,
        "one form field with the file name of the artifact, for example {'file': '${flow.slug}'}",
    ),
    "auth": (
        lambda value: _is_pair(value) or isinstance(value, dict),
        'a list of user and password, ["me", "${PASSWORD}"], or a mapping with a type',
    ),
    "timeout": (
        lambda value: _is_number(value) or _is_timeouts(value),
        "a number of seconds up to a million, or a list of two: to connect, and to wait",
    ),
    "verify": (
        lambda value: isinstance(value, (bool, str)),
        "true, false, or the path or the PEM text of a CA",
    ),
    "cert": (
        lambda value: isinstance(value, str) or _is_pair(value),
        "a path or a PEM text, or a list of two: of the certificate, and of its key",
    ),
    "proxies": (_is_texts, "a mapping of URL schemes to proxies"),
    "allow_redirects": (lambda value: isinstance(value, bool), "true or false"),
}
"""What each kwarg must look like once tuples are lists, and how to say it."""
