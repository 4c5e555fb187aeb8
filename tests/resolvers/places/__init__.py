"""Where the resolvers' secrets live in the tests: one module a store, each starts its place.

Every function yields the case that the suite of resolvers needs. The resolvers' own tests, the leak
matrix and the documents share them.
"""

from __future__ import annotations

import os
import pkgutil
import socket
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

Environment: TypeAlias = pytest.MonkeyPatch
"""Sets environment variables, and puts them back."""


PLACES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
"""The modules here; the function in each has the module's name."""

NOWHERE = "http://127.0.0.1:1"
"""Where nobody listens."""


@contextmanager
def silent_origin() -> Iterator[str]:
    """Yield where somebody listens and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def without_proxies(environment: Environment, *prefixes: str) -> None:
    """Forget the proxies of whoever runs the tests, and all variables with one of the prefixes."""
    for name in list(os.environ):
        if name.startswith(prefixes) or name.lower().endswith("_proxy"):
            environment.delenv(name)
