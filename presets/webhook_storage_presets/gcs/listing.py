"""A page of the list of a bucket's objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from webhook_storage import document
from webhook_storage_presets.gcs.answers import members, unexpected
from webhook_storage_presets.paging import Page

if TYPE_CHECKING:
    from webhook_storage.contracts import Request, Response


def page_of(request: Request, response: Response, content: bytes) -> Page:
    """Return a page of the list of objects, which may have none.

    Raises:
        UnexpectedAnswerError: When it is none.
    """
    said = members(request, response, content)
    items, token = said.get("items") or [], said.get("nextPageToken") or ""
    names = [document.select(item, "name") for item in (items if isinstance(items, list) else [""])]
    if not isinstance(token, str) or not all(isinstance(name, str) for name in names):
        raise unexpected(request, response, "with no list of objects")
    return Page(request, response, names, token)
