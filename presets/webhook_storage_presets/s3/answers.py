"""What the answers of S3 say to somebody who stores artifacts.

Source: botocore's S3 model; Amazon S3 API Reference, Error responses. A code is told only when it
is one, and a message never: it repeats what was sent.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from webhook_storage import markup
from webhook_storage.errors import (
    AuthenticationError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseError,
    ServerError,
    TooLargeError,
    WebhookStorageError,
)
from webhook_storage_presets import strangers
from webhook_storage_presets.meaning import ALTERED, Meaning

if TYPE_CHECKING:
    from webhook_storage.contracts import Request, Response

REFUSALS = frozenset({301, 307, 400, 403, 404, 405, 409, 412, 416, 501})
"""Statuses that S3 explains by a code; of all others the status says enough."""

BUSY = frozenset({"ConditionalRequestConflict", "OperationAborted", "RequestTimeout"})
"""Codes of a refusal that another attempt may not meet."""

_CODE = re.compile("[A-Za-z][A-Za-z0-9.]{0,63}")
_REGION = re.compile("[a-z0-9-]{1,32}")

WANTED = "is it an S3 that answers, or a proxy in between?"

unexpected = partial(strangers.unexpected, hint=WANTED)
"""Returns the error for a success that is none of S3's."""


_CLOCK = Meaning(
    AuthenticationError,
    "the clock of this machine and that of the service differ by more than 15 minutes",
    "set the clock of this machine",
)
_REGION_WRONG = Meaning(ResponseError, "the bucket is in another region", "give its region")
_EXPIRED = Meaning(
    AuthenticationError,
    "the temporary credentials have expired or are none",
    "get new ones, and give their session token too",
)
NO_BUCKET = Meaning(
    ResponseError, "there is no such bucket", "are bucket and endpoint right, and is it made?"
)
_MEANINGS = {
    "AccessDenied": Meaning(
        PermissionDeniedError,
        "the credentials may not do this there",
        "what does the bucket's policy allow? Without the right to list, an object that is not "
        "there is forbidden too",
    ),
    "AuthorizationHeaderMalformed": _REGION_WRONG,
    "BadDigest": ALTERED,
    "ConditionalRequestConflict": Meaning(
        ConflictError, "somebody else stores it at this moment", "try again in a moment"
    ),
    "EntityTooLarge": Meaning(
        TooLargeError, "it is too large for one request", "lower multipart_above or part_size"
    ),
    "EntityTooSmall": Meaning(
        TooLargeError, "a part is too small", "raise part_size; S3 takes no part below 5 MiB"
    ),
    "ExpiredToken": _EXPIRED,
    "InvalidAccessKeyId": Meaning(
        AuthenticationError,
        "the service does not know the access key's id",
        "is it that of this endpoint, and is a session token missing?",
    ),
    "InvalidDigest": ALTERED,
    "InvalidObjectState": Meaning(
        PermissionDeniedError, "the object is archived", "restore it first"
    ),
    "InvalidToken": _EXPIRED,
    "KeyTooLongError": Meaning(
        ResponseError, "the key is longer than 1,024 bytes", "give a shorter key"
    ),
    "MethodNotAllowed": Meaning(
        ResponseError, "it may not be done there", "is that version a delete marker?"
    ),
    "NoSuchBucket": NO_BUCKET,
    "NoSuchKey": Meaning(
        ObjectNotFoundError, "there is no such object", "is it stored, and is the key right?"
    ),
    "NoSuchUpload": Meaning(
        ObjectNotFoundError, "there is no such upload", "it was aborted or is finished"
    ),
    "NoSuchVersion": Meaning(
        ObjectNotFoundError, "there is no such version", "it was deleted; fetch by the key alone"
    ),
    "NotImplemented": Meaning(
        ResponseError,
        "the service does not know a part of the request",
        "choose the profile of your service, or 'other'",
    ),
    "OperationAborted": Meaning(
        ConflictError, "somebody else changes it at this moment", "try again in a moment"
    ),
    "PermanentRedirect": _REGION_WRONG,
    "PreconditionFailed": Meaning(
        ConflictError,
        "it is no longer the version that was to be replaced",
        "fetch it, and decide which one to keep",
    ),
    "RequestTimeTooSkewed": _CLOCK,
    "SignatureDoesNotMatch": Meaning(
        AuthenticationError,
        "the signature is another one than the service's",
        "is the secret access key right, and the region? A proxy that changes a request breaks its "
        "signature",
    ),
    "SlowDown": Meaning(RateLimitedError, "too many requests", "send fewer at a time"),
    "TemporaryRedirect": _REGION_WRONG,
    "XAmzContentSHA256Mismatch": ALTERED,
}
_EXISTS = Meaning(
    ObjectExistsError,
    "it is there already, and was not to be replaced",
    "store under another key, or without if_absent",
)
_BY_STATUS = {
    400: Meaning(ResponseError, "the service does not take it", "what does the code say?"),
    403: _MEANINGS["AccessDenied"],
    404: _MEANINGS["NoSuchKey"],
    409: _MEANINGS["OperationAborted"],
    412: _MEANINGS["PreconditionFailed"],
}
_OTHER = Meaning(ResponseError, "the service refuses it", "what does the code say?")


def code_of(response: Response) -> str:
    """Return the code of an error; empty where there is none, as in the answer to a HEAD."""
    root = markup.parse(response.body)
    code = root.value("Code") if root is not None and root.name == "Error" else ""
    echoed = response.echoes is not None and response.echoes(code)
    return code if _CODE.fullmatch(code) and not echoed else ""


def is_busy(response: Response) -> bool:
    """Tell whether another attempt may change it."""
    return code_of(response) in BUSY


def refusal(
    request: Request, response: Response, *, created: bool = False, what: str = ""
) -> WebhookStorageError:
    """Return the error for an answer.

    Args:
        request: What was sent.
        response: What came.
        created: Whether it was only to be created.
        what: The operation in words, where the request's URL does not tell it.
    """
    code = code_of(response)
    meaning = _MEANINGS.get(code) or _BY_STATUS.get(response.status, _OTHER)
    if meaning is _MEANINGS["PreconditionFailed"] and created:
        meaning = _EXISTS
    reason = f" ({code})" if code else ""
    message = f"{request.method} {request.url}{what} answered {response.status}{reason}"
    hint = None
    region = response.headers.get("x-amz-bucket-region", "")
    if meaning is _REGION_WRONG and _REGION.fullmatch(region):
        hint = f"it is in {region}: give region='{region}'"
    return meaning.error(message, response, hint=hint)


def failure_within(request: Request, response: Response) -> WebhookStorageError | None:
    """Return the error that a success may hold: S3 answers 200 before an upload is put together."""
    code = code_of(response)
    if not code:
        return None
    meaning = _MEANINGS.get(code)
    if meaning is not None:
        return refusal(request, response)
    message = f"{request.method} {request.url} answered 200, and then an error ({code})"
    return ServerError(message, status=500, attempts=response.attempts, hint="try again")
