"""Where the resolvers' secrets live in the tests: one module a store, each starts its place.

Every function yields the case that the suite of resolvers needs. The resolvers' own tests, the leak
matrix and the documents share them.
"""

from __future__ import annotations

import os
import pkgutil
from typing import TypeAlias

import pytest

Environment: TypeAlias = pytest.MonkeyPatch
"""Sets environment variables, and puts them back."""


PLACES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
"""The modules here; the function in each has the module's name."""


def without_proxies(environment: Environment, *prefixes: str) -> None:
    """Forget the proxies of whoever runs the tests, and all variables with one of the prefixes."""
    for name in list(os.environ):
        if name.startswith(prefixes) or name.lower().endswith("_proxy"):
            environment.delenv(name)
