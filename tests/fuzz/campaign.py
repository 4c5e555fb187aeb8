"""One target fed by atheris in a process of its own, since libFuzzer never returns.

``python -m tests.fuzz.campaign NAME OPTION...``, where the options are those of libFuzzer.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

atheris: Any = importlib.import_module("atheris")
"""It has no types, and is not where types are checked."""

INSTRUMENTED = [
    "webhook_storage",
    "webhook_storage_presets",
    "webhook_storage_resolvers",
    "email._parseaddr",
    "json",
    "tomllib",
    "urllib.parse",
]
"""Of these modules coverage is taken; it guides the fuzzer to inputs that lead further."""

MEASURED_EACH = 64
"""Of so many inputs the memory of one is measured, which makes it three times slower."""

_LONG = 2048
"""From so many bytes on the memory of each is."""


def main() -> None:
    """Fuzz until the time is over or something is found."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz import targets  # noqa: PLC0415 - instrumented

        targets.load(name)
    count = 0

    def feed(data: bytes) -> None:
        nonlocal count
        count += 1
        targets.run(name, data, measured=len(data) > _LONG or not count % MEASURED_EACH)

    atheris.enabled_hooks.add("str")  # not "RegEx", which fails where a compiled one is given
    atheris.Setup(sys.argv, feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
