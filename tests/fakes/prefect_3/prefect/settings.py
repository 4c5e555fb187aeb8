"""Settings as in ``prefect.settings``: from a context, the environment, the active profile.

Where Prefect validates and converts, this one knows texts, numbers and the defaults only.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True)
class Setting:
    """One setting, by the name of its environment variable."""

    name: str
    default: Any = field(default=None, compare=False)

    def value(self) -> Any:
        """Return it as it is here and now."""
        changed = _changed.get() or {}
        if self in changed:
            return changed[self]
        return os.environ.get(self.name, _active().get(self, self.default))


@dataclass(frozen=True)
class Profile:
    """Settings under a name."""

    name: str
    settings: Mapping[Setting, Any]


_changed: ContextVar[Mapping[Setting, Any] | None] = ContextVar("changed", default=None)

PREFECT_API_URL = Setting("PREFECT_API_URL")
PREFECT_API_KEY = Setting("PREFECT_API_KEY")
PREFECT_API_AUTH_STRING = Setting("PREFECT_API_AUTH_STRING")
PREFECT_API_TLS_INSECURE_SKIP_VERIFY = Setting("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "false")
PREFECT_CLIENT_MAX_RETRIES = Setting("PREFECT_CLIENT_MAX_RETRIES", 5)
PREFECT_CLIENT_CUSTOM_HEADERS = Setting("PREFECT_CLIENT_CUSTOM_HEADERS", {})
PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = Setting("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "true")


def load_profiles() -> dict[str, Profile]:
    """Read all profiles from the file at ``PREFECT_PROFILES_PATH``."""
    return {
        name: Profile(name, {Setting(key): value for key, value in settings.items()})
        for name, settings in _file().get("profiles", {}).items()
    }


@contextlib.contextmanager
def temporary_settings(updates: Mapping[Setting, Any]) -> Iterator[None]:
    """Change settings for this context."""
    token = _changed.set({**(_changed.get() or {}), **updates})
    try:
        yield
    finally:
        _changed.reset(token)


def _active() -> Mapping[Setting, Any]:
    profiles = load_profiles()
    active = _file().get("active")
    return profiles[active].settings if active in profiles else {}


def _file() -> dict[str, Any]:
    path = os.environ.get("PREFECT_PROFILES_PATH")
    return tomllib.loads(Path(path).read_text()) if path else {}
