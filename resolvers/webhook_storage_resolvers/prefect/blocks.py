"""Secret blocks on a server of Prefect 2 or 3, read with Prefect's own client.

Facts: the source of Prefect 2.20 and 3.8, ``prefect.client.orchestration`` and
``prefect.blocks.system``; "Event hooks" of the HTTPX documentation. Prefect's client repeats a
request after some statuses and lost connections, for minutes if need be, and puts the answer into
its exceptions. So it is told not to, and every answer that is no success is taken from it before it
sees it. It also follows redirects, and takes along the headers that are meant for Prefect; so it is
told not to do that either.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
from concurrent.futures import ThreadPoolExecutor
from http.client import FORBIDDEN, NOT_FOUND, UNAUTHORIZED
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from webhook_storage.client import HttpAnswer
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.document import spell
from webhook_storage.secret import SecretValue, silenced_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from contextlib import AbstractContextManager

T = TypeVar("T")
_Refusal: TypeAlias = Unavailable | Forbidden | NotFound

_BLOCK_TYPE = "secret"
_LONGEST_HEALTH_CHECK = 10.0
_OF_A_SERVER: Mapping[str, Any] = {
    "PREFECT_API_URL": None,
    "PREFECT_API_KEY": None,
    "PREFECT_API_AUTH_STRING": None,
    "PREFECT_CLIENT_CUSTOM_HEADERS": {},
    "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": False,
}
_NO_ADDRESS = Unavailable(
    "no address: set PREFECT_API_URL, or use a profile of Prefect that has one"
)
_NO_TIME = Unavailable("there was no time left to ask")
_LATE = Unavailable("did not answer in time")
_NOT_LET_IN = Forbidden(
    "the credential is missing or wrong: check PREFECT_API_KEY or PREFECT_API_AUTH_STRING"
)
_NO_API = Unavailable("the address is not that of Prefect's API, which ends with /api")


class Server(NamedTuple):
    """The server of the active profile, or of another one.

    Attributes:
        profile: The other profile.
        allow_ephemeral: Whether Prefect may start a server when the profile has none.
    """

    profile: str | None
    allow_ephemeral: bool

    def read(self, names: Sequence[str], deadline: Deadline) -> Mapping[str, Outcome]:
        """Read blocks one by one; when one cannot be asked for, no more are."""
        if not deadline.remaining():
            return dict.fromkeys(names, _NO_TIME)

        async def ask(client: Any) -> None:
            for name in names:
                read[name] = await _read(client, name)
                if isinstance(read[name], Unavailable) or read[name] == _NOT_LET_IN:
                    break

        read: dict[str, Outcome] = {}
        trouble = self._talk(ask, deadline)
        last = trouble or (read[next(reversed(read))] if read else _LATE)
        return {name: read.get(name, last) for name in names}

    def health(self) -> str | None:
        """Return why the server cannot be asked, None when it can."""

        async def ask(client: Any) -> None:
            fault = await client.api_healthcheck()
            if fault is not None:
                raise fault

        trouble = self._talk(ask, Deadline(_LONGEST_HEALTH_CHECK))
        return None if trouble is None else trouble.detail or _NO_API.detail

    def _talk(
        self, ask: Callable[[Any], Coroutine[Any, Any, None]], deadline: Deadline
    ) -> _Refusal | None:
        """Let a coroutine talk to the server; return what kept it from doing so."""

        async def talk() -> None:
            async with asyncio.timeout(deadline.remaining()), _client() as client:
                await ask(client)

        def work() -> None:
            with silenced_logs(), self._settings():
                if not self.allow_ephemeral and not _address():
                    raise _RefusedError(_NO_ADDRESS)
                # A loop of its own, which does not become the current one of this thread.
                with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                    runner.run(talk())

        try:
            _beside_a_loop(work)
        except _RefusedError as error:
            return error.outcome
        except TimeoutError:
            return _LATE
        except Exception as error:  # noqa: BLE001 - its text may hold the credential or the answer
            return Unavailable(f"Prefect could not ask its server, {type(error).__name__}")
        return None

    def _settings(self) -> AbstractContextManager[object]:
        """Return Prefect's settings, for this thread and for a while."""
        settings = importlib.import_module("prefect.settings")
        changes: dict[Any, Any] = {}
        if self.profile is not None:
            profiles = settings.load_profiles()
            if self.profile not in profiles:
                raise _RefusedError(Unavailable(f'Prefect has no profile "{self.profile}"'))
            # What another profile or the environment says is for another server.
            own = ((getattr(settings, name, None), value) for name, value in _OF_A_SERVER.items())
            changes = {setting: value for setting, value in own if setting is not None}
            changes |= profiles[self.profile].settings
        changes[settings.PREFECT_CLIENT_MAX_RETRIES] = 0
        changed: AbstractContextManager[object] = settings.temporary_settings(changes)
        return changed


def _beside_a_loop(work: Callable[[], T]) -> T:
    """Do work that runs an event loop; in another thread when one runs in this."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1, thread_name_prefix="webhook-storage prefect") as thread:
        return thread.submit(contextvars.copy_context().run, work).result()


def _address() -> str | None:
    """Return the address of the API that Prefect's settings name."""
    address: str | None = importlib.import_module("prefect.settings").PREFECT_API_URL.value()
    return address


def _client() -> Any:
    """Return a client of Prefect for one conversation."""
    orchestration = importlib.import_module("prefect.client.orchestration")
    settings = {"follow_redirects": False, "event_hooks": {"response": [_intercept]}}
    try:
        return orchestration.get_client(httpx_settings=settings)
    except ValueError:  # neither an address nor the right to start a server
        raise _RefusedError(_NO_ADDRESS) from None


async def _intercept(response: Any) -> None:
    """Take an answer that is no success out of the client's hands."""
    if not response.is_success:
        headers = {name.lower(): value for name, value in response.headers.items()}
        body = await response.aread()
        answer = HttpAnswer(status=response.status_code, headers=headers, body=body)
        raise _RefusedError(_refusal(answer))


async def _read(client: Any, name: str) -> Outcome:
    """Read one block."""
    try:
        block = await client.read_block_document_by_name(name, _BLOCK_TYPE, include_secrets=True)
    except _RefusedError as error:
        return error.outcome
    except ValueError:  # no JSON, or no block: its text holds the answer
        return Unavailable("the answer is not one of Prefect's")
    return _outcome(block.data)


def _outcome(data: Mapping[str, Any]) -> Outcome:
    """Return the secret of a block, without the guess that ``Secret.get()`` makes."""
    if "value" not in data:
        return Invalid("the block has no value, so it is no Secret block of Prefect's")
    value = data["value"]
    if value is None:
        return NotFound("the block holds null")
    text = spell(value)
    if text is None:
        return Invalid("the block holds no text")
    return Found(value=SecretValue(text), structured=isinstance(value, dict))


class _RefusedError(Exception):
    """There is no secret, for a reason that is known. It is caught in this module.

    Attributes:
        outcome: That reason.
    """

    def __init__(self, outcome: _Refusal) -> None:
        super().__init__()
        self.outcome = outcome


def _refusal(answer: HttpAnswer) -> _Refusal:
    """Return what an answer means that is no success."""
    if answer.status == UNAUTHORIZED:
        return _NOT_LET_IN
    if answer.status == FORBIDDEN:
        return Forbidden("the credential may not read this")
    if answer.status != NOT_FOUND:
        return answer.trouble()
    document = answer.document()
    # A path that the server does not know at all is answered in the words of its framework.
    known = isinstance(document, dict) and document != {"detail": "Not Found"}
    return NotFound() if known else _NO_API
