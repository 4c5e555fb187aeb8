"""The environment variables of the Vault command line, and their twins of OpenBao.

Facts: "Commands (CLI): environment variables" of the Vault documentation; ``ReadEnvironment`` of
OpenBao's ``api/client.go``. hvac itself reads part of them, and that when it is imported.
"""

from __future__ import annotations

import os
import re
from typing import Final

_TIMEOUT: Final = 60.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUE: Final = frozenset({"1", "t", "true"})


class SettingError(Exception):
    """A setting cannot be used; the text says which, in our own words."""


def variable(name: str) -> str | None:
    """Return what ``VAULT_`` and a name says, or ``BAO_`` and that name; None for nothing."""
    return os.environ.get(f"VAULT_{name}") or os.environ.get(f"BAO_{name}") or None


def is_set(name: str) -> bool:
    """Tell whether a variable says yes, in one of the ways in which the command line knows it."""
    return (variable(name) or "").lower() in _TRUE


def timeout() -> float:
    """Return ``VAULT_CLIENT_TIMEOUT``: seconds, or a duration such as ``1m30s``."""
    text = variable("CLIENT_TIMEOUT") or ""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|$)", text)
    return sum(float(number) * _UNITS[unit or "s"] for number, unit in parts) or _TIMEOUT
