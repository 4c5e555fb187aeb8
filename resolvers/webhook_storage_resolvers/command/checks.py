"""What a configured command must say before it is ever run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webhook_storage.errors import ConfigurationError
from webhook_storage_resolvers.command.presets import PRESETS
from webhook_storage_resolvers.naming import NAME, check_names

if TYPE_CHECKING:
    from webhook_storage_resolvers.command import CommandResolver

_VARIABLE = re.compile(r"[A-Za-z_*][A-Za-z0-9_*]*")
_LAST_CODE = 255


def check(resolver: CommandResolver) -> None:
    """Refuse a command that is none, or that leaves no place for the name.

    Raises:
        ConfigurationError: With the field in question as its path.
    """
    if (resolver.preset is None) == (resolver.argv is None):
        message = "a command is either a preset or an argv of its own"
        raise ConfigurationError(message, hint='preset="pass", or argv=["age", ..., "{name}"]')
    _check_texts(resolver.arguments, "arguments")
    if resolver.preset is not None:
        _check_preset(resolver)
    else:
        _check_argv(resolver)
    _check_texts(resolver.environment, "environment")
    for name in resolver.environment:
        if not _VARIABLE.fullmatch(name):
            message = "these are names of environment variables, or patterns such as SAFE_*"
            raise ConfigurationError(message, path="environment")
    _check_numbers(resolver)
    check_names(resolver.names)


def _check_preset(resolver: CommandResolver) -> None:
    preset = PRESETS.get(str(resolver.preset))
    if preset is None:
        message = f"there is no such preset, there are {', '.join(PRESETS)}"
        raise ConfigurationError(message, path="preset", hint="write the command line as argv")
    if resolver.stdin:
        message = "a preset passes the name as an argument"
        raise ConfigurationError(message, path="stdin", hint="write the command line as argv")
    if preset.needs and not resolver.arguments:
        message = f'{resolver.preset} needs an argument, for example ["{preset.needs}"]'
        raise ConfigurationError(message, path="arguments")


def _check_argv(resolver: CommandResolver) -> None:
    argv = resolver.argv or ()
    _check_texts(argv, "argv")
    if not argv:
        raise ConfigurationError("it names no program", path="argv")
    if resolver.arguments:
        message = "these are for a preset; what belongs to an argv stands in it"
        raise ConfigurationError(message, path="arguments")
    program, *arguments = argv
    if NAME in program or ("/" in program and not Path(program).is_absolute()):
        message = "a program is a name without slashes, or an absolute path"
        raise ConfigurationError(message, path="argv")
    if not resolver.stdin and not any(NAME in argument for argument in arguments):
        message = f"no argument holds {NAME}, and stdin is not set"
        raise ConfigurationError(message, path="argv")


def _check_texts(texts: Any, path: str) -> None:
    """Refuse a command line as one text, which only a shell could take apart."""
    if isinstance(texts, (str, bytes)) or not all(isinstance(text, str) for text in texts):
        message = 'this is a list of texts, for example ["show", "-o"], since there is no shell'
        raise ConfigurationError(message, path=path)
    if any("\0" in text for text in texts):
        raise ConfigurationError("an argument cannot hold a NUL character", path=path)


def _check_numbers(resolver: CommandResolver) -> None:
    if not _is_number(resolver.timeout) or resolver.timeout <= 0:
        raise ConfigurationError("this is a number of seconds above 0", path="timeout")
    if resolver.lifetime is not None and not _is_number(resolver.lifetime):
        raise ConfigurationError("this is a number of seconds", path="lifetime")
    codes = resolver.not_found
    if isinstance(codes, (str, bytes)) or not all(map(_is_code, codes or ())):
        message = f"these are exit codes from 1 to {_LAST_CODE}, for example [1]"
        raise ConfigurationError(message, path="not_found")


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value < float("inf")


def _is_code(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LAST_CODE
