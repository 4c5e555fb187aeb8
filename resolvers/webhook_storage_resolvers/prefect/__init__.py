"""Prefect: Secret blocks of Prefect 2 and 3, secrets of the context of Prefect 1.

Prefect is used where it is installed and is never a dependency. Nothing of it is imported before a
secret is asked for.

Facts: "Secrets" and "Settings and profiles" of the Prefect 3 documentation; for Prefect 1 the
source of 1.4.1, see `context`.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import Deadline, Invalid, NotFound, Outcome, Resolver, Unavailable
from webhook_storage_resolvers.naming import (
    Place,
    answers,
    check_names,
    options_of,
    place_of,
)
from webhook_storage_resolvers.prefect.blocks import Server
from webhook_storage_resolvers.prefect.context import context_secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from webhook_storage.template import Reference

_FIRST = ("0.", "1.")
_BLOCK_NAME = re.compile(r"[a-z0-9-]+")
_NO_PROFILES = "Prefect 1 has no profiles, leave `profile` out"


@dataclass(frozen=True, kw_only=True)
class PrefectResolver(Resolver):
    """Secrets that Prefect keeps, as they were saved: no JSON in them is parsed.

    With Prefect 2 and 3, ``${prefect:api-token}`` reads the Secret block ``api-token``;
    ``secret/api-token``, as Prefect itself spells it, is the same. A Secret block that holds a JSON
    object has fields, ``${prefect:database#password}``. Block names have lower-case letters, digits
    and hyphens, so a bare ``${API_TOKEN}`` stands for the block ``api-token``.

    With Prefect 1, ``${prefect:API_TOKEN}`` and ``${API_TOKEN}`` read that name from
    ``prefect.context.secrets``, where the configuration, ``PREFECT__CONTEXT__SECRETS__API_TOKEN``
    and the flow's own storage put it.

    Address and credential are those of Prefect: ``PREFECT_API_URL`` and ``PREFECT_API_KEY`` or
    ``PREFECT_API_AUTH_STRING``, from the environment or the active profile. When there is no
    address Prefect would start a server of its own; that is refused unless `allow_ephemeral` is
    set.

    Args:
        names: The block of a bare ``${NAME}``, with ``{name}`` in it: ``team-{name}``, or
            ``team#{name}`` for the fields of one block. None means that no bare name is asked for.
        profile: A profile of Prefect that is used in place of the active one and of the environment
            variables, so that several workspaces can be read by one process.
        allow_ephemeral: Whether Prefect may start a server for the length of this process.

    Raises:
        ConfigurationError: `names` lacks ``{name}``.

    Example:
        >>> PrefectResolver(names="team-{name}")
        PrefectResolver(names='team-{name}', profile=None, allow_ephemeral=False)
    """

    scheme: ClassVar[str] = "prefect"

    names: str | None = "{name}"
    profile: str | None = None
    allow_ephemeral: bool = False

    def __post_init__(self) -> None:
        """Refuse a place for bare names that would be the same for all of them."""
        check_names(self.names)

    @property
    def local(self) -> bool:  # type: ignore[override]  # it depends on the Prefect that is there
        """Whether secrets lie in this process, as those of Prefect 1 do: a thread has its own."""
        try:
            return metadata.version("prefect").startswith(_FIRST)
        except metadata.PackageNotFoundError:
            return False

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read each block once, however many references point into it."""
        prefect = _prefect()
        if isinstance(prefect, Unavailable):
            return dict.fromkeys(references, prefect)
        first = _is_first(prefect)
        find = partial(self._place, first=first)
        return answers(references, find, lambda names: self._read(prefect, names, deadline))

    async def aresolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Do the same in a thread; here where the secrets are those of this thread."""
        if self.local:
            return self.resolve(references, deadline)
        return await super().aresolve(references, deadline)

    def health(self) -> str | None:
        """Ask the server whether it is well, which takes no credential."""
        prefect = _prefect()
        if isinstance(prefect, Unavailable):
            return prefect.detail
        if _is_first(prefect):
            return _NO_PROFILES if self.profile is not None else None
        return self._server().health()

    def _server(self) -> Server:
        """Return where blocks are read; it keeps no connection."""
        return Server(profile=self.profile, allow_ephemeral=self.allow_ephemeral)

    def _read(
        self, prefect: ModuleType, names: list[str], deadline: Deadline
    ) -> Mapping[str, Outcome]:
        """Read blocks, or with Prefect 1 what its context holds."""
        if not _is_first(prefect):
            return self._server().read(names, deadline)
        if self.profile is not None:
            return dict.fromkeys(names, Unavailable(_NO_PROFILES))
        return {name: context_secret(prefect, name) for name in names}

    def _place(self, reference: Reference, *, first: bool) -> Place[str] | Outcome:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = options_of(reference)
        if isinstance(options, Invalid):
            return options
        place = place_of(reference, self.names)
        if first or isinstance(place, NotFound):
            return place
        if reference.scheme is None:
            name = place.path.lower().replace("_", "-")
        else:
            name = place.path.removeprefix("secret/")
        if "/" in name:
            return Invalid("only Secret blocks are read, and their names have no slash")
        if not _BLOCK_NAME.fullmatch(name):
            return Invalid("a block name has lower-case letters, digits and hyphens only")
        return Place(name, place.field)


def _prefect() -> ModuleType | Unavailable:
    """Return Prefect, whichever is installed."""
    try:
        return importlib.import_module("prefect")
    except ModuleNotFoundError as error:
        if error.name == "prefect":
            return Unavailable(
                "prefect is not installed: install it in the environment in which this runs"
            )
        fault: Exception = error
    except Exception as error:  # noqa: BLE001 - whatever its import stumbles over
        fault = error
    return Unavailable(f"prefect cannot be imported, {type(fault).__name__}: see 'import prefect'")


def _is_first(prefect: ModuleType) -> bool:
    """Tell whether this is Prefect 1, or its forerunners of the same design."""
    return str(getattr(prefect, "__version__", "")).startswith(_FIRST)
