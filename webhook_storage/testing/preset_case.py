"""What the contract of presets is tried on: a storage, its service, and what that can do."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from uuid import uuid4

from webhook_storage.contracts import Deadline, Found, NotFound, Outcome, Resolver
from webhook_storage.errors import WebhookStorageError
from webhook_storage.network import Network
from webhook_storage.retry import RetryPolicy
from webhook_storage.secret import SecretValue
from webhook_storage.sender import Sender
from webhook_storage.testing.leaks import find_leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from webhook_storage.contracts import Transport
    from webhook_storage.receipt import Receipt
    from webhook_storage.storage import Storage
    from webhook_storage.template import Reference

ODD_KEYS = (
    "with space", "a+b", "a&b=c", "100%", "50%25", "ümläut/ß", "κλειδί", "~t(1)!*'", "a;b,c",
    "x/y/z",
)  # fmt: skip
"""Keys that URLs spell in another way."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PresetCase:
    """A storage whose URL has the key in it, and the service behind it.

    Attributes:
        storage: The storage; whatever it stores may stay there.
        secrets: What its placeholders stand for, by name.
        wrong: The same with a credential that is none; None where nobody asks for one.
        forbidden: The same storage in a place where the credential may do nothing; None if there is
            no such place.
        elsewhere: The same in a place that is not there, for example a bucket; None as above.
        create_only: Whether the service holds that an artifact may only be created.
        replaces: Whether it holds that one version only may be replaced.
        lists: Whether it can list.
        parted: The same storage, which sends more than `parted_above` bytes in parts; None if it
            knows no parts.
        parted_above: See `parted`.
        largest: Most bytes of an artifact; one more is refused before anything is sent. None where
            nobody knows a limit.
        largest_request: Most bytes that one request may have; None means 5 GiB for a preset that
            knows parts, and no limit for another.
        odd_keys: Keys that the service takes.
        refused_keys: Keys that it cannot take, which are refused before anything is sent.
        trouble: Lets the service answer the next request that sends an artifact or a part with a
            status, once; None where it cannot.
        lose: Lets the service do the next request that sends an artifact and say nothing, once;
            None where it cannot.
        transport: What sends; the usual one by default.
        network: Where requests may go.
    """

    storage: Storage
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    wrong: Mapping[str, str] | None = dataclasses.field(default=None, repr=False)
    forbidden: Storage | None = None
    elsewhere: Storage | None = None
    create_only: bool = True
    replaces: bool = True
    lists: bool = True
    parted: Storage | None = None
    parted_above: int = 0
    largest: int | None = None
    largest_request: int | None = None
    odd_keys: Sequence[str] = ODD_KEYS
    refused_keys: Sequence[str] = ("line\nbreak", "nul\0", "../up", "a/./b")
    trouble: Callable[[int], None] | None = None
    lose: Callable[[], None] | None = None
    transport: Callable[[], Transport] | None = None
    network: Network | None = None

    def sender(
        self,
        secrets: Mapping[str, str] | None = None,
        *,
        attempts: int = 1,
        transport: Transport | None = None,
    ) -> Sender:
        """Return a sender with these secrets, by default the right ones."""
        if transport is None and self.transport is not None:
            transport = self.transport()
        return Sender(
            secrets=[_Held(self.secrets if secrets is None else secrets)],
            transport=transport,
            retry=RetryPolicy(attempts=attempts, max_delay=0),
            network=self.network or Network(),
        )

    def key(self, name: str = "a") -> str:
        """Return a key that nothing has been stored under."""
        return f"{uuid4().hex}/{name}"

    def stored_by(self, sender: Sender, data: bytes, key: str) -> Receipt:
        """Store by a sender that another thread has made."""
        with sender:
            return self.storage.put(data, key)

    def said(self, came: object) -> str:
        """Return what came of an operation, in words that show no secret."""
        if not isinstance(came, WebhookStorageError):
            return "no error was raised"
        text = (
            "a text that shows a secret" if self.leaks(str(came)) else " ".join(str(came).split())
        )
        return f"it raised {type(came).__name__}: {text}"

    def leaks(self, where: str | bytes) -> list[str]:
        """Return the forms in which a secret stands in a text."""
        texts = {*self.secrets.values(), *(self.wrong or {}).values()}
        return [form for text in texts if len(text) > _SHORT for form in find_leaks(where, text)]


_SHORT = 7
"""A shorter text stands in innocent ones."""


class _Held(Resolver):
    """Answers from a mapping that shows nothing."""

    scheme = "held"
    local = True

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = {name: SecretValue(text) for name, text in secrets.items()}

    def resolve(
        self,
        references: Sequence[Reference],
        deadline: Deadline,  # noqa: ARG002 - it is at hand
    ) -> Mapping[Reference, Outcome]:
        """Look each up."""
        found: dict[Reference, Outcome] = {}
        for reference in references:
            value = self._secrets.get(reference.name)
            found[reference] = NotFound() if value is None else Found(value=value)
        return found
