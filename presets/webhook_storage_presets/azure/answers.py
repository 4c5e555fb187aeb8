"""What the answers of Azure Blob Storage say to somebody who stores artifacts.

Source: Azure Storage REST documentation, Status and error codes. A code is told only when it is
one, and a message never: it repeats what was sent.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING

from webhook_storage import markup
from webhook_storage.errors import (
    AuthenticationError,
    ConflictError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ResponseError,
    TooLargeError,
    WebhookStorageError,
)
from webhook_storage_presets import strangers
from webhook_storage_presets.meaning import ALTERED, Meaning

if TYPE_CHECKING:
    from webhook_storage.contracts import Request, Response

REFUSALS = frozenset({400, 401, 403, 404, 405, 409, 412, 413, 416})
"""Statuses that Azure explains by a code; of all others the status says enough."""

BUSY = frozenset({"Md5Mismatch"})
"""Codes of a refusal that another attempt may not meet."""

_MOST_SKEW = 15 * 60
"""Seconds by which Azure lets a clock be wrong."""

_CODE = re.compile("[A-Za-z][A-Za-z0-9]{0,63}")

WANTED = "is it Azure Blob Storage that answers, or a proxy in between?"

unexpected = partial(strangers.unexpected, hint=WANTED)
"""Returns the error for a success that is none of Azure's."""


_UNAUTHENTICATED = Meaning(
    AuthenticationError,
    "the service does not take the signature or the token",
    "is the key, the connection string or the SAS that of this account, and not expired? A proxy "
    "that changes a request breaks its signature",
)
_CLOCK = Meaning(
    AuthenticationError,
    "the clock here and that of the service differ by more than 15 minutes",
    "set the clock of this machine",
)
_FORBIDDEN = Meaning(
    PermissionDeniedError,
    "the credential may not do this there",
    "Entra wants a role for data, such as Storage Blob Data Contributor, and a SAS its "
    "permissions: r read, c create, w write, d delete, l list",
)
_MISSING = Meaning(
    ObjectNotFoundError, "there is no such blob", "is it stored, and is the key right?"
)
_CHANGED = Meaning(
    ConflictError,
    "it is no longer the version that was to be replaced",
    "fetch it, and decide which one to keep",
)
_EXISTS = Meaning(
    ObjectExistsError,
    "it is there already, and was not to be replaced",
    "store under another key, or without if_absent",
)
_LEASED = Meaning(
    ConflictError, "somebody holds a lease on it", "break the lease, or wait until it ends"
)
_BLOCKS = Meaning(
    ConflictError,
    "the blocks that were sent are not those that are there",
    "something else stores under this key at the same time, or left blocks of another kind; store "
    "it under another key, or delete it first",
)
_IMMUTABLE = Meaning(
    PermissionDeniedError,
    "a policy of the container keeps it as it is",
    "store under another key, or wait until the policy ends",
)
_TOO_LARGE = Meaning(
    TooLargeError, "it is too large for one request", "lower blocks_above or part_size"
)
_MEANINGS = {
    "AccountIsDisabled": Meaning(
        PermissionDeniedError, "the account is disabled", "enable it in the portal"
    ),
    "AccountRequiresHttps": Meaning(
        ResponseError, "the account takes https only", "give an endpoint with https"
    ),
    "AuthenticationFailed": _UNAUTHENTICATED,
    "AuthorizationFailure": Meaning(
        PermissionDeniedError,
        "the credential may not do this there, or not from this network",
        "is the account's key right, does the account's firewall let this machine in, and does "
        "the SAS allow it?",
    ),
    "AuthorizationPermissionMismatch": _FORBIDDEN,
    "AuthorizationProtocolMismatch": _FORBIDDEN,
    "AuthorizationResourceTypeMismatch": _FORBIDDEN,
    "AuthorizationServiceMismatch": _FORBIDDEN,
    "AuthorizationSourceIPMismatch": Meaning(
        PermissionDeniedError, "the SAS is for another network", "get one for this machine"
    ),
    "BlobAlreadyExists": _EXISTS,
    "BlobArchived": Meaning(
        PermissionDeniedError,
        "the blob is archived, and cannot be read",
        "set its access tier to Hot or Cool, and wait some hours",
    ),
    "BlobBeingRehydrated": Meaning(
        PermissionDeniedError,
        "the blob is on its way out of the archive",
        "try again in some hours",
    ),
    "BlobImmutableDueToPolicy": _IMMUTABLE,
    "BlobNotFound": _MISSING,
    "BlockCountExceedsLimit": Meaning(
        TooLargeError, "it has more blocks than a blob can", "raise part_size"
    ),
    "ConditionNotMet": _CHANGED,
    "ContainerBeingDeleted": Meaning(
        ConflictError, "the container is being deleted", "wait, and make it anew"
    ),
    "ContainerDisabled": Meaning(
        PermissionDeniedError, "the container is disabled", "ask who runs the account"
    ),
    "ContainerNotFound": Meaning(
        ResponseError,
        "there is no such container",
        "are container and account right, and is it made?",
    ),
    "InvalidAuthenticationInfo": _UNAUTHENTICATED,
    "InvalidBlobOrBlock": _BLOCKS,
    "InvalidBlobType": Meaning(
        ConflictError,
        "there is a blob of another type, which pages or appended blocks make",
        "delete it, or store under another key",
    ),
    "InvalidBlockList": _BLOCKS,
    "InvalidMd5": ALTERED,
    "InvalidResourceName": Meaning(
        ResponseError,
        "the name of the container or the blob is none",
        "a container has 3 to 63 lower-case letters, digits and hyphens, a key 1,024 characters",
    ),
    "KeyBasedAuthenticationNotPermitted": Meaning(
        PermissionDeniedError, "the account takes no keys", "leave the key out, and use Entra"
    ),
    "LeaseAlreadyPresent": _LEASED,
    "LeaseIdMissing": _LEASED,
    "Md5Mismatch": ALTERED,
    "NoAuthenticationInformation": Meaning(
        AuthenticationError, "it wants to know who asks", "give a credential"
    ),
    "OutOfRangeInput": Meaning(
        ResponseError,
        "a part of the request is too long or too short",
        "a container has 3 to 63 characters, and a key at most 1,024",
    ),
    "PublicAccessNotPermitted": Meaning(
        PermissionDeniedError, "the account is not public", "give a credential"
    ),
    "RequestBodyTooLarge": _TOO_LARGE,
    "ResourceNotFound": Meaning(
        ResponseError,
        "there is nothing that this credential may see",
        "without a credential a container that is not public looks like none at all",
    ),
    "SnapshotsPresent": Meaning(
        ConflictError, "the blob has snapshots", "delete those first, they would be lost with it"
    ),
    "UnauthorizedBlobOverwrite": Meaning(
        PermissionDeniedError,
        "it is there already, and the SAS may only create",
        "store under another key, or get a SAS with the permission w",
    ),
    "UnsupportedHeader": Meaning(
        ResponseError, "the service does not know a part of the request", "what is not as usual?"
    ),
}
_BY_STATUS = {
    401: _UNAUTHENTICATED,
    403: _FORBIDDEN,
    404: _MISSING,
    409: Meaning(ConflictError, "it is in another state", "what does the code say?"),
    412: _CHANGED,
    413: _TOO_LARGE,
}
_OTHER = Meaning(ResponseError, "the service does not take it", "what does the code say?")


def code_of(response: Response) -> str:
    """Return the code of an error: from its header, or from its body."""
    code = response.headers.get("x-ms-error-code", "")
    if not code:
        root = markup.parse(response.body)
        code = root.value("Code") if root is not None and root.name == "Error" else ""
    echoed = response.echoes is not None and response.echoes(code)
    return code if _CODE.fullmatch(code) and not echoed else ""


def is_busy(response: Response) -> bool:
    """Tell whether another attempt may change it."""
    return code_of(response) in BUSY


def is_missing(response: Response) -> bool:
    """Tell whether a 404 speaks of the blob, and not of the container it would be in."""
    return _MEANINGS.get(code_of(response), _MISSING) is _MISSING


def refusal(request: Request, response: Response, *, created: bool = False) -> WebhookStorageError:
    """Return the error for an answer.

    Args:
        request: What was sent.
        response: What came.
        created: Whether it was only to be created.
    """
    code = code_of(response)
    meaning = _MEANINGS.get(code) or _BY_STATUS.get(response.status, _OTHER)
    if meaning is _CHANGED and created:
        meaning = _EXISTS
    if meaning is _UNAUTHENTICATED and _is_skewed(response.headers.get("date", "")):
        meaning = _CLOCK
    reason = f" ({code})" if code else ""
    message = f"{request.method} {request.url} answered {response.status}{reason}"
    return meaning.error(message, response)


def _is_skewed(date: str) -> bool:
    """Tell whether a date is too far from our own."""
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return False
    return abs(time.time() - theirs.timestamp()) > _MOST_SKEW
