"""What a preset says of an upload in parts: its requests, and what it goes on by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from webhook_storage.contracts import Exchange
    from webhook_storage.upload.parts import PartBody

T = TypeVar("T")

State: TypeAlias = Mapping[str, str]
"""What a service calls an upload by, and whatever else it takes to go on with it: texts by name."""

Tags: TypeAlias = Mapping[int, str]
"""What a service calls each part by, for example its ETag, by the part's number from 1."""


class Upload(ABC, Generic[T]):
    """The requests of one upload in parts. It is made anew for each, and lives as long as it does.

    What came from the service is data: a URL in a state goes into a request by its `facts`, as in
    ``url="${receipt.upload}"``, so that it is never read as a template and never shown. Its host
    must be in the request's `redirect_hosts` to get a credential, and comes from the storage there.

    Attributes:
        leftover: What becomes of an upload that nobody ends, or how to find it, in a few words.
    """

    leftover: ClassVar[str]

    @abstractmethod
    def begin(self) -> Exchange[State]:
        """Begin an upload and return what to go on by."""

    @abstractmethod
    def accepts(self, state: State) -> bool:
        """Tell whether a state is one to go on by: all names are there, every URL leads home.

        It came from the service, or from a file, and bytes and credentials go where it says.
        """

    @abstractmethod
    def abort(self, state: State) -> Exchange[bool]:
        """End the upload without an artifact, and let the service forget its parts.

        Returns:
            Whether it has; False where a service knows no such request.
        """

    def public_id(self, state: State) -> str | None:  # noqa: ARG002 - for those that have one
        """Return what the service calls the upload by, where knowing that gives no right to it.

        Only then is it told in an error and in the log. By default it is not.
        """
        return None

    def measure(self, chunk: bytes) -> None:
        """See the next bytes of the artifact, all of them once and in order, before it is finished.

        Where parts follow one another that is before it begins.
        """

    def stored(self) -> Exchange[T | None]:
        """Return what the last request would have, when the artifact is there and is this one.

        It is asked when the upload is gone and may have been brought to its end by a request of
        which the answer was lost. By default nobody knows.
        """
        yield from ()
        return None


class MultipartUpload(Upload[T]):
    """An upload of parts that have a number and come in any order.

    Attributes:
        compares: Whether the service refuses a part of which the bytes are not those of the SHA-256
            that the request says; then nobody else need compare them.
    """

    compares: bool = False

    @abstractmethod
    def send(self, state: State, part: PartBody) -> Exchange[str]:
        """Send a part, which replaces one of the same number, and return its tag."""

    @abstractmethod
    def status(self, state: State, tags: Tags) -> Exchange[Tags | None]:
        """Return the tags of the parts that the service has, None when it has no such upload.

        Args:
            state: That of an earlier process.
            tags: Those that it knew of; where a service cannot be asked they are the answer.
        """

    @abstractmethod
    def finish(self, state: State, tags: Tags) -> Exchange[T]:
        """Make an artifact of all parts."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload has come.

    Attributes:
        state: What to go on by from now on.
        offset: Number of bytes that the service has.
    """

    state: State
    offset: int


class ResumableUpload(Upload[T]):
    """An upload of parts that follow one another."""

    @abstractmethod
    def send(self, state: State, part: PartBody) -> Exchange[Progress]:
        """Send a part from the offset that the service is at, and return how far it is then.

        The request says ``idempotent=False``, so that it is not sent again before the service was
        asked how much of it has come.
        """

    @abstractmethod
    def status(self, state: State) -> Exchange[Progress | None]:
        """Ask the service how far it is, None when it has no such upload."""

    @abstractmethod
    def finish(self, state: State) -> Exchange[T]:
        """Make an artifact of what was sent."""
