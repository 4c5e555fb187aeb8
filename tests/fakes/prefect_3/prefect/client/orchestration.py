"""The client as in ``prefect.client.orchestration``: it repeats, and it tells what was answered.

An ephemeral server is not started but expected at ``STAND_IN_EPHEMERAL_URL``.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from dataclasses import dataclass
from typing import Any, Self

import httpx

from ..settings import (  # noqa: TID252 - the package is called prefect where it is imported
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
)

_REPEATED = frozenset({408, 429, 502, 503})
_LOST = (httpx.ReadError, httpx.ReadTimeout, httpx.ConnectTimeout, httpx.RemoteProtocolError)


class PrefectHTTPStatusError(httpx.HTTPStatusError):
    """An answer that is no success, with all that it says."""


class ObjectNotFound(Exception):  # noqa: N818 - Prefect's name
    """The answer was 404."""


@dataclass
class BlockDocument:
    """A block as the server has it."""

    name: str
    data: dict[str, Any]

    @classmethod
    def model_validate(cls, answer: Any) -> Self:
        """Take the fields from an answer; the error holds what it was given, as pydantic's does."""
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
            message = f"1 validation error for BlockDocument, input_value={answer!r}"
            raise ValueError(message)  # noqa: TRY004 - as pydantic does
        return cls(answer["name"], answer["data"])


class _HttpxClient(httpx.AsyncClient):
    async def send(self, request: httpx.Request, *args: Any, **kwargs: Any) -> httpx.Response:
        """Send again after some statuses and lost connections; raise for what is no success."""
        left = int(PREFECT_CLIENT_MAX_RETRIES.value())
        wait = 2.0
        while True:
            try:
                response = await super().send(request, *args, **kwargs)
                if response.status_code not in _REPEATED or not left:
                    break
            except _LOST:
                if not left:
                    raise
            logging.getLogger("prefect.client").debug("another attempt in %s s", wait)
            await asyncio.sleep(wait)
            left, wait = left - 1, 2 * wait
        if not response.is_success:
            message = f"{response.status_code} Response: {response.text}"
            raise PrefectHTTPStatusError(message, request=request, response=response)
        return response


class PrefectClient:
    """Speaks to one server."""

    def __init__(self, api: str, httpx_settings: dict[str, Any] | None = None) -> None:
        """Prepare, and connect to nobody."""
        settings = {"follow_redirects": True, "timeout": 60.0, **(httpx_settings or {})}
        verify = PREFECT_API_TLS_INSECURE_SKIP_VERIFY.value() != "true"
        self._client = _HttpxClient(base_url=api, headers=_headers(), verify=verify, **settings)

    async def __aenter__(self) -> Self:
        """Open connections from now on."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *fault: object) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def api_healthcheck(self) -> Exception | None:
        """Return what is wrong, None for nothing."""
        try:
            await self._client.get("/health")
        except Exception as error:  # noqa: BLE001 - as Prefect does it
            return error
        return None

    async def read_block_document_by_name(
        self,
        name: str,
        block_type_slug: str,
        include_secrets: bool = True,  # noqa: FBT001, FBT002 - Prefect's signature
    ) -> BlockDocument:
        """Read one block."""
        path = f"/block_types/slug/{block_type_slug}/block_documents/name/{name}"
        try:
            answer = await self._client.get(path, params={"include_secrets": include_secrets})
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                raise ObjectNotFound from error
            raise
        return BlockDocument.model_validate(answer.json())


def get_client(httpx_settings: dict[str, Any] | None = None) -> PrefectClient:
    """Return a client for the server that the settings name; without one, start a server."""
    api = PREFECT_API_URL.value()
    if not api and PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value() == "true":
        api = os.environ["STAND_IN_EPHEMERAL_URL"]
    if not api:
        raise ValueError("No Prefect API URL provided.")
    return PrefectClient(api, httpx_settings)


def _headers() -> dict[str, str]:
    headers: dict[str, str] = dict(PREFECT_CLIENT_CUSTOM_HEADERS.value())
    if auth := PREFECT_API_AUTH_STRING.value():
        headers["Authorization"] = f"Basic {base64.b64encode(auth.encode()).decode()}"
    elif key := PREFECT_API_KEY.value():
        headers["Authorization"] = f"Bearer {key}"
    return headers
