"""The keyring of the operating system, as the library keyring knows it.

Facts: the documentation of keyring 25.7: a password has a service and a user name. What a batch job
can do without is a window that waits for somebody, so nothing is ever unlocked here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import (
    Deadline,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.errors import ConfigurationError, MissingExtraError
from webhook_storage.lazy import PerProcess
from webhook_storage.secret import silenced_logs
from webhook_storage_resolvers.naming import (
    Place,
    answers,
    check_names,
    options_of,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from webhook_storage.template import Reference

_HEALTH_SECONDS = 10.0
_LATE = Unavailable("the keyring did not answer in time, it may wait for somebody to unlock it")


@dataclass(frozen=True, kw_only=True)
class KeyringResolver(Resolver):
    """Secrets in the keyring of the operating system.

    A password lies there under a service and a user name. The service is configured and the
    reference is the user name, all of it: ``${keyring:deploy}``, ``${keyring:https://host/me}``.
    Passwords of several services take an instance each, ``${keyring://ci/deploy}``.

    Nobody is asked for anything: what is locked is unavailable, and a keyring that may open a
    window is only asked when it is listed in `backends`.

    Args:
        service: The service, as in ``keyring set SERVICE USER``.
        names: User name for a bare ``${NAME}``, with ``{name}`` in it, or ``flows#{name}`` for a
            field of one password that is JSON. None asks for no bare name.
        backends: Names of the backends' classes that may be asked, such as
            ``keyring.backends.SecretService.Keyring``. By default that is whatever keyring chooses,
            which any installed plug-in can change.

    Raises:
        ConfigurationError: The service is empty, or `names` lacks ``{name}``.

    Example:
        >>> KeyringResolver(service="flows")
        KeyringResolver(service='flows', names='{name}', backends=None)
    """

    scheme: ClassVar[str] = "keyring"

    service: str
    names: str | None = "{name}"
    backends: Sequence[str] | None = None
    _turn: PerProcess[threading.Lock] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse what can never work, and keep the backends as a tuple, which nobody changes."""
        check_names(self.names)
        if not self.service:
            raise ConfigurationError("a service is wanted, for example flows", path="service")
        if self.backends is not None:
            object.__setattr__(self, "backends", tuple(self.backends))

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Ask for each password once."""
        return answers(references, self._wanted, lambda users: self._read_all(users, deadline))

    def health(self) -> str | None:
        """Look whether the keyring can be asked, and name its backend if it cannot."""
        found: list[str | None] = []
        fault = self._in_time(lambda: found.append(self._ailment()), Deadline(_HEALTH_SECONDS))
        return found[0] if found else (fault or _LATE).detail

    def _wanted(self, reference: Reference) -> Place[str] | Outcome:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = options_of(reference)
        if isinstance(options, Invalid):
            return options
        place = place_of(reference, self.names)
        if isinstance(place, NotFound):
            return place
        if not place.path or not place.path.isprintable():
            return Invalid("a user name is printable characters, at least one")
        return Place(place.path, place.field)

    # --- asking ---

    def _read_all(self, users: list[str], deadline: Deadline) -> dict[str, Outcome]:
        """Read passwords; those that were read before the deadline count."""
        read: dict[str, Outcome] = {}
        fault = self._in_time(lambda: self._read(users, read), deadline) or _LATE
        return {user: read.get(user, fault) for user in users}

    def _read(self, users: list[str], into: dict[str, Outcome]) -> None:
        """Read passwords; when the keyring cannot be asked for one, it is not asked for the next.

        Args:
            users: Their user names.
            into: Gets the outcomes, each when it is there.
        """
        from webhook_storage_resolvers.keyring.backends import choose, read  # noqa: PLC0415 - slow

        backends = choose(self.backends)
        last: Outcome | None = None
        for user in users:
            if isinstance(backends, Unavailable):
                last = backends
            elif not isinstance(last, Unavailable):
                last = read(backends, self.service, user, named=self.backends is not None)
            into[user] = last

    def _ailment(self) -> str | None:
        """Return what keeps the keyring from being asked, None for nothing."""
        from webhook_storage_resolvers.keyring.backends import ailment, choose  # noqa: PLC0415

        backends = choose(self.backends)
        if isinstance(backends, Unavailable):
            return backends.detail
        return ailment(backends, named=self.backends is not None)

    def _in_time(self, work: Callable[[], None], deadline: Deadline) -> Unavailable | None:
        """Do something with the keyring that may take for ever, and wait until the deadline.

        There is one such thread at a time: who hangs holds up the next, and does not multiply.

        Returns:
            Why it was not begun; None when it was, whatever has become of it.
        """
        try:
            import webhook_storage_resolvers.keyring.backends  # noqa: PLC0415, F401 - an extra
        except ImportError:
            error = MissingExtraError(
                "the keyring needs the library keyring, which is not installed", extra="keyring"
            )
            return Unavailable(f"{error}: {error.hint}")
        if not deadline.remaining():
            return Unavailable("there was no time left to ask")
        turn = self._turn.get(threading.Lock)
        if not turn.acquire(timeout=deadline.remaining()):
            return _LATE

        def guarded() -> None:
            try:
                with silenced_logs():
                    work()
            finally:
                turn.release()

        thread = threading.Thread(target=guarded, name="keyring", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            turn.release()
            return Unavailable("no thread could be started")
        thread.join(deadline.remaining())
        return None
