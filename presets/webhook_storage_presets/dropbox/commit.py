"""What an upload says of the file that it makes, and what it means when that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from webhook_storage.answer import maybe_done
from webhook_storage.template import escape
from webhook_storage_presets.dropbox.answers import REFUSED, members, tags

if TYPE_CHECKING:
    from webhook_storage.contracts import Exchange, Facts, Response, StoreOptions
    from webhook_storage_presets.dropbox.api import Api


class Commit(NamedTuple):
    """How a file is stored, whether by one request or by several.

    Attributes:
        argument: What Dropbox is told of the file.
        conflict: What it means when another file is in the way, see `answers.refusal`.
    """

    argument: dict[str, Any]
    conflict: str

    @property
    def idempotent(self) -> bool | None:
        """Tell whether to store twice does the same as once.

        What is in the way of a second attempt may be what the first one stored, which is told
        apart by its bytes; but not when it is stored under another name then.
        """
        argument = self.argument
        return True if argument["mode"] == "overwrite" or not argument["autorename"] else None

    def meaning(self, found: tuple[str, ...]) -> str:
        """Return what the tags of a refusal mean, where they alone do not tell."""
        return self.conflict if found[-2:] == ("conflict", "file") else ""

    def earlier(
        self, api: Api, response: Response, facts: Facts, digest: str
    ) -> Exchange[Response | None]:
        """Return the metadata of what an earlier attempt stored, of which the answer was lost.

        Then the file that is in the way has these bytes.
        """
        in_the_way = tags(response)[-2:] == ("conflict", "file")
        if not maybe_done(response.history) or not in_the_way:
            return None
        return (yield from self.file_with(api, facts, digest))

    def file_with(self, api: Api, facts: Facts, digest: str) -> Exchange[Response | None]:
        """Return the metadata of the file at the path when it has this content hash, else None."""
        request = api.ask("get_metadata", {"path": self.argument["path"]}, facts)
        response = yield from api.call(request)
        if response.status == REFUSED:
            return None
        same = members(request, response).get("content_hash") == digest
        return response if same else None


def commit_of(configured: dict[str, Any], options: StoreOptions, known: str | None) -> Commit:
    """Return how a file is stored.

    Args:
        configured: The storage's path, mode, autorename, mute and strict_conflict.
        options: What must hold of what is there, whatever the storage's mode is.
        known: The revision of which the storage has the receipt.
    """
    mode = configured["mode"]
    rev = options.if_version or (known if mode == "update" else None)
    argument = {**configured, "mode": "add" if mode == "update" else mode}
    if options.if_absent:
        argument["mode"] = "add"
    elif rev:
        argument["mode"] = {".tag": "update", "update": escape(rev)}
    if options.conditional:
        # Else the same bytes would pass for a file that is not there, or has not changed.
        argument |= {"strict_conflict": True, "autorename": False}
        return Commit(argument, "exists/condition" if options.if_absent else "")
    return Commit(argument, "exists" if mode == "add" else "")
