"""Lists that come in pages, each of which says how to ask for the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from webhook_storage_presets.strangers import unechoed, unexpected

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.contracts import Exchange, Request, Response
    from webhook_storage_presets.keys import Listed


class Page(NamedTuple):
    """A part of a list.

    Attributes:
        request: What was asked.
        response: What came.
        names: Names of objects.
        token: What to ask for the next part with; empty when this is the last.
    """

    request: Request
    response: Response
    names: list[str]
    token: str


def all_keys(
    listed: Listed, ask: Callable[[str], Exchange[Page]], *, hint: str
) -> Exchange[list[str]]:
    """Ask for all pages, and take the keys out of the names, each once.

    Args:
        listed: Reads the keys.
        ask: Asks for a page by its token, for the first one by an empty one.
        hint: Who may have answered in place of the service.

    Raises:
        UnexpectedAnswerError: A secret is in a key, or a page leads back to one that was before, so
            that there would be no end.
    """
    keys: dict[str, None] = {}
    token, seen = "", set[str]()
    while True:
        request, response, names, token = yield from ask(token)
        keys |= dict.fromkeys(unechoed(request, response, listed.keys(names), hint=hint))
        if not token:
            return [*keys]
        if token in seen:
            raise unexpected(
                request, response, "with the same page as one that came before", hint=hint
            )
        seen.add(token)
