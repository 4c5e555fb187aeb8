"""What the answers of Secrets Manager and Parameter Store mean, and those of the AWS logins.

Facts: "GetSecretValue", "BatchGetSecretValue", "GetParameter", "GetParameters", "AssumeRole" and
"Common Errors" of the AWS API references; the exceptions of botocore 1.44. Nothing that AWS says is
repeated word for word: its messages hold names of users and roles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.client import FORBIDDEN, UNAUTHORIZED
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Forbidden, Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from webhook_storage.token import Refusal

MALFORMED = Unavailable("the answer is not what such a store sends")
NO_CREDENTIALS = Unavailable(
    "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
    "or log in with 'aws sso login'"
)

_CODE_IN_XML = re.compile(r"^<.*<Code>(\w+)</Code>", re.DOTALL)
_RIGHTS = {
    "secretsmanager": "secretsmanager:GetSecretValue",
    "ssm": "ssm:GetParameters",
    "sts": "sts:AssumeRole",
}
_NO_DECRYPTION = Forbidden(
    "its KMS key does not decrypt it: is the key there and enabled, and kms:Decrypt allowed?"
)
_NOT_UNDERSTOOD = Invalid("AWS does not understand the name or the option")
_TOO_MANY = Unavailable("too many requests")

_WRONG_KEY = Forbidden(
    "AWS does not know the access key or session token: is it still active, and of this partition?"
)
_WRONG_SIGNATURE = Forbidden("the secret access key is wrong, or the clock of this machine is")
_EXPIRED = Forbidden("the credentials have expired: log in again, or set new ones")
_NO_REGION = Forbidden("the region is not enabled in this account")
_NO_ROLE = Forbidden(
    "no credentials are given: the role may not be assumed, or the login for it is wrong"
)
_LOGIN_ENDED = Forbidden("no credentials: the login has ended, log in with 'aws sso login'")

_MEANINGS: dict[str, Refusal] = {
    "ResourceNotFoundException": NotFound(),
    "ParameterNotFound": NotFound(),
    "ParameterVersionNotFound": NotFound("has no such version or label"),
    "InvalidRequestException": NotFound("is marked for deletion"),
    "DecryptionFailure": _NO_DECRYPTION,
    "InvalidKeyId": _NO_DECRYPTION,
    "InvalidParameterException": _NOT_UNDERSTOOD,
    "ValidationException": _NOT_UNDERSTOOD,
    "ValidationError": _NOT_UNDERSTOOD,
    "UnrecognizedClientException": _WRONG_KEY,
    "InvalidClientTokenId": _WRONG_KEY,
    "InvalidAccessKeyId": _WRONG_KEY,
    "InvalidToken": _WRONG_KEY,
    "MissingAuthenticationToken": _WRONG_KEY,
    "MissingAuthenticationTokenException": _WRONG_KEY,
    "InvalidSignatureException": _WRONG_SIGNATURE,
    "SignatureDoesNotMatch": _WRONG_SIGNATURE,
    "IncompleteSignature": _WRONG_SIGNATURE,
    "IncompleteSignatureException": _WRONG_SIGNATURE,
    "RequestTimeTooSkewed": _WRONG_SIGNATURE,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "OptInRequired": _NO_REGION,
    "Throttling": _TOO_MANY,
    "ThrottlingException": _TOO_MANY,
    "ThrottledException": _TOO_MANY,
    "TooManyRequestsException": _TOO_MANY,
    "RequestLimitExceeded": _TOO_MANY,
    "InternalServiceError": Unavailable("AWS has a fault of its own"),
    "InternalServerError": Unavailable("AWS has a fault of its own"),
}
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized"})

_LOGIN_FAULTS: dict[str, Refusal] = {
    "NoCredentialsError": NO_CREDENTIALS,
    "ProfileNotFound": Unavailable(
        "no credentials: no AWS configuration file has the profile, check its name or AWS_PROFILE"
    ),
    "ConfigParseError": Unavailable("no credentials: an AWS configuration file cannot be parsed"),
    "PartialCredentialsError": Unavailable(
        "no credentials: only one of access key and secret access key is set"
    ),
    "CredentialRetrievalError": Unavailable(
        "no credentials: the program or service that gives them failed"
    ),
    "SSOTokenLoadError": _LOGIN_ENDED,
    "UnauthorizedSSOTokenError": _LOGIN_ENDED,
    "TokenRetrievalError": _LOGIN_ENDED,
    "LoginRefreshRequired": Forbidden("no credentials: log in with 'aws login'"),
    "LoginTokenLoadError": Forbidden("no credentials: log in with 'aws login'"),
}


def is_denied(outcome: object) -> bool:
    """Tell whether this says that a right is missing, not that the credentials are no good."""
    return isinstance(outcome, Forbidden) and outcome.maybe_missing


def is_refusal(outcome: object) -> bool:
    """Tell whether this says that the credentials are no good."""
    its_own = is_denied(outcome) or outcome == _NO_DECRYPTION
    return isinstance(outcome, Forbidden) and not its_own


def is_final(outcome: object) -> bool:
    """Tell whether the next question would get the same."""
    return isinstance(outcome, Unavailable) or is_refusal(outcome)


def meaning_of_code(service: str, code: str) -> Refusal | None:
    """Return what an error's code means, None for a code that is not known."""
    if code in _DENIED:
        detail = f"you lack {_RIGHTS[service]}, or kms:Decrypt for its key"
        return Forbidden(detail, maybe_missing=True)
    return _MEANINGS.get(code)


def meaning_of(service: str, error: Exception) -> Refusal:
    """Return what an exception of botocore means that a question ended in."""
    answer = getattr(error, "response", None)
    if not isinstance(answer, Mapping):
        return Unavailable(f"no answer, {type(error).__name__}")
    known = meaning_of_code(service, _code_in(answer))
    if known is not None:
        return known
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status in {UNAUTHORIZED, FORBIDDEN}:
        return Forbidden(f"answered with status {status}: is that AWS, or a proxy before it?")
    return Unavailable(f"answered with status {status}")


def _code_in(answer: Mapping[str, Any]) -> str:
    """Return the code of an error; moto refuses in XML, which is to botocore a mere message."""
    error = answer.get("Error", {})
    in_xml = _CODE_IN_XML.search(str(error.get("Message")))
    code = in_xml[1] if in_xml else str(error.get("Code"))
    return code.partition(":")[0]  # an address may stand behind it, which older botocores keep


def meaning_of_login(error: Exception) -> Refusal:
    """Return what an exception of botocore means in which the search for credentials ended."""
    if isinstance(getattr(error, "response", None), Mapping):
        meaning = meaning_of("sts", error)
        if isinstance(meaning, Unavailable):
            return Unavailable(f"no credentials: {meaning.detail}")
        return meaning if is_refusal(meaning) else _NO_ROLE
    name = type(error).__name__
    return _LOGIN_FAULTS.get(name) or Unavailable(f"no credentials, {name}")


def secret_in(answer: Mapping[str, Any]) -> Outcome:
    """Return the secret in an answer of Secrets Manager, or in one part of a batch."""
    value, version = answer.get("SecretString"), answer.get("VersionId")
    if value is None:
        value = answer.get("SecretBinary")
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return Invalid("is binary, and no UTF-8 text: store its base64 as a text instead")
    return _found(value, version)


def parts_of(answer: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the parts of an answer to several questions; what is none is left out."""
    return [part for part in answer.get(name) or () if isinstance(part, Mapping)]


def parameter_in(answer: Mapping[str, Any]) -> Outcome:
    """Return the value in one part of an answer of Parameter Store."""
    return _found(answer.get("Value"), answer.get("Version"))


def _found(value: object, version: object) -> Outcome:
    if not isinstance(value, str):
        return MALFORMED
    return Found(value=SecretValue(value), version=None if version is None else str(version))
