"""Uploads in parts: what a service says of its own, and the one way in which all are carried out.

A service takes parts in one of two ways. By number, in any order and several at a time, as in S3's
multipart upload, Azure's block list, Swift's segments and Nextcloud's chunks: `MultipartUpload`. Or
one after the other, each from where the last one ended, as in the resumable uploads of Google and
tus and the sessions of Dropbox: `ResumableUpload`. A preset describes its requests by one of the
two, and `in_parts` does the rest.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from webhook_storage.artifact import steady_stamp
from webhook_storage.contracts import Exchange, Work
from webhook_storage.errors import ConfigurationError
from webhook_storage.upload.description import (
    MultipartUpload,
    Progress,
    ResumableUpload,
    State,
    Tags,
    Upload,
)
from webhook_storage.upload.multipart import MultipartRun
from webhook_storage.upload.parts import PartBody, Parts, part_size_for
from webhook_storage.upload.resumable import ResumableRun

if TYPE_CHECKING:
    from webhook_storage.contracts import Body, Checkpoint
    from webhook_storage.upload.run import Run

__all__ = [
    "MultipartUpload",
    "PartBody",
    "Progress",
    "ResumableUpload",
    "State",
    "Tags",
    "Upload",
    "in_parts",
    "part_size_for",
]

T = TypeVar("T")


def in_parts(
    upload: Upload[T],
    body: Body,
    *,
    part_size: int,
    limit: int = 4,
    checkpoint: Checkpoint | None = None,
) -> Exchange[T]:
    """Carry an upload out.

    The body is read once before it is sent, and a source that changes meanwhile is an error. A part
    that fails is sent again alone. When the upload fails for good it is aborted; with a checkpoint
    it is left as it is, for another attempt to go on with.

    Args:
        upload: Its requests.
        body: What is stored; a `MeasuredBody` knows its digest afterwards.
        part_size: Number of bytes of each part, see `part_size_for`.
        limit: Most parts at a time, where they may come in any order.
        checkpoint: Where to keep how far it has come; what is in it is gone on with.

    Returns:
        What the upload's `finish` returned.

    Raises:
        IntegrityError: The source changed, or the service has other bytes than were sent.
        ConfigurationError: The checkpoint holds what this upload cannot go on with.
        WebhookStorageError: As for any request; its hint says what is left at the service.
    """
    # Another process that goes on has to know that it has the same artifact, so that comes first.
    alongside = isinstance(upload, MultipartUpload) and checkpoint is None
    stamp = (yield Work(partial(steady_stamp, body))) if alongside else None
    parts: Parts = yield Work(partial(Parts, body, part_size, upload.measure, stamp))
    run: Run[T]
    if isinstance(upload, MultipartUpload):
        run = MultipartRun(upload, parts, checkpoint, limit)
    elif isinstance(upload, ResumableUpload):
        run = ResumableRun(upload, parts, checkpoint)
    else:
        message = f"{type(upload).__name__} is neither a MultipartUpload nor a ResumableUpload"
        raise ConfigurationError(message)
    return (yield from run.carry_out())
