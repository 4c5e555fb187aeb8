"""Directories with one file a secret, as container platforms and service managers mount them.

Facts: "Manage sensitive data with Docker secrets" (``/run/secrets``), "Secrets" and "Projected
volumes" of Kubernetes (names are symbolic links through ``..data``, which is swapped as a whole),
"System and Service Credentials" of systemd (``$CREDENTIALS_DIRECTORY``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import Deadline, Invalid, NotFound, Outcome, Resolver
from webhook_storage_resolvers.naming import check_list, options_of
from webhook_storage_resolvers.secret_file import read_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from webhook_storage.template import Reference


@dataclass(frozen=True, kw_only=True)
class DirectoryResolver(Resolver):
    """Secrets in files that bear their names, read at the time of asking.

    The file may be called ``API_TOKEN``, ``api_token`` or ``api-token``. One line break at its end
    is not part of the secret. A mount that its platform swaps is seen as it is now; what Kubernetes
    mounts by ``subPath`` is never renewed.

    Args:
        paths: Directories, asked in this order; None stands for ``$CREDENTIALS_DIRECTORY``, if that
            is set, and ``/run/secrets``.

    Example:
        >>> DirectoryResolver(paths=["/run/secrets"])
        DirectoryResolver(paths=('/run/secrets',))
    """

    scheme: ClassVar[str] = "directory"
    local: ClassVar[bool] = True

    paths: Sequence[str | os.PathLike[str]] | None = None

    def __post_init__(self) -> None:
        """Keep the paths as a tuple, which nobody changes."""
        if self.paths is not None:
            check_list("paths", self.paths, 'directories, for example ["/run/secrets"]')
            object.__setattr__(self, "paths", tuple(self.paths))

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Look for a file for each name."""
        return {reference: self._look_up(reference, deadline) for reference in references}

    def _look_up(self, reference: Reference, deadline: Deadline) -> Outcome:
        """Return what the first of all possible files holds."""
        options, name = options_of(reference), reference.name
        if isinstance(options, Invalid):
            return options
        if not name or name.startswith(".") or not set(name).isdisjoint("/\\\0"):
            return Invalid("the name of a file is wanted, without a path or a leading dot")
        absent = NotFound()
        for directory in self._directories():
            for candidate in dict.fromkeys((name, name.lower(), name.lower().replace("_", "-"))):
                path = os.path.join(directory, candidate)  # noqa: PTH118 - pathlib is slow
                outcome = read_secret(path, deadline, within=directory)
                if not isinstance(outcome, NotFound):
                    return outcome
                absent = outcome if outcome.detail else absent
        return absent

    def _directories(self) -> Iterator[str]:
        """Yield the directories to look in."""
        if self.paths is not None:
            yield from (os.fspath(path) for path in self.paths)
            return
        if credentials := os.environ.get("CREDENTIALS_DIRECTORY"):
            yield credentials
        yield "/run/secrets"
