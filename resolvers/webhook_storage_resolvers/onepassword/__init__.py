"""1Password, by way of a Connect server.

Facts: "Secret reference syntax" and "1Password Connect Server" of the 1Password developer
documentation; the OpenAPI description 1.7.1 of Connect; connect-sdk-python 2.1 for the names of the
environment variables.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from http.client import OK
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from webhook_storage.client import HttpAnswer, HttpClient
from webhook_storage.contracts import Deadline, Invalid, NotFound, Outcome, Resolver, Unavailable
from webhook_storage_resolvers.naming import check_names, field_of, options_of, place_of
from webhook_storage_resolvers.onepassword.connect import Connect
from webhook_storage_resolvers.onepassword.item import field_of_item, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference

_HOST, _TOKEN = "OP_CONNECT_HOST", "OP_CONNECT_TOKEN"
_SHORTEST, _LONGEST = 2, 4
_MOST_BYTES = 16 * 1024 * 1024
"""A list of all items of a vault is long, though it holds no values."""
_HEALTH_SECONDS = 10.0


class _Wanted(NamedTuple):
    """Where a reference leads.

    Attributes:
        vault: Name or id.
        item: Title or id.
        section: Label or id; None for any.
        field: Label or id; None for the item as a whole.
        otp: Whether only a one-time password will do.
        part: The field that `names` wants of the item as a whole.
    """

    vault: str
    item: str
    section: str | None
    field: str | None
    otp: bool
    part: str | None


@dataclass(frozen=True, kw_only=True)
class OnePasswordResolver(Resolver):
    """Secrets in 1Password, read from a Connect server.

    1Password's own references are taken as they are: ``${op://vault/item/field}``,
    ``${op://vault/item/section/field}``. What holds a space stands in quotes, and as quotes cannot
    begin right after ``op://``, a vault with a space is ``${op:'My Vault/item/field'}``. Names
    count whatever their case; ids will do as well, and must where a name holds a slash.
    ``${op:vault/item#field}`` selects a field by its label, spelled exactly.

    A field with a one-time password gives the digits of the moment, which are not kept;
    ``?attribute=otp`` says that nothing else will do.

    Args:
        host: Origin of the Connect server, by default ``OP_CONNECT_HOST``.
        token_variable: Name of an environment variable that holds the access token.
        token_file: Path of a file that holds the access token. With neither given it is
            ``OP_CONNECT_TOKEN``.
        names: Where a bare ``${NAME}`` lies, with ``{name}`` in it: ``vault/item/{name}`` for a
            field of one item, ``vault/{name}/password`` for an item each; an ``op://`` before it
            changes nothing. Without it no bare name is asked for.
        cacert: File of a CA that is trusted as well.

    Raises:
        ConfigurationError: `names` lacks ``{name}``.

    Example:
        >>> OnePasswordResolver(host="http://connect:8080").scheme
        'op'
    """

    scheme: ClassVar[str] = "op"
    has_instances: ClassVar[bool] = False

    host: str | None = None
    token_variable: str | None = None
    token_file: str | os.PathLike[str] | None = None
    names: str | None = None
    cacert: str | os.PathLike[str] | None = None
    _http: HttpClient = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a place for bare names that would be the same for all of them."""
        check_names(self.names)
        verify = os.fspath(self.cacert) if self.cacert is not None else True
        object.__setattr__(self, "_http", HttpClient(verify=verify, most_bytes=_MOST_BYTES))

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Look up each vault and read each item once, however many references lead there."""
        wanted = {reference: self._wanted(reference) for reference in references}
        connect = self._connect(deadline)
        return {
            reference: _answer(connect, each) if isinstance(each, _Wanted) else each
            for reference, each in wanted.items()
        }

    def health(self) -> str | None:
        """Ask the server whether it is alive, without the token."""
        deadline = Deadline(_HEALTH_SECONDS)
        connect = self._connect(deadline)
        if isinstance(connect, Unavailable):
            return connect.detail
        answer = self._http.ask("GET", f"{self._origin()}/heartbeat", deadline)
        if isinstance(answer, HttpAnswer):
            return None if answer.status == OK else answer.trouble().detail
        return answer.detail

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        self._http.close()

    # --- what is wanted ---

    def _wanted(self, reference: Reference) -> _Wanted | Outcome:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = options_of(reference, ("attribute",))
        if isinstance(options, Invalid):
            return options
        if options.get("attribute", "otp") != "otp":
            return Invalid('the only attribute is "otp"')
        place = place_of(reference, self.names)
        if isinstance(place, NotFound):
            return place
        # What the grammar takes for an instance is the vault of ``op://vault/item/field``.
        path = f"{reference.instance}/{place.path}" if reference.instance else place.path
        path = path.removeprefix("op://")  # `names` may be spelled as 1Password shows it
        parts = path.split("/")
        if not _SHORTEST <= len(parts) <= _LONGEST or not all(map(_is_name, parts)):
            return Invalid("a path is vault/item/field or vault/item/section/field")
        otp = "attribute" in options
        if len(parts) == _SHORTEST and otp:
            return Invalid("an attribute is one of a field, so name the field in the path")
        vault, item, *rest = parts
        name = rest.pop() if rest else None
        return _Wanted(vault, item, rest[0] if rest else None, name, otp, place.field)

    # --- whom to ask ---

    def _connect(self, deadline: Deadline) -> Connect | Unavailable:
        """Return the server, with the token as it is now."""
        origin = self._origin()
        if not origin:
            return Unavailable(f"no address: set {_HOST}")
        token = self._token()
        if isinstance(token, Unavailable):
            return token
        return Connect(self._http, origin, token, deadline)

    def _origin(self) -> str:
        """Return where the server is; empty when nobody says so."""
        return (self.host or os.environ.get(_HOST, "")).rstrip("/")

    def _token(self) -> str | Unavailable:
        """Return the token as it is now; it is kept nowhere."""
        if self.token_file is None or self.token_variable is not None:
            variable = self.token_variable or _TOKEN
            return os.environ.get(variable) or Unavailable(f"no token: set {variable}")
        try:
            token = Path(self.token_file).expanduser().read_text("utf-8").strip()
        except (OSError, ValueError):
            token = ""
        return token or Unavailable("no token: the token file cannot be read, or is empty")


def _is_name(part: str) -> bool:
    """Tell whether something can have this name; it is a text, and no step in a path."""
    return bool(part) and part.isprintable() and part not in {".", ".."}


def _answer(connect: Connect | Unavailable, wanted: _Wanted) -> Outcome:
    """Return the outcome for a reference."""
    if isinstance(connect, Unavailable):
        return connect
    item = connect.item(wanted.vault, wanted.item)
    if isinstance(item, Outcome):
        return item
    if wanted.field is None:
        return field_of(whole(item), wanted.part)
    outcome = field_of_item(item, wanted.section, wanted.field, otp=wanted.otp)
    return field_of(outcome, wanted.part)
