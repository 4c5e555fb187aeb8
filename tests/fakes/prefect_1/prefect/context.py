"""The context as in ``prefect.utilities.context``: one a thread, which starts as configured."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from .configuration import config

if TYPE_CHECKING:
    from collections.abc import Iterator


class Context(threading.local):
    """What a flow run and its tasks can look up."""

    def __init__(self) -> None:
        """Start with what is configured; this runs in each thread."""
        self._items: dict[str, Any] = dict(config.context)

    def get(self, name: str, default: Any = None) -> Any:
        """Return one item."""
        return self._items.get(name, default)

    @contextlib.contextmanager
    def __call__(self, **items: Any) -> Iterator[Context]:
        """Change items for a while."""
        before = self._items
        self._items = {**before, **items}
        try:
            yield self
        finally:
            self._items = before


context = Context()
