"""Credentials that end while they are used, and clocks that disagree."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import pytest

from tests.faults.places import Place
from tests.faults.seen import Seen, download, outcome_of, upload
from tests.sending.support import HTTPX, HTTPX_ASYNC, REQUESTS, Mode
from webhook_storage import Webhook
from webhook_storage.contracts import Deadline, Found, Outcome, Resolver
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.faults.conftest import TakeRow
    from tests.fleet.nginx import Nginx
    from webhook_storage.template import Reference

modes = pytest.mark.parametrize("mode", [HTTPX, HTTPX_ASYNC, REQUESTS], ids=lambda mode: mode.name)
directions = pytest.mark.parametrize("direction", ["up", "down"])
OLD = "expired-credential"


class Renewed(Resolver):
    """Knows an expired value of each secret, and from the second question on the right one."""

    scheme: ClassVar[str] = "renewed"

    def __init__(self, secrets: Mapping[str, str], *, renews: bool) -> None:
        self._secrets, self._renews = secrets, renews
        self._asked = 0

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Give what is known now."""
        self._asked += 1
        right = self._renews and self._asked > 1
        return {
            each: Found(value=SecretValue(self._secrets[each.name] if right else OLD))
            for each in references
        }


@modes
@directions
@pytest.mark.parametrize("server", ["at_nginx", "at_swift"])
@pytest.mark.parametrize("renews", [True, False])
def test_expired_token(
    request: pytest.FixtureRequest,
    server: str,
    mode: Mode,
    direction: str,
    tmp_path: Path,
    row: TakeRow,
    *,
    renews: bool,
) -> None:
    """A token that a server no longer takes is asked for anew, once."""
    place: Place = request.getfixturevalue(server)
    resolver, storage = Renewed(place.secrets, renews=renews), place.storage()
    if direction == "up":
        seen = upload(place, mode, storage, resolver=resolver)
    else:
        seen = download(place, mode, storage, tmp_path, resolver=resolver)
    done = Seen("stored" if direction == "up" else "fetched", 2, "new")
    assert (done if renews else Seen("AuthenticationError", 1, "old")) == seen, seen
    fault = "token expired" if renews else "token expired, none newer"
    row(fault, direction, place.name, seen)


@modes
@directions
def test_clock_skew(
    nginx: Nginx, at_nginx: Place, mode: Mode, direction: str, tmp_path: Path, row: TakeRow
) -> None:
    """A signed URL that has ended by the server's clock is refused, whatever ours says."""
    key, ended = f"skewed-{mode.name}-{direction}.bin", int(time.time()) - 60
    method = "PUT" if direction == "up" else "GET"
    url, _, query = nginx.sign(method, f"{at_nginx.path}/{key}", ended).partition("?")
    signed = {"url": f"{url}?${{QUERY}}"}
    storage = Webhook(signed, "PUT", signed, "GET")
    place = Place(
        **{**vars(at_nginx), "secrets": {"QUERY": query}, "key_of": lambda _: key, "keyless": True}
    )
    if direction == "up":
        seen = upload(place, mode, storage)
    else:
        seen = download(place, mode, storage, tmp_path)
    assert Seen("ObjectNotFoundError", 1, "old") == seen, seen
    row("signed URL ended by the server's clock", direction, at_nginx.name, seen)


def report() -> str:
    """Be a flow."""
    return "31 rows"


@modes
def test_expired_flow(at_nginx: Place, mode: Mode, row: TakeRow) -> None:
    """A flow of which the time is over by our clock is not loaded."""
    storage = at_nginx.storage(with_expire_after=1e-6)
    storage.add_flow(report)
    with mode.sending(at_nginx.secrets, attempts=3):
        mode.call(storage, "build")
        act = partial(mode.call, storage, "get_flow", "report")
        outcome, attempts = outcome_of(act, "loaded", at_nginx.secrets.values())
    seen = Seen(outcome, attempts, "not loaded")
    assert Seen("ExpiredArtifactError", 1, "not loaded") == seen, seen
    row("flow ended by our clock", "down", at_nginx.name, seen)
