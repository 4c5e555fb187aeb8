"""A ``.env`` file in the current directory.

Facts: the documentation of python-dotenv (``dotenv_values``, ``interpolate``, and "Disable
load_dotenv" for ``PYTHON_DOTENV_DISABLED``). Passwords hold dollars, so nothing is interpolated;
children of this process are not to have the secrets, so nothing is exported. "Local .env files" in
the documentation of 1Password, which mounts a pipe.
"""

from __future__ import annotations

import io
import logging
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dotenv import dotenv_values

from webhook_storage.contracts import Deadline, Found, Invalid, NotFound, Outcome, Resolver
from webhook_storage.lazy import PerProcess
from webhook_storage.secret import SecretValue
from webhook_storage_resolvers.naming import options_of
from webhook_storage_resolvers.secret_file import OpenFile, content_of, opened, trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook_storage.template import Reference

_DEFAULT = ".env"
_MOST_BYTES = 1024 * 1024
_log = logging.getLogger(__name__)
_TRUE = frozenset({"1", "true", "t", "yes", "y"})


class _Kept:
    """What this process read from the file when it had an identity, and whether it was warned."""

    __slots__ = ("identity", "values", "warned")

    def __init__(self) -> None:
        self.identity: tuple[int, ...] | None = None
        self.values: Mapping[str, SecretValue] = {}
        self.warned = False


@dataclass(frozen=True, kw_only=True)
class DotenvResolver(Resolver):
    """Secrets in one ``.env`` file, which is read again when it changes.

    A missing file has no secrets. The file is not looked for in directories above. It may be a
    pipe, as 1Password mounts one, and is then read each time.

    Args:
        path: The file; relative to the current directory at the time of asking.

    Example:
        >>> DotenvResolver()
        DotenvResolver(path='.env')
    """

    scheme: ClassVar[str] = "dotenv"
    local: ClassVar[bool] = True

    path: str | os.PathLike[str] = _DEFAULT
    _kept: PerProcess[_Kept] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Look each name up in the file as it is now."""
        values = self._values(deadline)
        return {reference: _look_up(reference, values) for reference in references}

    def close(self) -> None:
        """Forget what was read."""
        if (kept := self._kept.peek()) is not None:
            kept.identity, kept.values = None, {}

    def _values(self, deadline: Deadline) -> Mapping[str, SecretValue] | Outcome:
        """Return what stands in the file, or the outcome for everything asked of it."""
        if os.environ.get("PYTHON_DOTENV_DISABLED", "").casefold() in _TRUE:
            return NotFound("switched off by PYTHON_DOTENV_DISABLED")
        try:
            with opened(self.path) as file:
                return self._read(file, deadline)
        except FileNotFoundError:
            # Most do without this file; who names one wants to hear that it is not there.
            return NotFound("" if os.fspath(self.path) == _DEFAULT else "there is no such file")
        except OSError as error:
            return trouble(error)

    def _read(self, file: OpenFile, deadline: Deadline) -> Mapping[str, SecretValue] | Outcome:
        """Return the values in an open file, those of the last time when it is unchanged."""
        status, kept = file.status, self._kept.get(_Kept)
        place, times = (status.st_dev, status.st_ino), (status.st_mtime_ns, status.st_ctime_ns)
        identity = (*place, *times, status.st_size)
        if kept.identity == identity:
            return kept.values
        content = content_of(file, deadline, _MOST_BYTES)
        if not isinstance(content, bytes):
            return content
        try:
            values = _parsed(content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            return Invalid("the file is not UTF-8")
        if not kept.warned and _is_exposed(status):
            kept.warned = True
            _log.warning("%s can be read by other users; chmod 600 it", Path(self.path).name)
        if not file.is_pipe:
            kept.identity, kept.values = identity, values
        return values


def _is_exposed(status: os.stat_result) -> bool:
    """Tell whether others than its owner can read a file."""
    return os.name == "posix" and bool(status.st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _parsed(text: str) -> dict[str, SecretValue]:
    """Return the variables that have a value."""
    parsed = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: SecretValue(value) for name, value in parsed.items() if value is not None}


def _look_up(reference: Reference, values: Mapping[str, SecretValue] | Outcome) -> Outcome:
    """Return the value of one name."""
    options = options_of(reference)
    if isinstance(options, Invalid):
        return options
    if not isinstance(values, Mapping):
        return values
    value = values.get(reference.name)
    return NotFound() if value is None else Found(value=value)
