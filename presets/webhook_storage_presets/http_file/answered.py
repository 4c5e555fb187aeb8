"""Servers that choose the place themselves and answer with its URL, as transfer.sh does.

Rule: what a server answers, or a receipt says, leads to the own origin, or without a credential to
a host that was named; nowhere else.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from webhook_storage.errors import (
    ConfigurationError,
    RedirectRefusedError,
    UnexpectedAnswerError,
)
from webhook_storage.origin import host, origin, target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook_storage.contracts import Exchange, Facts
    from webhook_storage.receipt import Receipt

URL = {"url": r"regex:\A\s*(https?://[!-~]+)\s*\Z"}
"""Where in the answer the URL to fetch from is: it is all of it."""

DELETE_URL = {"delete_url": "header:X-Url-Delete"}
"""Where the URL to delete at is. Whoever knows it can do so."""

_HOW = {
    "url": "fetch it by the receipt of its store, or remember() that",
    "delete_url": "say keep_delete_url=True before it is stored, and delete it by its receipt",
}


class Place(NamedTuple):
    """Where a request goes that the server, or a receipt, told.

    Attributes:
        url: Template of the URL.
        facts: What placeholders with a dot stand for.
        bare: Whether nobody's name may go there.
    """

    url: str
    facts: Facts
    bare: bool


def place_of(own: str, facts: Facts, name: str, hosts: Sequence[str]) -> Place:
    """Return where the URL in a receipt leads.

    On the own origin only what follows it is taken from there.

    Args:
        own: Template of where it was stored, its host written out.
        facts: Those of the artifact.
        name: Name of the URL in the receipt.
        hosts: Patterns of other hosts from which to fetch.

    Raises:
        ConfigurationError: When there is none.
        RedirectRefusedError: See `is_elsewhere`.
    """
    url = facts.get(f"receipt.{name}")
    if url is None:
        message = f"the server chose the place, and there is no receipt that tells it: {name}"
        raise ConfigurationError(message, hint=_HOW[name])
    if is_elsewhere(own, url, hosts):
        return Place(f"${{receipt.{name}}}", facts, bare=True)
    start = f"{origin(own).scheme}://{host(own)}"
    place = {"receipt.place": target(url).removeprefix("/")}
    return Place(f"{start}/${{receipt.place|raw}}", {**facts, **place}, bare=False)


ANYWHERE = Place("${receipt.url}", {}, bare=True)
"""Wherever the receipt says, without a credential."""


def is_elsewhere(own: str, url: str, hosts: Sequence[str]) -> bool:
    """Tell whether a URL leads to another origin, which must learn no credential.

    Args:
        own: Where it was stored.
        url: What the server answered, or the receipt says.
        hosts: Patterns of other hosts from which to fetch.

    Raises:
        RedirectRefusedError: When it leads to a host that nobody named, or out of TLS.
    """
    here, there = origin(own), origin(url)
    if here == there and there.host:
        return False
    if here.scheme == "https" and there.scheme != "https":
        message = "the URL that the server gave leads from https to an unprotected connection"
        hint = "let the proxy before it send X-Forwarded-Proto, so that it knows its own address"
        raise RedirectRefusedError(message, hint=hint)
    if there.host and any(fnmatchcase(there.host, pattern) for pattern in hosts):
        return True
    message = "the URL that the server gave leads to another host"
    hint = "name that host in redirect_hosts, if the service keeps its files there"
    raise RedirectRefusedError(message, hint=hint)


def advised(exchange: Exchange[Receipt]) -> Exchange[Receipt]:
    """Say what it means when the answer has no URL in it."""
    try:
        return (yield from exchange)
    except UnexpectedAnswerError as error:
        error.hint = (
            "it may be stored; does this server answer with a URL and nothing else, and with "
            "X-Url-Delete where keep_delete_url wants it?"
        )
        raise
