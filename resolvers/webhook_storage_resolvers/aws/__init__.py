"""AWS Secrets Manager, with the credentials that all tools of AWS use.

Facts: "GetSecretValue", "BatchGetSecretValue" and "CreateSecret" of the Secrets Manager API
Reference; "Secrets managed by other AWS services" of its user guide for names with an exclamation
mark. For the credentials see `login`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from webhook_storage.contracts import Deadline, Invalid, Outcome, Resolver
from webhook_storage_resolvers.aws.answers import (
    is_denied,
    meaning_of_code,
    parts_of,
    secret_in,
)
from webhook_storage_resolvers.aws.client import AwsClient, Reply, read_all
from webhook_storage_resolvers.naming import (
    Place,
    answers,
    check_names,
    is_segment,
    options_of,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook_storage.template import Reference

_SERVICE = "secretsmanager"
_BATCH = "batch_get_secret_value"
_MOST = 20

_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]{1,512}")
_ARN = re.compile(
    r"arn:aws[a-z-]*:secretsmanager:(?P<region>[a-z0-9-]{1,63}):[0-9]{12}:secret:(?P<name>[^:]+)"
)
_OPTIONS = {
    "stage": ("VersionStage", re.compile(r"[A-Za-z0-9/_+=.@-]{1,256}")),
    "version": ("VersionId", re.compile(r"[A-Za-z0-9-]{32,64}")),
}


class _Secret(NamedTuple):
    """One version of a secret; the key under which one answer serves several references."""

    id: str
    region: str | None
    version: tuple[str, str] | None

    def parameters(self) -> dict[str, str]:
        """Return what to ask with."""
        return dict([("SecretId", self.id), *([self.version] if self.version else [])])


@dataclass(frozen=True, kw_only=True)
class AwsResolver(Resolver):
    """Secrets in AWS Secrets Manager.

    ``${aws:prod/db}`` reads the current version of a secret, ``${aws:prod/db#password}`` a field of
    one that is JSON, ``?stage=AWSPREVIOUS`` or ``?version=ID`` another version. A secret of another
    account or region is named by its ARN: ``${aws:'arn:aws:secretsmanager:...'}``. A binary secret
    is taken as the UTF-8 text that it should be.

    The credentials are those that botocore finds: environment, profile, IAM Identity Center, web
    identity, container, machine. They are kept in memory, and looked for anew when refused.
    Several secrets are read by ``BatchGetSecretValue`` if that is allowed, else one by one.

    Args:
        region: By default ``AWS_DEFAULT_REGION``, else that of the profile, else ``AWS_REGION``.
        profile: Of ``~/.aws/config``; by default ``AWS_PROFILE``. With it, keys in the environment
            are not looked at.
        endpoint_url: For example that of a VPC endpoint; by default
            ``AWS_ENDPOINT_URL_SECRETS_MANAGER``, else ``AWS_ENDPOINT_URL``, else the region's.
        names: Where a bare ``${NAME}`` lies, spelled as after ``aws:``, with ``{name}`` in it:
            ``flows/{name}``, or ``flows#{name}`` for a field of one JSON document. None asks for no
            bare name.

    Raises:
        ConfigurationError: `names` lacks ``{name}``, or `region` or `endpoint_url` is none.

    Example:
        >>> AwsResolver(region="eu-west-1").scheme
        'aws'
    """

    scheme: ClassVar[str] = "aws"

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    names: str | None = "{name}"
    _client: AwsClient = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what would lead all names to one place, or nowhere."""
        check_names(self.names)
        client = AwsClient(
            service=_SERVICE,
            region=self.region,
            profile=self.profile,
            endpoint_url=self.endpoint_url,
        )
        object.__setattr__(self, "_client", client)

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read each version once, however many references point into it."""
        return answers(references, self._wanted, lambda secrets: self._read(secrets, deadline))

    def health(self) -> str | None:
        """Ask which secrets there are, whether or not that is answered."""
        return self._client.ailment("list_secrets")

    def close(self) -> None:
        """Close the connections and forget the credentials; the next question makes new ones."""
        self._client.close()

    # --- what is wanted ---

    def _wanted(self, reference: Reference) -> Place[_Secret] | Outcome:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = options_of(reference, _OPTIONS)
        if isinstance(options, Invalid):
            return options
        place = place_of(reference, self.names)
        if not isinstance(place, Place):
            return place
        arn = _ARN.fullmatch(place.path)
        name = arn["name"] if arn else place.path
        if not _is_name(name):
            return Invalid("is no name in Secrets Manager: letters, digits and /_+=.@-, or an ARN")
        version = _version(options)
        if isinstance(version, Invalid):
            return version
        region = arn["region"] if arn else None
        return Place(_Secret(place.path, region, version), place.field)

    # --- asking ---

    def _read(self, secrets: list[_Secret], deadline: Deadline) -> Mapping[_Secret, Outcome]:
        """Read secrets, as many as can be at a time."""
        return read_all(
            secrets,
            _MOST,
            lambda several: self._read_many(several, deadline),
            lambda secret: self._read_one(secret, deadline),
        )

    def _read_many(
        self, secrets: Sequence[_Secret], deadline: Deadline
    ) -> Mapping[_Secret, Outcome] | Outcome:
        """Read current versions together; none that is alone, since that takes another right."""
        current = {secret.id: secret for secret in secrets if secret.version is None}
        if len(current) < 2 or _BATCH in self._client.denied:  # noqa: PLR2004 - more than one
            return {}
        region = secrets[0].region
        reply = self._client.ask(_BATCH, {"SecretIdList": list(current)}, deadline, region)
        if is_denied(reply):
            self._client.denied.add(_BATCH)
        if not isinstance(reply, Mapping):
            return reply
        return {current[name]: said for name, said in _parts(reply) if name in current}

    def _read_one(self, secret: _Secret, deadline: Deadline) -> Outcome:
        """Read one version."""
        reply = self._client.ask("get_secret_value", secret.parameters(), deadline, secret.region)
        return secret_in(reply) if isinstance(reply, Mapping) else reply


def _is_name(text: str) -> bool:
    """Tell whether a secret can have this name."""
    parts = text.removeprefix("/").split("/")
    return _NAME.fullmatch(text) is not None and all(map(is_segment, parts))


def _version(options: Mapping[str, str]) -> tuple[str, str] | Invalid | None:
    """Return the parameter that says which version is wanted, None for the current one."""
    if len(options) > 1:
        return Invalid("names both a stage and a version, of which one is enough")
    for option, value in options.items():
        parameter, rule = _OPTIONS[option]
        if not rule.fullmatch(value):
            return Invalid(f"has what is no {option} in Secrets Manager")
        return parameter, value
    return None


def _parts(reply: Reply) -> list[tuple[str, Outcome]]:
    """Return names and ARNs in the answer to a batch, and what it says of them."""
    said: list[tuple[str, Outcome]] = []
    for part in parts_of(reply, "SecretValues"):
        said += [(str(part.get(key)), secret_in(part)) for key in ("Name", "ARN")]
    for part in parts_of(reply, "Errors"):
        meaning = meaning_of_code(_SERVICE, str(part.get("ErrorCode")))
        if meaning is not None:
            said.append((str(part.get("SecretId")), meaning))
    return said
