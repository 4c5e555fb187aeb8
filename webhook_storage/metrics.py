"""What a process can count about its secrets, without a name and without a value."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from webhook_storage.contracts import Forbidden, Found, Invalid, NotFound, Outcome, Unavailable

if TYPE_CHECKING:
    from webhook_storage.template import Reference

log = logging.getLogger("webhook_storage")

Origin: TypeAlias = Literal["asked", "cache", "stale"]

_WORDS: dict[type, str] = {
    Found: "found",
    NotFound: "not found",
    Forbidden: "forbidden",
    Unavailable: "unavailable",
    Invalid: "invalid",
}


class Measurement(NamedTuple):
    """One answer of one resolver.

    Attributes:
        resolver: Its scheme, or ``scheme://instance``.
        reference: 16 hex digits that are the same for the same secret in all processes. They hide
            the name from a reader of a chart, not from somebody who tries likely names.
        outcome: ``found``, ``not found``, ``forbidden``, ``unavailable`` or ``invalid``.
        seconds: How long that took; 0 when it was remembered.
        origin: ``asked`` of the resolver, from the ``cache``, or ``stale``: a value past its time,
            used because the resolver was unavailable.
    """

    resolver: str
    reference: str
    outcome: str
    seconds: float
    origin: Origin


Meter: TypeAlias = Callable[[Measurement], None]
"""Gets every measurement, in whichever thread it was taken. It should be quick."""


def word(outcome: Outcome) -> str:
    """Return what an outcome is called."""
    return _WORDS[type(outcome)]


def report(
    meter: Meter,
    resolver: str,
    reference: Reference,
    outcome: Outcome,
    seconds: float,
    origin: Origin,
) -> None:
    """Hand a measurement to the meter; a fault of the meter is no fault of the request."""
    digest = hashlib.sha256(str(reference.without_field()).encode("utf-8", "replace"))
    measurement = Measurement(resolver, digest.hexdigest()[:16], word(outcome), seconds, origin)
    try:
        meter(measurement)
    except Exception as error:  # noqa: BLE001 - somebody else's
        log.warning("the meter failed, %s", type(error).__name__)
