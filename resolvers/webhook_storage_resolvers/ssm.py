"""AWS Systems Manager Parameter Store, with the credentials that all tools of AWS use.

Facts: "GetParameter", "GetParameters", "PutParameter" and "LabelParameterVersion" of the Systems
Manager API Reference; "Referencing AWS Secrets Manager secrets from Parameter Store parameters" and
"How Parameter Store authorizes parameter retrieval" of its user guide. For the credentials see
`aws.login`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from webhook_storage.contracts import Deadline, Found, Invalid, NotFound, Outcome, Resolver
from webhook_storage_resolvers.aws.answers import (
    MALFORMED,
    is_denied,
    parameter_in,
    parts_of,
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
    from webhook_storage.token import Refusal

_SEVERAL = "get_parameters"
_SINGLE = "get_parameter"
_MOST = 10

_NAME = re.compile(r"[A-Za-z0-9_./-]{1,1011}")
_REFERENCE = "/aws/reference/secretsmanager/"
_SECRET = re.compile(rf"{_REFERENCE}[A-Za-z0-9/_+=.@!-]{{1,512}}")
_ARN = re.compile(
    r"arn:aws[a-z-]*:ssm:(?P<region>[a-z0-9-]{1,63}):[0-9]{12}:parameter(?P<name>/[^:]+)"
)
_OPTIONS = {
    "version": re.compile(r"[1-9][0-9]{0,18}"),
    "label": re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]{0,99}"),
}


class _Parameter(NamedTuple):
    """One version of a parameter; the key under which one answer serves several references."""

    id: str
    region: str | None
    selector: str | None

    def is_told_apart(self) -> bool:
        """Tell whether an answer names it as it was asked for."""
        return self.selector is None and not self.id.startswith(_REFERENCE)

    def spelled(self) -> str:
        """Return it as the service spells it."""
        return self.id if self.selector is None else f"{self.id}:{self.selector}"


@dataclass(frozen=True, kw_only=True)
class SsmResolver(Resolver):
    """Parameters in AWS Systems Manager Parameter Store, those that are encrypted in plain text.

    ``${ssm:/prod/db/password}`` reads a parameter, ``${ssm:/prod/db#password}`` a field of one that
    is JSON, ``?version=3`` or ``?label=blue`` another version. The slash at the front of a name
    with slashes may be left out. A parameter of another account or region is named by its ARN.

    The credentials are those that botocore finds: environment, profile, IAM Identity Center, web
    identity, container, machine. They are kept in memory, and looked for anew when refused.
    Parameters are read by ``GetParameters`` if that is allowed, else one by one.

    Args:
        region: By default ``AWS_DEFAULT_REGION``, else that of the profile, else ``AWS_REGION``.
        profile: Of ``~/.aws/config``; by default ``AWS_PROFILE``. With it, keys in the environment
            are not looked at.
        endpoint_url: For example that of a VPC endpoint; by default ``AWS_ENDPOINT_URL_SSM``, else
            ``AWS_ENDPOINT_URL``, else the region's.
        names: Where a bare ``${NAME}`` lies, spelled as after ``ssm:``, with ``{name}`` in it:
            ``/flows/{name}``, or ``/flows#{name}`` for a field of one JSON document. None asks for
            no bare name.

    Raises:
        ConfigurationError: `names` lacks ``{name}``, or `region` or `endpoint_url` is none.

    Example:
        >>> SsmResolver(names="/prod/{name}").scheme
        'ssm'
    """

    scheme: ClassVar[str] = "ssm"

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    names: str | None = "{name}"
    _client: AwsClient = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what would lead all names to one place, or nowhere."""
        check_names(self.names)
        client = AwsClient(
            service="ssm",
            region=self.region,
            profile=self.profile,
            endpoint_url=self.endpoint_url,
        )
        object.__setattr__(self, "_client", client)

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Read each version once, however many references point into it."""
        return answers(
            references, self._wanted, lambda parameters: self._read(parameters, deadline)
        )

    def health(self) -> str | None:
        """Ask which parameters there are, whether or not that is answered."""
        return self._client.ailment("describe_parameters")

    def close(self) -> None:
        """Close the connections and forget the credentials; the next question makes new ones."""
        self._client.close()

    # --- what is wanted ---

    def _wanted(self, reference: Reference) -> Place[_Parameter] | Outcome:
        """Return where a reference leads, or the outcome when it leads nowhere."""
        options = options_of(reference, _OPTIONS)
        if isinstance(options, Invalid):
            return options
        place = place_of(reference, self.names)
        if not isinstance(place, Place):
            return place
        arn = _ARN.fullmatch(place.path)
        # Where there are levels there is a slash in front; after an instance none can be written.
        bare = arn is None and "/" in place.path and not place.path.startswith("/")
        path = f"/{place.path}" if bare else place.path
        if not _is_name(arn["name"] if arn else path):
            return Invalid("is no name in Parameter Store: letters, digits and _.-/, or an ARN")
        if len(options) > 1:
            return Invalid("names both a version and a label, of which one is enough")
        for option, value in options.items():
            if not _OPTIONS[option].fullmatch(value):
                return Invalid(f"has what is no {option} in Parameter Store")
        selector = next(iter(options.values()), None)
        region = arn["region"] if arn else None
        return Place(_Parameter(path, region, selector), place.field)

    # --- asking ---

    def _read(
        self, parameters: list[_Parameter], deadline: Deadline
    ) -> Mapping[_Parameter, Outcome]:
        """Read parameters, as many as can be at a time."""
        return read_all(
            parameters,
            _MOST,
            lambda several: self._read_many(several, deadline),
            lambda parameter: self._read_one(parameter, deadline),
        )

    def _read_many(
        self, parameters: Sequence[_Parameter], deadline: Deadline
    ) -> Mapping[_Parameter, Outcome] | Outcome:
        """Read together what the answer tells apart: neither older versions nor secrets."""
        current = {each.id: each for each in parameters if each.is_told_apart()}
        if len(current) < 2 or _SEVERAL in self._client.denied:  # noqa: PLR2004 - more than one
            return {}
        reply = self._ask_several(list(current), parameters[0].region, deadline)
        if not isinstance(reply, Mapping):
            return reply
        said: list[tuple[str, Outcome]] = [
            (str(name), NotFound()) for name in reply.get("InvalidParameters", ())
        ]
        for part in parts_of(reply, "Parameters"):
            said += [(str(part.get(key)), parameter_in(part)) for key in ("Name", "ARN")]
        return {current[name]: outcome for name, outcome in said if name in current}

    def _read_one(self, parameter: _Parameter, deadline: Deadline) -> Outcome:
        """Read one version, by either of two operations for which there are separate rights."""
        denied = self._client.denied
        first, second = sorted((_SEVERAL, _SINGLE), key=denied.__contains__)
        outcome = self._read_by(first, parameter, deadline)
        if not is_denied(outcome):
            return outcome
        outcome = self._read_by(second, parameter, deadline)
        if isinstance(outcome, Found | NotFound):
            denied.add(first)
            denied.discard(second)
        return outcome

    def _read_by(self, operation: str, parameter: _Parameter, deadline: Deadline) -> Outcome:
        """Read one version by one of the operations."""
        name = parameter.spelled()
        if operation == _SEVERAL:
            reply = self._ask_several([name], parameter.region, deadline)
        else:
            asked = {"Name": name, "WithDecryption": True}
            reply = self._client.ask(_SINGLE, asked, deadline, parameter.region)
        if not isinstance(reply, Mapping):
            return reply
        if reply.get("InvalidParameters"):
            return NotFound()
        single = reply.get("Parameter")
        found = parts_of(reply, "Parameters") + ([single] if isinstance(single, Mapping) else [])
        return parameter_in(found[0]) if found else MALFORMED

    def _ask_several(
        self, names: list[str], region: str | None, deadline: Deadline
    ) -> Reply | Refusal:
        """Ask for parameters by their names."""
        asked: dict[str, Any] = {"Names": names, "WithDecryption": True}
        return self._client.ask(_SEVERAL, asked, deadline, region)


def _is_name(text: str) -> bool:
    """Tell whether a parameter, or a secret that is read as one, can have this name."""
    rule = _SECRET if text.startswith(_REFERENCE) else _NAME
    parts = text.removeprefix("/").split("/")
    return rule.fullmatch(text) is not None and all(map(is_segment, parts))
