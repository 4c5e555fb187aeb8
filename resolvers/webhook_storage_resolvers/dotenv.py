"""A ``.env`` file in the current directory.

Facts: the documentation of python-dotenv (``dotenv_values``, ``interpolate``, and "Disable
load_dotenv" for ``PYTHON_DOTENV_DISABLED``). Passwords hold dollars, so nothing is interpolated;
children of this process are not to have the secrets, so nothing is exported.
"""

from __future__ import annotations

import io
import logging
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from dotenv import dotenv_values

from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference

_MOST_BYTES = 1024 * 1024
_log = logging.getLogger(__name__)
_TRUE = frozenset({"1", "true", "t", "yes", "y"})


class _Content(NamedTuple):
    """What was read from the file when it had this identity."""

    identity: tuple[int, int, int]
    values: Mapping[str, SecretValue]


@dataclass(frozen=True, kw_only=True)
class DotenvResolver(Resolver):
    """Secrets in one ``.env`` file, which is read again when it changes.

    A missing file has no secrets. The file is not looked for in directories above.

    Args:
        path: The file; relative to the current directory at the time of asking.

    Example:
        >>> DotenvResolver()
        DotenvResolver(path='.env')
    """

    scheme: ClassVar[str] = "dotenv"
    local: ClassVar[bool] = True

    path: str | os.PathLike[str] = ".env"
    _content: _Content | None = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the values that were read behind."""
        return {**self.__dict__, "_content": None}

    def resolve(
        self,
        references: Sequence[Reference],
        deadline: Deadline,  # noqa: ARG002 - this takes no time
    ) -> Mapping[Reference, Outcome]:
        """Look each name up in the file as it is now."""
        values = self._values()
        return {reference: _look_up(reference, values) for reference in references}

    def close(self) -> None:
        """Forget what was read."""
        object.__setattr__(self, "_content", None)

    def _values(self) -> Mapping[str, SecretValue] | Outcome:
        """Return what stands in the file, or the outcome for everything asked of it."""
        if os.environ.get("PYTHON_DOTENV_DISABLED", "").casefold() in _TRUE:
            return NotFound("switched off by PYTHON_DOTENV_DISABLED")
        try:
            # A pipe would make everybody wait for its writer.
            descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
                return self._read(file)
        except FileNotFoundError:
            return NotFound("there is no such file")
        except PermissionError:
            return Forbidden("the file may not be read")
        except UnicodeDecodeError:
            return Invalid("the file is not UTF-8")
        except OSError as error:
            return Unavailable(f"the file cannot be read, {type(error).__name__}")

    def _read(self, file: io.BufferedReader) -> Mapping[str, SecretValue] | Outcome:
        """Return the values in an open file, those of the last time when it is unchanged."""
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            return Invalid("it is not a file of at most 1 MiB")
        identity = (status.st_ino, status.st_mtime_ns, status.st_size)
        content = self._content
        if content is None or content.identity != identity:
            if content is None:
                self._warn(status.st_mode)
            text = file.read(_MOST_BYTES).decode("utf-8-sig")
            content = _Content(identity, _parsed(text))
            object.__setattr__(self, "_content", content)
        return content.values

    def _warn(self, mode: int) -> None:
        """Say once that others can read the file."""
        if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
            _log.warning("%s can be read by other users; chmod 600 it", Path(self.path).name)


def _parsed(text: str) -> dict[str, SecretValue]:
    """Return the variables that have a value."""
    parsed = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: SecretValue(value) for name, value in parsed.items() if value is not None}


def _look_up(reference: Reference, values: Mapping[str, SecretValue] | Outcome) -> Outcome:
    """Return the value of one name."""
    if reference.options:
        return Invalid("takes no options")
    if not isinstance(values, dict):
        return values  # type: ignore[return-value]  # what is not a dictionary here is an outcome
    value = values.get(reference.name)
    return NotFound() if value is None else Found(value=value)
