"""nginx's index of a folder, which is JSON where the server says ``autoindex_format json``.

Source: nginx, ngx_http_autoindex_module. Names that begin with a dot are not in it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from webhook_storage import document
from webhook_storage.artifact import MemorySink
from webhook_storage.errors import UnexpectedAnswerError
from webhook_storage.template import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from webhook_storage.contracts import Exchange, Request, Response, Sink

_PAGE_LIMIT = 64 * 1024 * 1024
_DEEPEST = 64
_MOST_FOLDERS = 10_000
_HINT = "is it an nginx with 'autoindex on' and 'autoindex_format json' that answers?"


class Index:
    """What is below a folder.

    Args:
        url: Template of the folder's URL, with its slash.
        ask: Returns the request that fetches an index into a sink.
    """

    def __init__(self, url: str, ask: Callable[[str, Sink], Request]) -> None:
        """Keep where it is."""
        self._url = url
        self._ask = ask

    def names(self) -> Exchange[list[str]]:
        """Return the names of all files, with the folders that they are in."""
        names: list[str] = []
        folders, asked = [""], 0
        while folders:
            folder = folders.pop()
            asked += 1
            for name, is_folder in (yield from self._entries(folder)):
                if is_folder:
                    folders.append(f"{folder}{name}/")
                else:
                    names.append(f"{folder}{name}")
            if asked + len(folders) > _MOST_FOLDERS or folder.count("/") > _DEEPEST:
                message = f"GET {self._url} has more folders than are looked into"
                raise UnexpectedAnswerError(message, hint="does one of them lead back to another?")
        return sorted(names)

    def _entries(self, folder: str) -> Exchange[list[tuple[str, bool]]]:
        """Return the names in one folder, none when it is not there, and which are folders."""
        sink = MemorySink(_PAGE_LIMIT)
        request = self._ask(f"{self._url}{escape(quote(folder))}", sink)
        try:
            response: Response = yield request
        except UnexpectedAnswerError as error:
            error.hint = _HINT
            raise
        if response.status == HTTPStatus.NOT_FOUND:
            return []  # it is made with its first file
        found = document.parse(sink.getvalue().decode("utf-8", "replace"))
        entries = [_entry(each) for each in found] if isinstance(found, list) else [None]
        known = [each for each in entries if each is not None]
        shown = "\n".join(name for name, _ in known)
        if len(known) < len(entries) or response.echoes is None or response.echoes(shown):
            message = f"{request.method} {self._url} answered {response.status} with no index"
            raise UnexpectedAnswerError(message, status=response.status, hint=_HINT)
        return known


def _entry(said: Any) -> tuple[str, bool] | None:
    """Return name and kind of an entry, None when it is none."""
    name = said.get("name") if isinstance(said, dict) else None
    if not isinstance(name, str) or name in {"", ".", ".."} or "/" in name:
        return None
    return None if document.spell(name) is None else (name, said.get("type") == "directory")
