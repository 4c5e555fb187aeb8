"""The requests that Artifactory takes, for files and for what it tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webhook_storage.contracts import Exchange, Facts, Request, Response
from webhook_storage_presets.artifactory.answers import REFUSALS, refusal
from webhook_storage_presets.artifactory.names import check_name, in_matrix
from webhook_storage_presets.keys import check_facts, in_url, key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from webhook_storage.contracts import Auth


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Makes requests to one repository.

    Attributes:
        url: URL of Artifactory, with no slash at its end.
        repository: Key of the repository.
        key: Template of the key, None for the usual one.
        properties: What a file gets when it is stored.
        auth: Who sends it; None for nobody.
        common: Arguments of every request.
    """

    url: str
    repository: str
    key: str | None
    properties: Mapping[str, str]
    auth: Auth | None
    common: Mapping[str, Any]

    def file(self, facts: Facts) -> str:
        """Return the template of a file's URL."""
        return f"{self.url}/{self._path(facts)}"

    def stored(self, facts: Facts) -> str:
        """Return the template of the URL of a store, which has the properties too."""
        for text in self.properties.values():
            check_facts(text, facts, field="properties")
        return f"{self.file(facts)}{in_matrix(self.properties)}"

    def told(self, facts: Facts) -> str:
        """Return the template of the URL at which Artifactory tells of a file."""
        return f"{self.url}/api/storage/{self._path(facts)}"

    @property
    def root(self) -> str:
        """Return the template of the URL at which Artifactory tells of the repository."""
        return f"{self.url}/api/storage/{self.repository}"

    def _path(self, facts: Facts) -> str:
        key = key_of(self.key, facts)
        check_name(key, facts)
        return f"{self.repository}/{in_url(key)}"

    def request(
        self,
        method: str,
        url: str,
        facts: Facts,
        *,
        also: frozenset[int] = frozenset(),
        **more: Any,
    ) -> Request:
        """Return a request.

        Args:
            method: Its HTTP method.
            url: Template of its URL.
            facts: Those of the operation.
            also: Statuses that come back besides the refusals.
            **more: Further arguments of the request.
        """
        return Request(
            method=method,
            url=url,
            auth=self.auth,
            returns=REFUSALS | also,
            allow_html=method in {"GET", "HEAD"},  # a file can be a page
            facts=facts,
            **self.common,
            **more,
        )

    def call(self, request: Request, *, also: Collection[int] = ()) -> Exchange[Response]:
        """Send a request and return its answer.

        Args:
            request: The request.
            also: Statuses that are no refusal.

        Raises:
            WebhookStorageError: What a refusal means.
        """
        response: Response = yield request
        if response.status in REFUSALS and response.status not in also:
            raise refusal(request, response)
        return response
