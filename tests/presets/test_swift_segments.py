"""Large objects of Swift: what goes with each request, and what an answer must say."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import keystone
from tests.fakes.http import Answer, Received, json_answer
from tests.fakes.keystone import FakeKeystone, Stored
from tests.sending.support import HTTPX, caught
from webhook_storage.contracts import PLAIN
from webhook_storage.errors import IntegrityError, ObjectExistsError, PermissionDeniedError
from webhook_storage_presets.swift import Swift
from webhook_storage_presets.swift.slo import SloUpload

if TYPE_CHECKING:
    from collections.abc import Iterator

OBJECT = f"/v1/AUTH_{keystone.PROJECT_ID}/c/a"
SEGMENTS = f"/v1/AUTH_{keystone.PROJECT_ID}/c_segments"
DATA = bytes(range(250)) * 10
TAGS = [hashlib.md5(DATA[at : at + 700]).hexdigest() for at in range(0, 2500, 700)]  # noqa: S324
WHOLE = hashlib.md5("".join(TAGS).encode()).hexdigest()  # noqa: S324 - Swift's


@pytest.fixture
def fake() -> Iterator[FakeKeystone]:
    """Start a fake Keystone, and let storages log in."""
    with FakeKeystone() as server, HTTPX.sending({"P": keystone.PASSWORD}, attempts=2):
        yield server


def large(fake: FakeKeystone, **options: Any) -> Swift:
    """Return a storage that stores in four segments."""
    user = {"username": keystone.USER, "password": "${P}", "project_name": keystone.PROJECT}
    auth = {"type": "keystone", "auth_url": fake.url, **user}
    return Swift(container="c", auth=auth, multipart_above=1000, part_size=700, **options)


def test_digests_and_expiry_go_with_all_of_it(fake: FakeKeystone) -> None:
    """So that nothing is stored that was altered, and no segment outlives its object."""
    large(fake, delete_after=60, metadata={"Team": "flows"}, content_type="text/x").put(DATA, "a")
    segments = [request.headers for request in fake.received(SEGMENTS, "PUT")]
    [manifest] = [request.headers for request in fake.received(OBJECT, "PUT")]
    assert {*TAGS} == {headers["etag"] for headers in segments}
    assert {"60"} == {headers["x-delete-after"] for headers in [*segments, manifest]}
    assert (WHOLE, "flows", "text/x") == (
        manifest["etag"],
        manifest["x-object-meta-team"],
        manifest["content-type"],
    )


def test_digests_go_without_an_expiry_too(fake: FakeKeystone) -> None:
    """With segments, and with an object of one piece."""
    large(fake).put(DATA, "a")
    assert {*TAGS} == {request.headers["etag"] for request in fake.received(SEGMENTS, "PUT")}
    large(fake).put(b"31 rows", "a")
    tag = hashlib.md5(b"31 rows", usedforsecurity=False).hexdigest()
    assert tag == fake.last.headers["etag"]
    assert "x-delete-after" not in fake.last.headers


@pytest.mark.parametrize("path", [SEGMENTS, OBJECT], ids=["segment", "manifest"])
def test_what_was_stored_is_compared(fake: FakeKeystone, path: str) -> None:
    """Of each segment and of the whole."""
    fake.inject(Answer(201, b"", {"Etag": "0" * 32}), path=path)
    with pytest.raises(IntegrityError, match="other bytes"):
        large(fake).put(DATA, "a")
    assert {} == fake.containers["c"]


def test_the_same_again_is_no_success(fake: FakeKeystone) -> None:
    """What somebody has created before is not ours, though it is alike; of ours nothing stays."""
    large(fake).put(DATA, "a", if_absent=True)
    before = {**fake.containers["c_segments"]}
    with pytest.raises(ObjectExistsError):
        large(fake).put(DATA, "a", if_absent=True)
    assert before == fake.containers["c_segments"]


@pytest.mark.parametrize(
    "theirs",
    [
        Stored(b"theirs", {"X-Static-Large-Object": "True"}, ("x",)),
        Stored(b"theirs", {"Etag": WHOLE}),
    ],
    ids=["other segments", "no segments"],
)
def test_what_is_in_the_way_after_trouble(fake: FakeKeystone, theirs: Stored) -> None:
    """Is ours only when it is made of such segments."""
    fake.containers["c"]["a"] = theirs
    fake.inject(Answer(503), path=OBJECT)
    with pytest.raises(ObjectExistsError):
        large(fake).put(DATA, "a", if_absent=True)


def test_only_segments_of_ones_own_are_deleted(fake: FakeKeystone) -> None:
    """Whatever a list has in it."""
    fake.containers["c_segments"]["other/00000001"] = Stored(b"theirs")
    pages = [json_answer(200, []), json_answer(200, [{"name": "other/00000001"}])]

    def listed(request: Received) -> Answer | None:
        return pages.pop() if request.method == "GET" and pages else None

    fake.inject(listed, path=SEGMENTS, times=None)
    fake.inject(Answer(403), path=OBJECT)
    with pytest.raises(PermissionDeniedError):
        large(fake).put(DATA, "a")
    assert b"theirs" == fake.containers["c_segments"]["other/00000001"].data


def test_a_container_without_segments_hides_nothing(fake: FakeKeystone) -> None:
    """When it is not there, that is what is told."""
    del fake.containers["c_segments"]
    error = caught(lambda: large(fake).put(DATA, "a"))
    assert "there is no such container" in str(error)
    assert "left at the service" not in (getattr(error, "hint", None) or "")


@pytest.mark.parametrize(
    "state", [{}, {"prefix": "../x"}, {"prefix": "0" * 31}, {"prefix": "0" * 32, "more": ""}]
)
def test_a_checkpoint_of_something_else(state: dict[str, str]) -> None:
    """Leads to no other objects."""
    api: Any = None
    assert not SloUpload(api, {}, PLAIN, 1).accepts(state)
    assert SloUpload(api, {}, PLAIN, 1).accepts({"prefix": "0" * 32})
