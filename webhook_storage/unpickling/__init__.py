"""Results from pickles of which nobody knows who made them.

Rule: a pickle is a program. Here it runs on a machine that has no instruction but those that data
needs, and that calls nothing which is not on a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from webhook_storage.errors import IntegrityError, TooLargeError, WebhookStorageError
from webhook_storage.unpickling.allowed import Allowed
from webhook_storage.unpickling.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BYTES_LIMIT", "STEPS_LIMIT", "restricted_loads"]

BYTES_LIMIT = 64 * 1024 * 1024
"""Most bytes of a pickle, unless told otherwise."""

STEPS_LIMIT = 1_000_000
"""Most instructions of a pickle, unless told otherwise."""


def restricted_loads(
    data: bytes,
    *,
    allow: Iterable[str] = (),
    max_bytes: int = BYTES_LIMIT,
    max_steps: int = STEPS_LIMIT,
) -> Any:
    r"""Return the object in a pickle that may come from anybody.

    Numbers, texts, bytes, containers, those of `collections`, the dates of `datetime`, `Decimal`,
    `UUID` and pure paths need no leave. All else must be in `allow`. What runs code or reaches
    files, with the whole of its module, nothing can allow: `builtins.eval`, `os.system`,
    `functools.partial`, and more in `allowed.NEVER`.

    To allow a class is to trust it: its ``__new__``, ``__init__``, ``__setstate__``,
    ``__setattr__`` and ``__hash__`` run with arguments that the pickle chose. To allow a function
    is to have it called with any. To allow ``module.*`` is to do the former with each class that
    the module defines, now and in its later versions.

    Memory is bounded for what needs no leave: by about 8 times `max_bytes` and 300 bytes for each
    of `max_steps`. What an allowed class takes is not, nor the time for dicts whose keys were
    chosen to collide.

    Args:
        data: A pickle of any protocol.
        allow: ``module.name`` for a class or function, ``module.*`` for the classes of a module.
        max_bytes: Most bytes of the pickle.
        max_steps: Most instructions of it; an object takes one to three.

    Raises:
        TrustError: When it asks for what is not allowed. That was not called and not imported.
        IntegrityError: When it is no pickle, or a broken one.
        TooLargeError: When it is over a limit.
        FlowLoadError: When an allowed class cannot be imported, or raises; the cause is kept.
        ConfigurationError: When an entry of `allow` is none, or can never be.

    Example:
        >>> import pickle
        >>> restricted_loads(pickle.dumps({"rows": 31}))
        {'rows': 31}
        >>> restricted_loads(b"cos\nsystem\n(Vecho gotcha\ntR.")
        Traceback (most recent call last):
            ...
        webhook_storage.errors.TrustError: the pickle asks for 'os.system', which is not allowed
    """
    allowed = Allowed(allow)
    if len(data) > max_bytes:
        message = f"the pickle has {len(data)} bytes, and {max_bytes} are the most"
        raise TooLargeError(message, hint="raise max_bytes when you expect so much")
    try:
        return Machine(allowed, max_bytes, max_steps).run(data)
    except WebhookStorageError:
        raise
    except Exception as error:  # noqa: BLE001 - a broken pickle breaks in any way
        kind = type(error).__name__
    raise IntegrityError(f"the pickle is broken ({kind})", hint="store the result again")
