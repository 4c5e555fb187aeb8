"""The operations of a storage as the command names them, to be looked at before they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from webhook_storage.contracts import Auth, Exchange, Request, Together, Wanted, Work
from webhook_storage.errors import ConfigurationError, WebhookStorageError
from webhook_storage.render import templates
from webhook_storage.secret import SecretValue
from webhook_storage.sender import written
from webhook_storage.template import Reference, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook_storage.storage import Operation, Storage
    from webhook_storage.template import Template

OPERATIONS: tuple[Operation, ...] = ("store", "fetch", "exists", "delete", "list")


class Use(NamedTuple):
    """A secret of a definition.

    Attributes:
        reference: What is looked up.
        operations: Which operations need it.
        optional: Whether there is a default wherever it stands.
    """

    reference: Reference
    operations: tuple[str, ...]
    optional: bool


def sample(storage: Storage, operation: Operation) -> Exchange[Any]:
    """Return the exchange of an operation on some artifact."""
    try:
        return storage.exchange(operation, "key")
    except ConfigurationError:  # a storage of one artifact takes no key
        return storage.exchange(operation)


def secrets_of(storage: Storage) -> list[Use]:
    """Return the secrets that the first request of each operation, and the signing keys, need."""
    places: dict[Reference, dict[str, None]] = {}
    required: set[Reference] = set()
    for operation, template in _templates(storage):
        for reference in template.references():
            places.setdefault(reference, {})[operation] = None
        needed = template.problems(lambda _: None)
        required.update(each.source for each in needed if isinstance(each.source, Reference))
    return [Use(each, tuple(names), each not in required) for each, names in places.items()]


def _templates(storage: Storage) -> Iterator[tuple[str, Template]]:
    """Yield all templates with the operation that they belong to."""
    for operation in OPERATIONS:
        for wish in _first_wishes(storage, operation):
            if isinstance(wish, Wanted):
                texts = [(name, parse(text)) for name, text in wish.templates.items()]
            else:
                texts = templates(wish)
            for _, template in texts:
                yield operation, template
    for text in storage.signing_keys.values():
        yield "signing", parse(text)


def _first_wishes(storage: Storage, operation: Operation) -> Iterator[Request | Wanted]:
    """Yield what an operation wants up to its first request; nothing when there is no such one."""
    try:
        for wish in _wishes_of(sample(storage, operation)):
            if isinstance(wish, Request):
                yield written(wish)
                yield from _wishes_of_auth(wish)
            else:
                yield wish
    except ConfigurationError:
        return


def _wishes_of_auth(request: Request) -> Iterator[Request | Wanted]:
    """Yield what a log-in for a request wants to know, and its first request. None is made."""
    steps = request.auth.log_in(request, _CHALLENGE) if isinstance(request.auth, Auth) else None
    if steps is None:
        return
    try:
        wish = next(steps)
        while isinstance(wish, Wanted):
            yield wish
            wish = steps.send({name: SecretValue("") for name in wish.templates})
        if isinstance(wish, Request):
            yield written(wish)
    except (StopIteration, WebhookStorageError):
        return  # it was told all that is wanted, and takes no offence at what is made up
    finally:
        steps.close()


_CHALLENGE = "Digest"
"""Of a server that says no more; without one, some kinds want nothing yet."""


def _wishes_of(steps: Exchange[Any]) -> Iterator[Request | Wanted]:
    """Yield what an exchange wants to know, and its first request."""
    try:
        wish = next(steps)
        while not isinstance(wish, Request):
            answer: Any = None
            if isinstance(wish, Together):
                yield from _wishes_of(wish.exchanges[0])
                return
            if isinstance(wish, Work):
                answer = wish.action()
            elif isinstance(wish, Wanted):
                yield wish
                answer = {name: SecretValue("") for name in wish.templates}
            wish = steps.send(answer)
        yield wish
    finally:
        steps.close()
