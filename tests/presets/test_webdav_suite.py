"""The presets by WebDAV keep the promises of every preset, on each server."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.fakes.nextcloud import FakeNextcloud
from tests.fakes.relay import Relay
from tests.leaks import canary as canaries
from tests.presets.faults import faults
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage import LiteralSecretWarning, Storage
from webhook_storage.errors import (
    ConfigurationError,
    ConflictError,
    ObjectNotFoundError,
    WebhookStorageError,
)
from webhook_storage.testing import PresetCase, PresetSuite, canary
from webhook_storage.testing.preset_case import ODD_KEYS
from webhook_storage_presets.webdav import Nextcloud, OwnCloud, WebDAV
from webhook_storage_presets.webdav.chunks import LARGEST_CHUNK, MOST_CHUNKS, SMALLEST_CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.dav import Dav
    from tests.fleet.nginx import Nginx

PART = 64 * 1024
MEBI = 1024**2
KEYS = (
    *ODD_KEYS, "a%2Fb", "a?b#c", "[x]'\"<>&", "a:b@c", "${X}$$", "trailing ", "a.html",
    "\N{SNOWMAN}\N{GRINNING FACE}", "e\N{COMBINING ACUTE ACCENT}", "\xe9",
)  # fmt: skip
REFUSED_KEYS = ("line\nbreak", "nul\0", "../up", "a/./b", "%2e%2e/a", "/a", "a//b", "a/")

NO_URL = "A URL begins with a scheme, '://' and a host, or with one placeholder for them."
USER_IN_URL = "A URL holds no user and password; they would be shown and are not sent."
NO_QUERY = "url: the key is put behind it, so it has no query and no fragment"
NO_CLOUD = "url: it is a URL without placeholders, for example https://example.com"
NO_PARENT = "answered 409: its parent folder is missing, or a folder is in its place"
NO_USER = "user: it is the id of a user, which has no slash and is no '..'"
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def basic(user: str) -> dict[str, str]:
    """Return who asks."""
    return {"type": "basic", "username": user, "password": "${T}"}


def closed_folder(folder: Path) -> Iterator[str]:
    """Make a folder that the server may not look into, and yield its name."""
    closed = folder / f"closed-{uuid4().hex}"
    closed.mkdir()
    owner = folder.stat()
    os.chown(closed, owner.st_uid, owner.st_gid)
    closed.chmod(0)
    yield closed.name
    closed.chmod(0o700)


@dataclass(frozen=True, kw_only=True)
class _OnDisk(PresetCase):
    """A case of a server whose files can be looked at."""

    data: Path


def case_on(server: Any, storage: WebDAV, **more: Any) -> PresetCase:
    """Return what the cases on real servers have in common."""
    folder = f"t-{uuid4().hex}"
    fields: dict[str, Any] = {
        "data": server.data,
        "storage": storage.model_copy(update={"key": f"{folder}/${{artifact.key}}"}),
        "secrets": {"T": server.password},
        "wrong": {"T": canary()},
        "elsewhere": storage.model_copy(update={"url": f"{storage.url}/no/{folder}"}),
        "create_only": False,
        "replaces": False,
        "odd_keys": KEYS,
        "refused_keys": REFUSED_KEYS,
    }
    return _OnDisk(**fields | more)


class TestOnApache(PresetSuite):
    """Basic authentication, conditions that hold, and a folder that is closed."""

    @pytest.fixture
    def case(self, apache: Dav) -> Iterator[PresetCase]:
        """Stand before it, to refuse something on demand."""
        with Relay(apache.url) as relay:
            storage = WebDAV(url=relay.url, auth=basic(apache.user), conditional_writes=True)
            for closed in closed_folder(apache.data):
                yield case_on(
                    apache,
                    storage,
                    forbidden=storage.model_copy(update={"key": f"{closed}/${{artifact.key}}"}),
                    create_only=True,
                    **faults(relay),
                )

    def test_another_version_is_not_replaced(self, case: PresetCase) -> None:
        """Apache tells the version when it is asked, and it is a strong one after a second."""
        assert isinstance(case, _OnDisk)
        key = case.key()
        with case.sender():
            case.storage.put(b"1", key)
            folder = getattr(case.storage, "key", "").partition("/")[0]
            past = time.time() - 60
            os.utime(case.data / folder / key, (past, past))
            stat = case.storage.stat(key)
            assert stat is not None
            case.storage.put(b"22", key, if_unchanged=stat.version)
            with pytest.raises(ConflictError):
                case.storage.put(b"333", key, if_unchanged=stat.version)
            assert b"22" == case.storage.get(key)


class TestByDigest(PresetSuite):
    """Apache, which asks for a digest."""

    @pytest.fixture
    def case(self, apache: Dav) -> PresetCase:
        """Without conditions, which nobody has asked it to hold."""
        auth = {**basic(apache.user), "type": "digest"}
        return case_on(apache, WebDAV(url=apache.digest_url, auth=auth))


class OfSizes(PresetSuite):
    """For WsgiDAV, whose version is made of the second and the size."""

    def test_another_version_is_not_replaced(self, case: PresetCase) -> None:
        """In one second it tells artifacts of different sizes apart only."""
        key = case.key()
        with case.sender():
            first = case.storage.put(b"1", key)
            case.storage.put(b"22", key, if_unchanged=first)
            with pytest.raises(ConflictError):
                case.storage.put(b"333", key, if_unchanged=first)
            assert b"22" == case.storage.get(key)


class TestOnWsgiDav(OfSizes):
    """It tells versions when it stores, and locks files."""

    @pytest.fixture
    def case(self, wsgidav: Dav) -> Iterator[PresetCase]:
        """Stand before it, to refuse something on demand."""
        with Relay(wsgidav.url) as relay:
            storage = WebDAV(url=relay.url, auth=basic(wsgidav.user), conditional_writes=True)
            yield case_on(wsgidav, storage, create_only=True, replaces=True, **faults(relay))


class TestByLocks(OfSizes):
    """Each file is locked while it is stored."""

    @pytest.fixture
    def case(self, wsgidav: Dav) -> Iterator[PresetCase]:
        """A lock makes a file, so nothing can be created only."""
        with Relay(wsgidav.url) as relay:
            storage = WebDAV(
                url=relay.url, auth=basic(wsgidav.user), conditional_writes=True, lock=True
            )
            yield case_on(wsgidav, storage, replaces=True, **faults(relay))


class TestOnNginx(PresetSuite):
    """It holds no conditions."""

    @pytest.fixture
    def case(self, nginx: Nginx) -> Iterator[PresetCase]:
        """Stand before it, to refuse something on demand."""
        with Relay(nginx.url) as relay:
            storage = WebDAV(url=relay.url, auth=basic(nginx.user))
            yield case_on(nginx, storage, **faults(relay), elsewhere=None)


def case_of(fake: FakeNextcloud, storage: Nextcloud | OwnCloud, **more: Any) -> PresetCase:
    """Return what the cases on fakes have in common."""
    fields: dict[str, Any] = {
        "storage": storage,
        "secrets": {"T": fake.password},
        "wrong": {"T": canary()},
        "elsewhere": storage.model_copy(update={"user": "nobody"}),
        "odd_keys": KEYS,
        "refused_keys": REFUSED_KEYS,
        "largest_request": 100 * MEBI,
        **faults(fake),
    }
    return PresetCase(**fields | more)


class TestOnNextcloud(PresetSuite):
    """Chunks above a limit."""

    @pytest.fixture
    def case(self) -> Iterator[PresetCase]:
        """Start a fake."""
        with FakeNextcloud() as fake:
            storage = Nextcloud(url=fake.url, user=fake.user, password="${T}")
            limits = {"chunk_above": SMALLEST_CHUNK, "chunk_size": SMALLEST_CHUNK}
            yield case_of(
                fake,
                storage,
                parted=storage.model_copy(update=limits),
                parted_above=SMALLEST_CHUNK,
                largest=MOST_CHUNKS * LARGEST_CHUNK,
            )


class TestOnOwnCloud(PresetSuite):
    """Tus above a limit."""

    @pytest.fixture
    def case(self) -> Iterator[PresetCase]:
        """Start a fake."""
        with FakeNextcloud(owncloud=True) as fake:
            storage = OwnCloud(
                url=fake.url, user=fake.user, password="${T}", conditional_writes=True
            )
            yield case_of(
                fake,
                storage,
                parted=storage.model_copy(update={"tus_above": PART, "part_size": PART}),
                parted_above=PART,
            )


class TestClientCertificates:
    """nginx, which lets in who shows one of its own authority."""

    @modes
    @pytest.mark.parametrize("separate", [False, True])
    def test_the_right_one(self, mode: Mode, nginx: Nginx, separate: bool) -> None:  # noqa: FBT001
        """It goes with every request, and its PEM text is a secret."""
        mine = nginx.pki.client
        cert, private = mine.cert.read_text(), mine.key.read_text()
        storage = WebDAV(
            url=nginx.mtls_url,
            key=f"{uuid4().hex}/${{artifact.key}}",
            cert=("${CERT}", "${KEY}") if separate else "${BOTH}",
            verify=str(nginx.pki.ca),
        )
        assert storage == Storage.from_json(storage.to_json())
        with mode.sending({"CERT": cert, "KEY": private, "BOTH": cert + private}):
            mode.call(storage, "put", b"31 rows", "a/b")
            assert b"31 rows" == mode.call(storage, "get", "a/b")
            assert b"31 rows" == mode.call(storage.as_webhook(), "get", "a/b")
            mode.call(storage, "delete", "a/b")
            assert not mode.call(storage, "exists", "a/b")

    @modes
    @pytest.mark.parametrize("which", ["none", "foreign"])
    def test_a_wrong_one(self, mode: Mode, nginx: Nginx, which: str) -> None:
        """None, and one of another authority: nothing is stored, and nothing is said to be gone."""
        foreign = nginx.pki.foreign_client
        both = foreign.cert.read_text() + foreign.key.read_text()
        cert = {"cert": "${BOTH}"} if which == "foreign" else {}
        storage = WebDAV(url=nginx.mtls_url, verify=str(nginx.pki.ca), **cert)
        key = uuid4().hex
        with mode.sending({"BOTH": both}):
            for operation, *arguments in (("put", b"1", key), ("get", key), ("exists", key)):
                error = caught(lambda: mode.call(storage, operation, *arguments))  # noqa: B023
                assert isinstance(error, WebhookStorageError)
                assert not isinstance(error, ObjectNotFoundError)
                assert "certificate" in f"{error} {error.hint}"
                assert foreign.key.read_text() not in f"{error!r} {error.hint}"
        assert not (nginx.data / key).exists()

    def test_a_private_key_in_the_definition_is_warned_of(self) -> None:
        """It would be stored and shown."""
        with pytest.warns(LiteralSecretWarning, match="cert"):
            WebDAV(url="https://dav.example.com", cert="-----BEGIN PRIVATE KEY-----")


class TestBadInput:
    """Each ends in one clear line."""

    @pytest.mark.parametrize(
        ("kind", "fields", "line"),
        [
            (WebDAV, {"url": "dav.test/a"}, f"WebDAV.url: {NO_URL}"),
            (WebDAV, {"url": ""}, f"WebDAV.url: {NO_URL}"),
            (WebDAV, {"url": "https://a:b@dav.test"}, f"WebDAV.url: {USER_IN_URL}"),
            (WebDAV, {"url": "https://dav.test/a?b=c"}, NO_QUERY),
            (WebDAV, {"url": "https://dav.test/a#b"}, NO_QUERY),
            (WebDAV, {"url": "${BASE}?b"}, NO_QUERY),
            (
                WebDAV,
                {"key": "a//b"},
                "key: it has an empty segment, which WebDAV servers leave out",
            ),
            (WebDAV, {"key": "../a"}, "key: it has a '.' or '..' segment, which no URL keeps"),
            (Nextcloud, {"url": "cloud.test"}, NO_CLOUD),
            (Nextcloud, {"url": "${BASE}"}, NO_CLOUD),
            (Nextcloud, {"url": "https://cloud.test?a"}, NO_QUERY),
            (Nextcloud, {"user": ""}, NO_USER),
            (Nextcloud, {"user": "a/b"}, NO_USER),
            (OwnCloud, {"user": ".."}, NO_USER),
            (OwnCloud, {"user": "."}, NO_USER),
        ],
    )
    def test_a_field_that_is_wrong(
        self, kind: type[Storage], fields: dict[str, str], line: str
    ) -> None:
        """When the storage is made."""
        good = {"url": "https://a.test"} | ({} if kind is WebDAV else {"user": "me"})
        error = caught(lambda: kind(**good | fields))
        assert isinstance(error, ConfigurationError)
        assert line == str(error)

    @pytest.mark.parametrize(
        ("key", "line"),
        [
            ("a\nb", "${artifact.key} has a control character, which no object's name can hold"),
            ("../a", "${artifact.key} has a '.' or '..' segment, which no URL keeps"),
            ("a//b", "${artifact.key} has an empty segment, which WebDAV servers leave out"),
            ("/a", "${artifact.key} has an empty segment, which WebDAV servers leave out"),
        ],
    )
    @pytest.mark.parametrize("kind", [WebDAV, Nextcloud, OwnCloud])
    def test_a_key_that_is_no_path(self, kind: type[Storage], key: str, line: str) -> None:
        """Nobody is there to answer."""
        user = {} if kind is WebDAV else {"user": "me"}
        storage = kind(url="http://127.0.0.1:9", **user)
        with HTTPX.sending({}):
            for action in (lambda: storage.put(b"1", key), lambda: storage.get(key)):
                error = caught(action)
                assert isinstance(error, ConfigurationError)
                assert f"key: {line}" == str(error)

    @modes
    @pytest.mark.parametrize(
        ("fields", "line", "hint"),
        [
            ({"auth": None}, "PUT {url}/{key} answered 401 Unauthorized", "user and password"),
            (
                {"auth": {"type": "basic", "username": "alice", "password": "${MISSING}"}},
                "${MISSING} is missing (asked: mapping)",
                "environment variable MISSING",
            ),
            (
                {"auth": {"type": "basic", "username": "alice", "password": "${WRONG}"}},
                "PUT {url}/{key} answered 401 Unauthorized",
                "user and password",
            ),
            (
                {"url": "{url}/no/such"},
                f"PUT {{url}}/no/such/{{key}} {NO_PARENT}",
                "storage's URL",
            ),
            (
                {"key": "taken"},
                f"PUT {{url}}/taken {NO_PARENT}",
                "place of the file",
            ),
        ],
        ids=["nobody", "missing", "wrong", "no-folder", "a-folder"],
    )
    def test_what_apache_or_a_resolver_refuses(
        self, mode: Mode, apache: Dav, fields: dict[str, Any], line: str, hint: str
    ) -> None:
        """The line is ours, and the hint says what to do."""
        (apache.data / "taken").mkdir(exist_ok=True)
        url = fields.get("url", "{url}").replace("{url}", apache.url)
        storage = WebDAV(**{"auth": basic(apache.user), **fields, "url": url})
        with mode.sending({"T": apache.password, "WRONG": canaries.PLAIN}):
            key = None if "key" in fields else uuid4().hex
            error = caught(lambda: mode.call(storage, "put", b"1", key))
        expected = line.replace("{url}", apache.url).replace("{key}", "${artifact.key|path}")
        assert expected == str(error)
        assert hint in str(getattr(error, "hint", ""))
        assert not canaries.find(f"{error!r} {error}")
