"""The servers of the table that take an artifact in parts."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

from tests.faults.places import Place, filled, keys, on_blobs, on_swift
from tests.fleet.registry import digest_of
from tests.sending.parted import OciBlobs, SwiftSegments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fleet.registry import Registry
    from tests.fleet.swift import Swift
    from webhook_storage import Webhook

PART = 256 * 1024
ALL = PART * 5
HEADERS = 16_000
"""More bytes than the headers of all requests of a test."""


def unique(name: str) -> bytes:
    """Return bytes that nobody has stored yet."""
    return filled(f"{name} {next(keys)}", ALL)


class Parted(NamedTuple):
    """A place, how to make its storage at an origin, and what lists the parts there."""

    place: Place
    at: Callable[[str], Webhook]
    parts: Callable[[], object] = bool


def in_registry(registry: Registry) -> Parted:
    """Return blobs, which are stored in parts that follow one another."""
    secrets = {"REGISTRY_USER": registry.user, "REGISTRY_PASSWORD": registry.password}
    place = replace(
        on_blobs(registry),
        name="docker-registry",
        secrets=secrets,
        plant=lambda _, content: None,
        content=unique,
        key_of=digest_of,
        keyless=True,
    )
    return Parted(place, lambda origin: cast("Webhook", OciBlobs(origin=origin, part_size=PART)))


@contextlib.contextmanager
def in_swift(swift: Swift) -> Iterator[Parted]:
    """Offer objects, of which the parts have numbers."""
    with contextlib.ExitStack() as stack:
        account = stack.enter_context(on_swift(swift, "parts_segments"))
        objects = stack.enter_context(on_swift(swift, "parts"))
        place = replace(objects, content=unique, secrets={"SWIFT_TOKEN": account.secrets["TOKEN"]})
        path = urlsplit(objects.path).path.rpartition("/")[0]
        yield Parted(
            place,
            lambda origin: cast(
                "Webhook",
                SwiftSegments(origin=f"{origin}{path}", container="parts", part_size=PART, limit=1),
            ),
            lambda: account.look(""),
        )
