"""The list of a container. Source: Azure Storage REST documentation, List Blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from webhook_storage import markup
from webhook_storage.artifact import MemorySink
from webhook_storage_presets.azure.answers import WANTED, unexpected
from webhook_storage_presets.keys import in_url
from webhook_storage_presets.paging import Page, all_keys

if TYPE_CHECKING:
    from webhook_storage.contracts import Exchange, Facts
    from webhook_storage.markup import Element
    from webhook_storage.storage import Names
    from webhook_storage_presets.azure.api import Api
    from webhook_storage_presets.keys import Listed

_PAGE = 1000
_PAGE_LIMIT = 16 * 1024**2
"""Most bytes of a page: 1,000 names of 1,024 characters, with what is said of each."""


def list_keys(api: Api, listed: Listed, facts: Facts, page: int = _PAGE) -> Exchange[Names]:
    """Ask for all pages, and take the keys out of the blobs' names."""
    query = f"comp=list&maxresults={page}&prefix={in_url(listed.prefix)}"

    def ask(marker: str) -> Exchange[Page]:
        sink = MemorySink(_PAGE_LIMIT)
        known = {**facts, "receipt.marker": marker}
        more = "&marker=${receipt.marker|urlencode}" if marker else ""
        request = api.container(query + more, sink=sink, facts=known)
        response = yield from api.call(request)
        root = markup.parse(sink.getvalue())
        if root is None or root.name != "EnumerationResults":
            raise unexpected(request, response, "with no list of blobs")
        names = _names(root)
        if names is None:
            raise unexpected(request, response, "with a name that cannot be read")
        return Page(request, response, names, root.value("NextMarker"))

    return (yield from all_keys(listed, ask, hint=WANTED))


def _names(root: Element) -> list[str] | None:
    """Return the names of the blobs, None when one is none.

    An account with directories lists those among them.
    """
    blobs = root.first("Blobs")
    found = [
        _name(blob.first("Name"))
        for blob in (blobs.all("Blob") if blobs else ())
        if blob.value("Properties", "ResourceType") != "directory"
    ]
    names = [name for name in found if name]
    return names if len(names) == len(found) else None


def _name(element: Element | None) -> str:
    """Return a name; what XML cannot hold makes it one that is percent-encoded."""
    if element is None:
        return ""
    if element.attributes.get("Encoded", "").lower() != "true":
        return element.text
    try:
        return unquote(element.text, errors="strict")
    except ValueError:
        return ""
