"""Questions to one service of AWS, alone and in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from webhook_storage.contracts import Deadline, Outcome
from webhook_storage.errors import ConfigurationError
from webhook_storage.lazy import PerProcess
from webhook_storage_resolvers.aws.answers import is_denied, is_final, is_refusal, meaning_of
from webhook_storage_resolvers.aws.login import REGION, Access, Login, NoAnswerError

if TYPE_CHECKING:
    from webhook_storage.token import Refusal

_HEALTH_SECONDS = 10.0

Reply: TypeAlias = Mapping[str, Any]
"""What a service answers, as botocore gives it."""


@dataclass(frozen=True, kw_only=True)
class AwsClient:
    """Asks one service, with the credentials that botocore finds; it can be pickled.

    Args:
        service: Name of the service, as botocore has it.
        region: By default that of the environment or the profile.
        profile: By default that of the environment.
        endpoint_url: By default that of the environment, the profile or the region.

    Raises:
        ConfigurationError: `region` or `endpoint_url` is none.
    """

    service: str
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    _held: PerProcess[Login] = field(
        default_factory=PerProcess, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Refuse what could never be asked."""
        if self.region is not None and not REGION.fullmatch(self.region):
            raise ConfigurationError("region is not the name of a region", path="region")
        url = self.endpoint_url
        if url is not None and not url.startswith(("http://", "https://")):
            message = "endpoint_url is not a URL of http or https"
            raise ConfigurationError(message, path="endpoint_url")

    @property
    def denied(self) -> set[str]:
        """The operations that this process has no right to."""
        return self._login().denied

    def ask(
        self,
        operation: str,
        parameters: Mapping[str, Any],
        deadline: Deadline,
        region: str | None = None,
    ) -> Reply | Refusal:
        """Ask one question; once more if there are other credentials now than those refused.

        Args:
            operation: Name of the client's method.
            parameters: Its arguments.
            deadline: When an answer is of no use any more.
            region: Where to ask; None stands for the usual region.

        Returns:
            The answer, or why there is none.
        """
        login = self._login()
        access = login.access(region, deadline)
        if not isinstance(access, Access):
            return access
        reply = self._call(access, operation, parameters, deadline)
        if not is_refusal(reply):
            return reply
        # They may have been replaced, in their file for example, since they were read.
        renewed = login.access(region, deadline, refused=access)
        if isinstance(renewed, Access) and renewed.fingerprint != access.fingerprint:
            return self._call(renewed, operation, parameters, deadline)
        return reply

    def ailment(self, operation: str) -> str | None:
        """Return why nothing can be asked, None when something can.

        Args:
            operation: One that lists names; that there is no right to it is no ailment.
        """
        reply = self.ask(operation, {"MaxResults": 1}, Deadline(_HEALTH_SECONDS))
        if isinstance(reply, Mapping) or is_denied(reply):
            return None
        return reply.detail

    def close(self) -> None:
        """Close the connections and forget the credentials; the next question makes new ones."""
        login = self._held.take()
        if login is not None:
            login.http.close()

    def _login(self) -> Login:
        return self._held.get(
            lambda: Login(self.service, self.region, self.profile, self.endpoint_url)
        )

    def _call(
        self, access: Access, operation: str, parameters: Mapping[str, Any], deadline: Deadline
    ) -> Reply | Refusal:
        """Ask once."""
        try:
            reply: Reply = access.call(operation, parameters, deadline)
        except NoAnswerError as error:
            return error.outcome
        except Exception as error:  # noqa: BLE001 - its text may hold the answer
            return meaning_of(self.service, error)
        return reply


class _Located(Protocol):
    """Something to ask for."""

    @property
    def region(self) -> str | None:
        """Where it lies; None stands for the usual region."""

    def __hash__(self) -> int:
        """Return the same for what is the same."""


Key = TypeVar("Key", bound=_Located)


def read_all(
    wanted: Sequence[Key],
    most: int,
    read_many: Callable[[Sequence[Key]], Mapping[Key, Outcome] | Outcome],
    read_one: Callable[[Key], Outcome],
) -> dict[Key, Outcome]:
    """Read in batches, and one by one what no batch answered.

    When a region cannot be asked for one, it is not asked for the next.

    Args:
        wanted: What to read, each once.
        most: How many fit into a batch.
        read_many: Returns outcomes, not necessarily for all that it got; or why there are none.
        read_one: Returns the outcome for one.
    """
    read: dict[Key, Outcome] = {}
    for region in dict.fromkeys(each.region for each in wanted):
        there = [each for each in wanted if each.region == region]
        read |= _read_there(there, most, read_many, read_one)
    return read


def _read_there(
    wanted: Sequence[Key],
    most: int,
    read_many: Callable[[Sequence[Key]], Mapping[Key, Outcome] | Outcome],
    read_one: Callable[[Key], Outcome],
) -> dict[Key, Outcome]:
    read: dict[Key, Outcome] = {}
    for start in range(0, len(wanted), most):
        several = read_many(wanted[start : start + most])
        if isinstance(several, Mapping):
            read |= several
        elif is_final(several):
            return {**dict.fromkeys(wanted, several), **read}
    for each in wanted:
        if each not in read:
            outcome = read[each] = read_one(each)
            if is_final(outcome):
                return {**dict.fromkeys(wanted, outcome), **read}
    return read
