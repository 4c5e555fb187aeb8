"""The configuration of a process: which resolvers to ask, for what, and how long to try.

Rule: it names installed plug-ins and plain values, never code and never a secret; no file is read
that was not named.
"""

from __future__ import annotations

import inspect
import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from webhook_storage import registry
from webhook_storage.contracts import Resolver
from webhook_storage.errors import ConfigurationError, WebhookStorageError
from webhook_storage.network import Network
from webhook_storage.policy import Policy
from webhook_storage.resolution import Resolution
from webhook_storage.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VARIABLE = "WEBHOOK_STORAGE_CONFIG"
"""Environment variable that names the file when nothing else does."""

PREFIX = "WEBHOOK_STORAGE_"
"""Begins the environment variables that say what a file could say."""

DEFAULT_CHAIN = ("env", "dotenv", "directory")
"""Who is asked for a bare ``${NAME}``, in this order, unless the configuration says otherwise."""

_TABLES = ("network", "retry", "secrets")
_ONE_UNDERSCORE = re.compile(rf"{PREFIX}(SECRETS|RETRY|NETWORK)_(?!_)")
_SECONDS = ("deadline", "negative_ttl", "stale_if_error", "ttl")
_LISTS = ("allow", "chain", "plain_http")
_POLICIES = ("on_forbidden", "on_unavailable")
_RETRY = tuple(each.name for each in fields(RetryPolicy))
_NETWORK = tuple(each.name for each in fields(Network))
_PLACE = re.compile(r"\(at (line \d+, column \d+|end of document)\)")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a configuration file says.

    Attributes:
        chain: Who is asked for ``${NAME}``, in this order: schemes, or ``scheme://instance``.
        resolvers: Keyword arguments of each resolver that has any.
        settings: Further keyword arguments of `Resolution`.
        policy: What placeholders may name, and where each secret may go.
        retry: When to send again.
        network: Where requests may go.
    """

    chain: Sequence[str] = DEFAULT_CHAIN
    resolvers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    network: Network = field(default_factory=Network)

    def resolution(self) -> Resolution:
        """Return the resolvers, made as the configuration says.

        Raises:
            ConfigurationError: When one is not installed or refuses its arguments.
        """
        made = {
            name: _make(name, self.resolvers.get(name, {}))
            for name in dict.fromkeys((*self.chain, *self.resolvers))
        }
        # A resolver beside the chain answers to its scheme, as the first of its kind.
        instances = {
            _split(name): resolver
            for name, resolver in made.items()
            if "://" in name or name not in self.chain
        }
        chain = [made[name] for name in self.chain]
        return Resolution(chain, instances=instances, policy=self.policy, **self.settings)


def load(path: Path | None = None) -> Config:
    """Return what a configuration file and the environment say; of both the environment wins.

    Args:
        path: The file; None takes the one that ``WEBHOOK_STORAGE_CONFIG`` names, if any.

    Raises:
        ConfigurationError: When the file is not there, or something in it is unknown or wrong.

    Example:
        ``WEBHOOK_STORAGE_SECRETS__CHAIN=env,vault`` and, for the resolver ``vault://prod``,
        ``WEBHOOK_STORAGE_SECRETS__VAULT__PROD__ADDRESS=https://vault.example.com:8200``.
    """
    if path is None and (named := os.environ.get(VARIABLE)):
        path = Path(named)
    document = _read(path) if path is not None else {}
    _check_names(document, _TABLES, "")
    secrets = _table(document, "secrets", "secrets")
    retry = _table(document, "retry", "retry")
    network = _table(document, "network", "network")
    _overlay({"secrets": secrets, "retry": retry, "network": network}, os.environ)
    hosts = _table(secrets, "hosts", "secrets.hosts")
    tables = {
        name: value
        for name, value in secrets.items()
        if isinstance(value, dict) and name != "hosts"
    }
    known = ("chain", "allow", "hosts", *_SECONDS, *_POLICIES)
    _check_schemes(tables, known)
    plain = {name: value for name, value in secrets.items() if name not in (*tables, "hosts")}
    for name in registry.names(registry.RESOLVERS):
        _table(secrets, name, f"secrets.{name}")
    _check_names(plain, known, "secrets.")
    for name, arguments in tables.items():
        _check_names(arguments, _parameters(name), f"secrets.{name}.")
    return Config(
        chain=_chain(plain),
        resolvers=tables,
        settings=_settings(plain),
        policy=_policy(plain.get("allow"), hosts),
        retry=_retry(retry),
        network=_network(network),
    )


def _overlay(tables: Mapping[str, dict[str, Any]], environment: Mapping[str, str]) -> None:
    """Put what environment variables say over what the file says.

    Two underscores stand for the dots of a table's name: ``SECRETS__TTL`` is ``ttl`` in
    ``[secrets]``, ``SECRETS__VAULT__ADDRESS`` is ``address`` in ``[secrets.vault]``, and with one
    more word between them it is in ``[secrets."vault://word"]``.
    """
    for variable, text in environment.items():
        if _ONE_UNDERSCORE.match(variable):
            message = "between table and setting of this environment variable are two underscores"
            raise ConfigurationError(message, path=variable, hint=f"{PREFIX}SECRETS__TTL")
        table, *words = variable.removeprefix(PREFIX).lower().split("__")
        if not variable.startswith(PREFIX) or not words:
            continue
        match table, words:
            case (("retry" | "secrets" | "network"), [name]):
                tables[table][name] = _list(text) if name in _LISTS else _value(text)
            case "secrets", [scheme, name]:
                _set(tables[table], scheme, name, text)
            case "secrets", [scheme, instance, name]:
                _set(tables[table], f"{scheme}://{instance}", name, text)
            case _:
                message = "this environment variable leads to no setting"
                hint = f"it has the form {PREFIX}SECRETS__NAME, or that with RETRY or NETWORK"
                raise ConfigurationError(message, path=variable, hint=hint)


def _set(secrets: dict[str, Any], resolver: str, name: str, text: str) -> None:
    table = secrets.setdefault(resolver, {})
    if isinstance(table, dict):  # what is none is refused later
        value = _value(text)
        table[name] = text if not isinstance(value, str) and _takes_text(resolver, name) else value


def _takes_text(resolver: str, name: str) -> bool:
    """Tell whether a setting of a resolver is text, so that ``2024`` is one as well."""
    if _split(resolver)[0] not in registry.names(registry.RESOLVERS):
        return False
    parameter = inspect.signature(_class(resolver)).parameters.get(name)
    kinds = {kind.strip() for kind in str(parameter.annotation).split("|")} if parameter else set()
    return bool(kinds) and kinds <= {"str", "None", "os.PathLike[str]"}


def _value(text: str) -> Any:
    """Return a value as a TOML file spells it; text can do without its quotes."""
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return document["value"] if len(document) == 1 else text


def _list(text: str) -> Any:
    """Return a TOML list, or words between commas."""
    value = _value(text)
    if not isinstance(value, str):
        return value
    return [word for word in map(str.strip, text.split(",")) if word]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"there is no configuration file {str(path)!r}"
        hint = f"it is named by --config or {VARIABLE}"
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(str(error))
        message = f"{path.name} is no TOML ({place[1] if place else 'somewhere'})"
        hint = "texts stand in quotes, tables in brackets"
    except RecursionError:
        message = f"{path.name} is no TOML that can be read: it is nested too deep"
        hint = "tables and lists need few levels here"
    except (OSError, UnicodeDecodeError) as error:
        message = f"the configuration file {str(path)!r} cannot be read ({type(error).__name__})"
        hint = "it is a text file in UTF-8"
    except ValueError:  # Python reads no number of more than some thousand digits
        message, hint = f"{path.name} holds a number that is too long", "shorten it"
    raise ConfigurationError(message, hint=hint)


def _check_names(table: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
    """Refuse what is unknown, and name what was probably meant."""
    for name in table:
        if name not in known:
            message = f"this setting is unknown.{registry.did_you_mean(name, known)}"
            hint = f"known are {', '.join(sorted(known))}" if known else "it takes no settings"
            raise ConfigurationError(message, path=f"{prefix}{name}", hint=hint)


def _check_schemes(tables: Mapping[str, Any], settings: Sequence[str]) -> None:
    """Refuse tables of resolvers that are not installed."""
    installed = registry.names(registry.RESOLVERS)
    for name in tables:
        scheme, _ = _split(name)
        if scheme not in installed:
            meant = registry.did_you_mean(scheme, (*installed, *settings))
            message = f"there is no resolver of this name.{meant}"
            hint = f"installed are {', '.join(installed)}"
            raise ConfigurationError(message, path=f"secrets.{name}", hint=hint)


def _table(document: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ConfigurationError("this is a table", path=path, hint=f"write [{path}]")
    return table


def _chain(table: Mapping[str, Any]) -> Sequence[str]:
    if "chain" not in table:
        return DEFAULT_CHAIN  # whether they are installed matters to who asks them
    chain = table["chain"]
    if not isinstance(chain, list) or not all(isinstance(name, str) for name in chain):
        message = 'this is a list of names, for example ["env", "vault"]'
        raise ConfigurationError(message, path="secrets.chain")
    installed = registry.names(registry.RESOLVERS)
    for name in chain:
        scheme, _ = _split(name)
        if scheme not in installed:
            message = f'there is no resolver "{scheme}".{registry.did_you_mean(scheme, installed)}'
            hint = f"installed are {', '.join(installed)}"
            raise ConfigurationError(message, path="secrets.chain", hint=hint)
    return tuple(chain)


def _policy(allow: Any, hosts: Mapping[str, Any]) -> Policy:
    """Return what definitions may do."""
    try:
        return Policy(allow=allow, hosts=hosts)
    except ConfigurationError as error:
        path, message = f"secrets.{error.path}", str(error.args[0])
    raise ConfigurationError(message, path=path)


def _settings(table: Mapping[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in table.items() if name in (*_SECONDS, *_POLICIES)}
    for name, value in settings.items():
        if name in _SECONDS:
            _check_number(value, f"secrets.{name}")
        elif value not in {"stop", "next"}:
            raise ConfigurationError('this is "stop" or "next"', path=f"secrets.{name}")
    return settings


def _retry(table: Mapping[str, Any]) -> RetryPolicy:
    _check_names(table, _RETRY, "retry.")
    for name, value in table.items():
        _check_number(value, f"retry.{name}", whole=name == "attempts")
    return RetryPolicy(**table)


def _network(table: Mapping[str, Any]) -> Network:
    """Return where requests may go."""
    _check_names(table, _NETWORK, "network.")
    try:
        return Network(**table)
    except ConfigurationError as error:
        path, message = f"network.{error.path}", str(error.args[0])
    raise ConfigurationError(message, path=path)


def _check_number(value: object, path: str, *, whole: bool = False) -> None:
    """Refuse what is no number, and what is none that makes sense."""
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not number or not (1 if whole else 0) <= cast("float", value) < float("inf"):
        what = "a whole number from 1" if whole else "a number of seconds"
        raise ConfigurationError(f"this is {what}", path=path)


def _split(name: str) -> tuple[str, str | None]:
    """Return scheme and instance of ``scheme`` or ``scheme://instance``."""
    scheme, separator, instance = name.partition("://")
    return scheme, instance if separator else None


def _class(name: str) -> type[Resolver]:
    """Return the class behind a scheme."""
    scheme, _ = _split(name)
    found = registry.load(registry.RESOLVERS, scheme)
    if not (isinstance(found, type) and issubclass(found, Resolver)):
        message = f'what is installed as "{scheme}" is no resolver'
        raise ConfigurationError(message, path=f"secrets.{name}")
    return found


def _parameters(name: str) -> tuple[str, ...]:
    """Return the names of the arguments that a resolver takes."""
    kinds = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    parameters = inspect.signature(_class(name)).parameters.values()
    return tuple(each.name for each in parameters if each.kind in kinds)


def _make(name: str, arguments: Mapping[str, Any]) -> Resolver:
    """Return a resolver with its arguments.

    Raises:
        ConfigurationError: When it refuses them; told by type only, unless it is an error of ours.
    """
    failure: WebhookStorageError
    try:
        return _class(name)(**arguments)
    except ConfigurationError as error:
        path = ".".join(filter(None, ("secrets", name, error.path)))
        failure = ConfigurationError(str(error.args[0]), path=path, hint=error.hint)
    except WebhookStorageError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, its text may hold a value
        message = f"the resolver does not take these settings ({type(error).__name__})"
        failure = ConfigurationError(message, path=f"secrets.{name}")
    raise failure
