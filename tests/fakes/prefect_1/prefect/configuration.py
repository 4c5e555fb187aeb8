"""As ``prefect.configuration``: what environment variables say becomes Python objects."""

from __future__ import annotations

import os
from ast import literal_eval
from types import SimpleNamespace
from typing import Any

_PREFIX = "PREFECT__CONTEXT__SECRETS__"


class Box(dict[str, Any]):
    """What Prefect makes of a dictionary, a type of its own."""


def string_to_type(text: str) -> Any:
    """Return what Prefect takes a text for."""
    if text.upper() in {"TRUE", "FALSE"}:
        return text.upper() == "TRUE"
    try:
        return literal_eval(text)
    except Exception:  # noqa: BLE001 - as Prefect does it
        return text


def _secrets() -> dict[str, Any]:
    found = {
        name.removeprefix(_PREFIX): string_to_type(text)
        for name, text in os.environ.items()
        if name.startswith(_PREFIX)
    }
    return {name: Box(value) if isinstance(value, dict) else value for name, value in found.items()}


config = SimpleNamespace(
    backend=os.environ.get("PREFECT__BACKEND", "cloud"),
    cloud=SimpleNamespace(
        use_local_secrets=string_to_type(
            os.environ.get("PREFECT__CLOUD__USE_LOCAL_SECRETS", "true")
        )
    ),
    context={"secrets": _secrets()},
)
