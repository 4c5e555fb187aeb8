"""HashiCorp Vault and OpenBao: the key/value engine, version 2, with a token.

Facts: "Commands (CLI): environment variables" of the Vault documentation; the documentation and
source of hvac 2.4 (``RawAdapter``, ``read_secret_version``). hvac itself reads part of the
environment, and that when it is imported, so everything is read and handed over here.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from webhook_storage.contracts import (
    Deadline,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.document import MISSING, parse, select, spell
from webhook_storage.errors import ConfigurationError, MissingExtraError
from webhook_storage.secret import SecretValue, silenced_logs
from webhook_storage_resolvers.vault_answers import ailment, outcome_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import requests

    from webhook_storage.template import Reference

_NAME = "{name}"
_TIMEOUT = 60.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FALSE = frozenset({"", "0", "f", "false"})


class _Path(NamedTuple):
    """Where a secret lies; the key under which one answer serves several references."""

    mount: str
    path: str
    version: int | None


class _Wanted(NamedTuple):
    """What a reference asks for: a secret as a whole, or one field of it."""

    path: _Path
    field: str | None


@dataclass(frozen=True, kw_only=True)
class VaultResolver(Resolver):
    """Secrets in Vault or OpenBao.

    ``${vault:secret/app#token}`` reads the field ``token`` of the secret ``app`` in the engine that
    is mounted at ``secret``; ``secret/data/app``, as the API spells it, is the same, and
    ``?version=3`` reads an older version. A path of one word lies in `mount`.

    The token is read when it is needed: from the environment variable `token_variable`, else from
    the file `token_file`. With neither given it is ``VAULT_TOKEN``, ``BAO_TOKEN`` or
    ``~/.vault-token``. The environment variables of the Vault command line, and their ``BAO_``
    twins, say the rest: ``VAULT_ADDR``, ``VAULT_NAMESPACE``, ``VAULT_CACERT``, ``VAULT_CAPATH``,
    ``VAULT_CLIENT_CERT``, ``VAULT_CLIENT_KEY``, ``VAULT_SKIP_VERIFY``, ``VAULT_CLIENT_TIMEOUT``.

    Args:
        address: For example ``https://vault.example.com:8200``; by default ``VAULT_ADDR``.
        token_variable: Name of an environment variable that holds the token.
        token_file: Path of a file that holds the token.
        namespace: By default ``VAULT_NAMESPACE``.
        mount: Engine for paths of one word, and the mount path when that has slashes.
        names: Where a bare ``${NAME}`` lies, spelled as after ``vault:``, with ``{name}`` in it:
            ``secret/flows#{name}`` for a field of one secret, ``secret/{name}#value`` for a secret
            each. Without it no bare name is asked for.
        cacert: File of the CA that signed the server's certificate; by default ``VAULT_CACERT``.

    Raises:
        ConfigurationError: `names` lacks ``{name}``.

    Example:
        >>> VaultResolver(address="https://vault.example.com:8200").scheme
        'vault'
    """

    scheme: ClassVar[str] = "vault"

    address: str | None = None
    token_variable: str | None = None
    token_file: str | os.PathLike[str] | None = None
    namespace: str | None = None
    mount: str = "secret"
    names: str | None = None
    cacert: str | os.PathLike[str] | None = None
    _session: tuple[int, requests.Session] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse a place for bare names that would be the same for all of them."""
        if self.names is not None and _NAME not in self.names:
            message = f"names must hold {_NAME}, for example secret/flows#{_NAME}"
            raise ConfigurationError(message, path="names")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the connections behind."""
        return {**self.__dict__, "_session": None}

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read each secret once, however many references point into it."""
        wanted = {reference: self._wanted(reference) for reference in references}
        paths = {each.path: None for each in wanted.values() if isinstance(each, _Wanted)}
        read = self._read_all(list(paths), deadline) if paths else {}
        return {
            reference: _field(read[each.path], each.field) if isinstance(each, _Wanted) else each
            for reference, each in wanted.items()
        }

    def health(self) -> str | None:
        """Ask the server for its state, without a token."""
        address = self._address()
        if address is None:
            return _NO_ADDRESS
        try:
            client = self._client(address, "", 10.0)
            with silenced_logs():
                answer = client.sys.read_health_status(method="GET")
        except MissingExtraError as error:
            return f"{error}: {error.hint}"
        except Exception as error:  # noqa: BLE001 - only what kind of failure it is may be told
            return f"no connection, {type(error).__name__}"
        return ailment(answer.status_code)

    def close(self) -> None:
        """Close the connections; the next question opens new ones."""
        if self._session is not None and self._session[0] == os.getpid():
            self._session[1].close()
        object.__setattr__(self, "_session", None)

    # --- what is wanted ---

    def _wanted(self, reference: Reference) -> _Wanted | Outcome:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = dict(reference.options)
        version = options.pop("version", None)
        if options:
            return Invalid(f'has no option "{next(iter(options))}", only "version"')
        if version is not None and not (version.isascii() and version.isdigit()):
            return Invalid("a version is a number")
        if reference.scheme is not None:
            place, part = reference.name, None
        elif self.names is not None:
            place, _, name = self.names.replace(_NAME, reference.name).partition("#")
            part = name or None
        else:
            return NotFound("bare names are not looked for, as `names` is not set")
        mount, path = self._split(place)
        if not all(map(_is_segment, (*mount.split("/"), *path.split("/")))):
            return Invalid("a path is words between single slashes, mount first")
        return _Wanted(_Path(mount, path, int(version) if version else None), part)

    def _split(self, place: str) -> tuple[str, str]:
        """Return mount and path; the ``data`` of the API's spelling is dropped."""
        if place.startswith(f"{self.mount}/") or "/" not in place:
            mount, path = self.mount, place.removeprefix(f"{self.mount}/")
        else:
            mount, _, path = place.partition("/")
        return mount, path.removeprefix("data/") or path

    # --- asking ---

    def _read_all(self, paths: list[_Path], deadline: Deadline) -> dict[_Path, Outcome]:
        """Read secrets; when the server cannot be asked for one, it is not asked for the next."""
        address, token = self._address(), self._token()
        if address is None:
            return dict.fromkeys(paths, Unavailable(_NO_ADDRESS))
        if not token:
            return dict.fromkeys(paths, Unavailable(self._no_token()))
        read: dict[_Path, Outcome] = {}
        for path in paths:
            last = read.get(next(reversed(read))) if read else None
            read[path] = (
                last
                if isinstance(last, Unavailable)
                else self._read(address, token, path, deadline)
            )
        return read

    def _read(self, address: str, token: str, path: _Path, deadline: Deadline) -> Outcome:
        """Read one secret."""
        if not (seconds := min(deadline.remaining(), _timeout())):
            return Unavailable("there was no time left to ask")
        try:
            client = self._client(address, token, seconds)
            with silenced_logs():
                answer = client.secrets.kv.v2.read_secret_version(
                    path.path, path.version, path.mount, raise_on_deleted_version=True
                )
                return outcome_of(answer, path.mount)
        except MissingExtraError as error:
            return Unavailable(f"{error}: {error.hint}")
        except Exception as error:  # noqa: BLE001 - its text may hold the token or the answer
            return Unavailable(f"no connection, {type(error).__name__}")

    def _client(self, address: str, token: str, seconds: float) -> Any:
        """Return a client for a moment; only the connections live longer, and hold no token."""
        try:
            import hvac  # noqa: PLC0415 - an extra, and slow to import
        except ImportError:
            hvac = None
        if hvac is None:
            raise MissingExtraError("Vault needs hvac, which is not installed", extra="vault")
        return hvac.Client(
            url=address,
            token=token,
            namespace=self.namespace or _variable("NAMESPACE"),
            timeout=seconds,
            session=self._connections(address),
            verify=self._verify(),
            allow_redirects=False,
            adapter=hvac.adapters.RawAdapter,
            # Answers come back whatever their status: the exceptions would keep the bodies.
            ignore_exceptions=True,
        )

    def _connections(self, address: str) -> requests.Session:
        """Return the connections of this process."""
        if self._session is not None and self._session[0] == os.getpid():
            return self._session[1]
        import requests  # noqa: PLC0415 - comes with hvac

        session = requests.Session()
        session.trust_env = False  # else a netrc file adds a credential
        session.proxies = dict(requests.utils.get_environ_proxies(address))
        session.verify = self._verify()
        if certificate := _variable("CLIENT_CERT"):
            key = _variable("CLIENT_KEY")
            session.cert = (certificate, key) if key else certificate
        object.__setattr__(self, "_session", (os.getpid(), session))
        return session

    def _verify(self) -> bool | str:
        """Return what certificates are checked against."""
        if (_variable("SKIP_VERIFY") or "").lower() not in _FALSE:
            return False
        bundle = self.cacert or _variable("CACERT") or _variable("CAPATH")
        return os.fspath(bundle) if bundle else True

    def _address(self) -> str | None:
        """Return the server's origin."""
        return self.address or _variable("ADDR")

    def _token(self) -> str | None:
        """Return the token as it is now; it is kept nowhere."""
        if self.token_variable is not None:
            return os.environ.get(self.token_variable)
        if self.token_file is None and (token := _variable("TOKEN")):
            return token
        try:
            return Path(self.token_file or "~/.vault-token").expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError, RuntimeError):
            return None

    def _no_token(self) -> str:
        """Say where a token was looked for."""
        if self.token_variable is not None:
            return f"no token: set {self.token_variable}"
        if self.token_file is not None:
            return "no token: the token file cannot be read, or is empty"
        return "no token: set VAULT_TOKEN, or log in with 'vault login'"


_NO_ADDRESS = "no address: set VAULT_ADDR"


def _variable(name: str) -> str | None:
    """Return what Vault's environment variable of that name, or OpenBao's, says."""
    return os.environ.get(f"VAULT_{name}") or os.environ.get(f"BAO_{name}") or None


def _timeout() -> float:
    """Return ``VAULT_CLIENT_TIMEOUT``: seconds, or a duration such as ``1m30s``."""
    text = _variable("CLIENT_TIMEOUT") or ""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|$)", text)
    return sum(float(number) * _UNITS[unit or "s"] for number, unit in parts) or _TIMEOUT


def _is_segment(segment: str) -> bool:
    """Tell whether this can stand between two slashes without changing the path."""
    dots = segment.lower().replace("%2e", ".")
    return (
        bool(segment)
        and dots not in {".", ".."}
        and segment.isprintable()
        and (set(segment).isdisjoint("?#\\"))
    )


def _field(outcome: Outcome, name: str | None) -> Outcome:
    """Return the field of a secret that stands for a bare name, as a value of its own."""
    if name is None or not isinstance(outcome, Found):
        return outcome
    part = select(parse(outcome.value.reveal()), name)
    if part is MISSING or part is None:
        return NotFound("the secret has no such field")
    text = spell(part)
    if text is None:
        return Invalid("the field is no text")
    return Found(value=SecretValue(text), version=outcome.version)
