"""Plain file servers: nginx, Apache, one that gives tokens, and one that answers with URLs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer, Received, json_answer, text_answer
from tests.fakes.oauth import CLIENT, SECRET, TokenService
from tests.fakes.relay import Relay
from tests.fakes.transfer_sh import TransferSh
from tests.leaks import canary as canaries
from tests.presets.faults import faults
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage import LiteralSecretWarning, Receipt, Storage
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    IntegrityError,
    ObjectExistsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    RedirectRefusedError,
    ResponseError,
    ServerError,
    TooLargeError,
    UnexpectedAnswerError,
    UnsafeValueError,
    WebhookStorageError,
)
from webhook_storage.testing import PresetCase, PresetSuite, canary
from webhook_storage.testing.preset_case import ODD_KEYS
from webhook_storage_presets.http_file import HttpFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.dav import Dav
    from tests.fleet.nginx import Nginx

modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)

BEARER = {"type": "bearer", "token": "${T}"}
BASIC = {"type": "basic", "username": "alice", "password": "${T}"}
REFUSED_KEYS = ("line\nbreak", "nul\0", "../up", "a/./b", "/a", "a//b", "a/")


def call(mode: Mode, storage: Any, operation: str, *args: Any, **options: Any) -> Any:
    """Carry out an operation, from a thread or from an event loop."""
    return mode.call(storage, operation, *args, **options)


# --- the whole contract --------------------------------------------------------------------------


class TestOnNginx(PresetSuite):
    """Basic authentication, and a list by the index of the folders."""

    @pytest.fixture
    def case(self, nginx: Nginx) -> Iterator[PresetCase]:
        """Nginx holds no conditions."""
        folder = uuid4().hex
        with Relay(nginx.url) as relay:
            yield PresetCase(
                storage=HttpFile(url=f"{relay.url}/{folder}", auth=BASIC, nginx_index=True),
                secrets={"T": nginx.password},
                wrong={"T": canary()},
                create_only=False,
                replaces=False,
                refused_keys=REFUSED_KEYS,
                **faults(relay),
            )


class TestOnApache(PresetSuite):
    """Digest authentication, and conditions that hold."""

    @pytest.fixture
    def case(self, apache: Dav) -> Iterator[PresetCase]:
        """Apache makes no folders, so all keys are in one; its versions are weak at first."""
        for name, mode in (("flat", 0o700), ("closed", 0)):
            (apache.data / name).mkdir(exist_ok=True)
            os.chown(apache.data / name, *_owner(apache))
            (apache.data / name).chmod(mode)
        auth = {"type": "digest", "username": apache.user, "password": "${T}"}
        with Relay(apache.digest_url.removesuffix("/digest")) as relay:
            storage = HttpFile(
                url=f"{relay.url}/digest/flat",
                key="${artifact.key}",
                auth=auth,
                conditional_writes=True,
            )
            yield _FlatCase(
                folder=apache.data / "flat",
                storage=storage,
                secrets={"T": apache.password},
                wrong={"T": canary()},
                forbidden=storage.model_copy(update={"url": f"{relay.url}/digest/closed"}),
                elsewhere=storage.model_copy(update={"url": f"{relay.url}/digest/no"}),
                replaces=False,
                lists=False,
                odd_keys=[key for key in ODD_KEYS if "/" not in key],
                refused_keys=REFUSED_KEYS,
                **faults(relay),
            )

    def test_another_version_is_not_replaced(self, case: PresetCase) -> None:
        """Apache tells the version when it is asked, and it is a strong one after a second."""
        assert isinstance(case, _FlatCase)
        key = case.key()
        with case.sender():
            case.storage.put(b"1", key)
            past = time.time() - 60
            os.utime(case.folder / key, (past, past))
            stat = case.storage.stat(key)
            assert stat is not None
            case.storage.put(b"22", key, if_unchanged=stat.version)
            with pytest.raises(ConflictError):
                case.storage.put(b"333", key, if_unchanged=stat.version)
            assert b"22" == case.storage.get(key)


def test_a_folder_is_not_deleted_by_its_name(apache: Dav) -> None:
    """Apache would remove it with all that is in it."""
    folder = apache.data / "team"
    folder.mkdir()
    folder.joinpath("a").write_bytes(b"31 rows")
    for path in (folder, folder / "a"):
        os.chown(path, *_owner(apache))
    auth = {"type": "basic", "username": apache.user, "password": "${T}"}
    storage = HttpFile(url=apache.url, key="${artifact.key}", auth=auth)
    with HTTPX.sending({"T": apache.password}):
        with pytest.raises(ObjectNotFoundError, match="there is no file"):
            storage.delete("team")
        assert b"31 rows" == folder.joinpath("a").read_bytes()
        storage.delete("team/a")
    assert [] == list(folder.iterdir())


def _owner(apache: Dav) -> tuple[int, int]:
    stat = apache.data.stat()
    return stat.st_uid, stat.st_gid


@dataclass(frozen=True, kw_only=True)
class _FlatCase(PresetCase):
    """A case whose keys are in no folder but this one."""

    folder: Path

    def key(self, name: str = "a") -> str:
        return f"{uuid4().hex}-{name}"


class TestOnTokens(PresetSuite):
    """Access tokens by client credentials."""

    @pytest.fixture
    def case(self) -> Iterator[PresetCase]:
        """Start a service that takes its own tokens only."""
        with TokenService() as service:
            auth = {
                "type": "oauth2_client_credentials",
                "token_url": service.token_url,
                "client_id": CLIENT,
                "client_secret": "${T}",
            }
            yield PresetCase(
                storage=HttpFile(url=f"{service.url}/team", auth=auth),
                secrets={"T": SECRET},
                wrong={"T": canary()},
                create_only=False,
                replaces=False,
                lists=False,
                refused_keys=REFUSED_KEYS,
                **faults(service),
            )


# --- who asks ------------------------------------------------------------------------------------


class TestCredentials:
    """Right ones and wrong ones, where servers look at them."""

    @modes
    @pytest.mark.parametrize(
        ("place", "auth", "right"),
        [
            ("bearer", BEARER, "good-token"),
            ("apikey", {"type": "api_key", "key": "${T}"}, "good-key"),
        ],
    )
    def test_nginx_lets_in_who_has_it(
        self, mode: Mode, nginx: Nginx, place: str, auth: dict[str, str], right: str
    ) -> None:
        """And nobody else."""
        storage, key = HttpFile(url=f"{nginx.url}/{place}/x", auth=auth), f"{uuid4()}/a b"
        with mode.sending({"T": right}):
            call(mode, storage, "put", b"31 rows", key)
            assert b"31 rows" == call(mode, storage, "get", key)
        with mode.sending({"T": canaries.PLAIN}):
            error = caught(lambda: call(mode, storage, "put", b"32 rows", key))
        assert isinstance(error, (AuthenticationError, PermissionDeniedError))
        assert not canaries.find(f"{error!r} {error.hint}")
        assert b"31 rows" == (nginx.data / place / "x" / key).read_bytes()

    @modes
    @pytest.mark.parametrize("right", [True, False])
    def test_a_key_in_the_query(self, mode: Mode, right: bool) -> None:  # noqa: FBT001
        """It stands behind the file's own path."""
        auth = {"type": "api_key", "key": "${T}", "place": "query", "name": "key"}
        with FileService() as service, mode.sending({"T": "a&b" if right else canaries.MIXED}):
            service.inject(
                lambda request: None if request.query.get("key") == "a&b" else Answer(403),
                times=None,
            )
            storage = HttpFile(url=service.url, auth=auth)
            if right:
                call(mode, storage, "put", b"31 rows", "x")
                assert {"/x": b"31 rows"} == service.files
                return
            error = caught(lambda: call(mode, storage, "put", b"31 rows", "x"))
            assert isinstance(error, PermissionDeniedError)
            assert not canaries.find(f"{error!r} {error.hint}")

    @modes
    @pytest.mark.parametrize("separate", [False, True])
    def test_a_client_certificate(self, mode: Mode, nginx: Nginx, separate: bool) -> None:  # noqa: FBT001
        """Its PEM text is a secret, in one piece or in two."""
        mine, key = nginx.pki.client, f"{uuid4()}/a"
        cert, private = mine.cert.read_text(), mine.key.read_text()
        secrets = {"CERT": cert, "KEY": private, "BOTH": cert + private}
        storage = HttpFile(
            url=nginx.mtls_url,
            cert=("${CERT}", "${KEY}") if separate else "${BOTH}",
            verify=str(nginx.pki.ca),
        )
        assert Storage.from_json(storage.to_json()) == storage
        with mode.sending(secrets):
            call(mode, storage, "put", b"31 rows", key)
            assert b"31 rows" == call(mode, storage, "get", key)

    @modes
    @pytest.mark.parametrize("which", ["none", "foreign"])
    def test_a_client_certificate_that_is_none(self, mode: Mode, nginx: Nginx, which: str) -> None:
        """The answer of nginx is 400, and the error says what it may mean."""
        foreign, key = nginx.pki.foreign_client, str(uuid4())
        both = foreign.cert.read_text() + foreign.key.read_text()
        cert = {"cert": "${BOTH}"} if which == "foreign" else {}
        storage = HttpFile(url=nginx.mtls_url, verify=str(nginx.pki.ca), **cert)
        with mode.sending({"BOTH": both}):
            error = caught(lambda: call(mode, storage, "put", b"31 rows", key))
        assert isinstance(error, WebhookStorageError)
        words = {"none": "give it in 'cert'", "foreign": "authority that the server trusts"}
        assert words[which] in str(error.hint)
        assert not (nginx.data / key).exists()
        assert foreign.key.read_text() not in f"{error!r} {error.hint}"

    def test_a_400_without_tls_is_about_something_else(self) -> None:
        """Where there is no TLS there is no certificate."""
        with FileService() as service, HTTPX.sending():
            service.inject(text_answer(400, ""))
            error = caught(lambda: HttpFile(url=service.url).put(b"1", "a"))
        assert isinstance(error, ResponseError)
        assert "certificate" not in str(error.hint)

    @modes
    def test_an_unknown_authority(self, mode: Mode, nginx: Nginx) -> None:
        """Nothing is sent to a server that cannot show who it is."""
        storage = HttpFile(url=nginx.tls_url, verify=str(nginx.pki.foreign_ca))
        with mode.sending(), pytest.raises(WebhookStorageError, match="certificate"):
            call(mode, storage, "put", b"31 rows", "unknown")
        assert not (nginx.data / "unknown").exists()

    @modes
    def test_a_token_that_was_taken_back_is_renewed_once(self, mode: Mode) -> None:
        """After a 401 another is got."""
        with TokenService() as service, mode.sending({"T": SECRET}):
            auth = {
                "type": "oauth2_client_credentials",
                "token_url": service.token_url,
                "client_id": CLIENT,
                "client_secret": "${T}",
            }
            storage = HttpFile(url=service.url, auth=auth)
            call(mode, storage, "put", b"31 rows", "a")
            service.take_back()
            assert b"31 rows" == call(mode, storage, "get", "a")
            assert 2 == len(service.given)


# --- whole URLs, forms, lists --------------------------------------------------------------------


class TestSignedUrls:
    """URLs that come whole, and are secrets."""

    @modes
    def test_they_are_used_as_they_are(self, mode: Mode, nginx: Nginx) -> None:
        """One stores, one fetches, one deletes."""
        path, later = f"/{uuid4()}", int(time.time()) + 60
        signed = {
            name: nginx.sign(method, path, later)
            for name, method in (("UP", "PUT"), ("DOWN", "GET"), ("GONE", "DELETE"))
        }
        storage = HttpFile(upload_url="${UP}", download_url="${DOWN}", delete_url="${GONE}")
        with mode.sending(signed):
            call(mode, storage, "put", b"31 rows")
            assert b"31 rows" == call(mode, storage, "get")
            assert call(mode, storage, "exists")
            call(mode, storage, "delete")
        assert not (nginx.data / path[1:]).exists()

    @modes
    @pytest.mark.parametrize(("seconds", "kind"), [(60, PermissionDeniedError), (-60, Exception)])
    def test_a_wrong_one_stores_nothing(
        self, mode: Mode, nginx: Nginx, seconds: int, kind: type[Exception]
    ) -> None:
        """One for another method, and one that has expired; no error shows them."""
        path = f"/{uuid4()}"
        method = "GET" if seconds > 0 else "PUT"
        url = nginx.sign(method, path, int(time.time()) + seconds)
        storage = HttpFile(upload_url="${UP}", download_url="${UP}")
        with mode.sending({"UP": url}):
            error = caught(lambda: call(mode, storage, "put", b"31 rows"))
        assert isinstance(error, ResponseError)
        assert isinstance(error, kind)
        assert path not in f"{error!r} {error.hint} {storage!r}"

    def test_a_key_is_of_no_use(self) -> None:
        """It would be ignored."""
        storage = HttpFile(upload_url="${UP}", download_url="${DOWN}")
        with HTTPX.sending({}), pytest.raises(ConfigurationError, match="key"):
            storage.put(b"", "a")


class TestForms:
    """Uploads as a file in a form."""

    @modes
    def test_the_key_is_the_file_name(self, mode: Mode) -> None:
        """The form goes to the URL itself, and what is in it has another content type."""
        seen: list[bytes] = []
        with FileService() as service, mode.sending({"T": "x"}):
            storage = HttpFile(
                url=f"{service.url}/files",
                upload_url=f"{service.url}/upload",
                form_field="file",
                form_data={"folder": "team", "token": "${T}"},
            )
            call(mode, storage, "put", b"31 rows", 'a "b"')
            seen.append(service.files["/upload"])
            service.files['/files/a "b"'] = b"31 rows"
            assert b"31 rows" == call(mode, storage, "get", 'a "b"')
            assert "POST" == service.requests[0].method
        assert b'name="folder"\r\n\r\nteam\r\n' in seen[0]
        assert b'name="file"; filename="a %22b%22"' in seen[0]
        assert b"\r\n\r\n31 rows\r\n--" in seen[0]

    @modes
    @pytest.mark.parametrize("right", [True, False])
    def test_a_field_that_is_a_credential(self, mode: Mode, right: bool) -> None:  # noqa: FBT001
        """The right one stores; a wrong one is refused, and in no error."""
        token = "right-of-this-test" if right else canaries.MIXED

        def refuse(_request: Received) -> Answer | None:
            return None if b"right-of-this-test" in service.files["/up"] else Answer(403)

        with FileService() as service, mode.sending({"T": token}):
            service.inject(refuse, path="/up", times=None, after=True)
            storage = HttpFile(
                url=service.url,
                upload_url=f"{service.url}/up",
                form_field="file",
                form_data={"token": "${T}"},
            )
            if right:
                assert 7 == call(mode, storage, "put", b"31 rows", "a").size
                return
            error = caught(lambda: call(mode, storage, "put", b"31 rows", "a"))
            assert isinstance(error, PermissionDeniedError)
            assert not canaries.find(f"{error!r} {error.hint}")

    def test_without_an_upload_url_it_goes_to_the_url(self) -> None:
        """There the server finds the file's name in the form."""
        with FileService() as service, HTTPX.sending():
            HttpFile(url=f"{service.url}/files/", form_field="f").put(b"31 rows", "a")
            assert ["/files"] == [*service.files]


class TestLists:
    """What is there, by nginx's index or by a document of the user's choice."""

    @modes
    def test_the_index_is_read_folder_by_folder(self, mode: Mode, nginx: Nginx) -> None:
        """Names as they are, also such as look encoded; of another kind of key there are none."""
        folder = str(uuid4())
        keys = ["a b", "deep/er/%41+é", "deep/x", "z&?#"]
        storage = HttpFile(
            url=f"{nginx.open_url}/{folder}", key="k/${T}/${artifact.key}.bin", nginx_index=True
        )
        with mode.sending({"T": "team"}):
            for key in keys:
                call(mode, storage, "put", b"1", key)
            (nginx.data / "open" / folder / "k" / "team" / "other.txt").write_bytes(b"")
            assert sorted(keys) == sorted(call(mode, storage, "list"))

    def test_what_was_never_stored_in_has_no_files(self, nginx: Nginx) -> None:
        """A folder is made with its first file."""
        storage = HttpFile(url=f"{nginx.open_url}/{uuid4()}", nginx_index=True)
        with HTTPX.sending():
            assert [] == storage.list()

    @pytest.mark.parametrize(
        "body",
        [
            b"{}",
            b"<html>",
            b'[{"name": "../a", "type": "file"}]',
            b'[{"name": ""}]',
            b'[{"name": "\\ud800"}]',
            b"[1]",
            b'[{"name": "of-this-test", "type": "file"}]',
        ],
    )
    def test_what_is_no_index_is_an_error(self, body: bytes) -> None:
        """Nor is one that repeats the credential."""
        with FileService() as service, HTTPX.sending({"T": "of-this-test"}):
            service.inject(Answer(200, body, {"Content-Type": "application/json"}))
            storage = HttpFile(url=service.url, auth=BEARER, nginx_index=True)
            error = caught(storage.list)
        assert isinstance(error, UnexpectedAnswerError)
        assert "autoindex" in str(error.hint)
        assert "of-this-test" not in str(error)

    def test_an_index_is_asked_for_as_all_is(self) -> None:
        """With the storage's headers and credential."""
        with FileService(token="of-this-test") as service, HTTPX.sending({"T": "of-this-test"}):
            service.inject(json_answer(200, [{"name": "a", "type": "file"}]))
            storage = HttpFile(url=service.url, auth=BEARER, headers={"X-A": "b"}, nginx_index=True)
            assert ["a"] == storage.list()
            assert ("b", "Bearer of-this-test") == (
                service.last.headers["x-a"],
                service.last.headers["authorization"],
            )

    def test_a_name_in_an_index_is_no_template(self) -> None:
        """A folder cannot name a secret that is then sent."""
        folder = [{"name": "${T}", "type": "directory"}]
        with FileService() as service, HTTPX.sending({"T": "of-this-test"}):
            service.inject(json_answer(200, folder))
            assert [] == HttpFile(url=service.url, nginx_index=True).list()
            assert "/${T}/" == service.last.path

    def test_more_folders_than_anybody_has(self) -> None:
        """One answer is enough to see it."""
        many = [{"name": str(number), "type": "directory"} for number in range(10_001)]
        with FileService() as service, HTTPX.sending():
            service.inject(json_answer(200, many), times=None)
            with pytest.raises(UnexpectedAnswerError, match="more folders"):
                HttpFile(url=service.url, nginx_index=True).list()
            assert 1 == len(service.requests)

    def test_folders_without_end_come_to_an_end(self) -> None:
        """One that leads back to itself is told."""
        entry = b'[{"name": "again", "type": "directory"}]'
        with FileService() as service, HTTPX.sending():
            service.inject(Answer(200, entry, {"Content-Type": "application/json"}), times=None)
            storage = HttpFile(url=service.url, nginx_index=True)
            with pytest.raises(UnexpectedAnswerError, match="more folders"):
                storage.list()

    @modes
    def test_a_document_of_names(self, mode: Mode) -> None:
        """They are read back through the key."""
        listing = b'{"files": [{"n": "k/a"}, {"n": "k/b/c"}, {"n": "other"}]}'
        with FileService() as service, mode.sending():
            service.files["/index.json"] = listing
            storage = HttpFile(
                url=service.url,
                key="k/${artifact.key}",
                list_url=f"{service.url}/index.json",
                list_keys="/files/*/n",
            )
            assert ["a", "b/c"] == call(mode, storage, "list")

    def test_without_either_there_is_no_list(self) -> None:
        """The error says what to give."""
        with HTTPX.sending():
            error = caught(HttpFile(url="https://files.example.com").list)
        assert isinstance(error, ConfigurationError)
        assert "nginx_index" in str(error.hint)


# --- what answers with a URL ---------------------------------------------------------------------


@pytest.fixture
def transfer() -> Iterator[TransferSh]:
    """A transfer.sh with a user."""
    with TransferSh(user="alice", password="of-this-test") as server:
        yield server


def transferring(server: TransferSh, **options: Any) -> HttpFile:
    """Return a storage there."""
    given = {"url": server.url, "auth": BASIC, "answers_with_url": True}
    return HttpFile(**{**given, **options})


T = {"T": "of-this-test"}


class TestTransferSh:
    """The server chooses the place, and the receipt knows it."""

    @modes
    def test_what_is_stored_is_fetched_by_the_receipt(
        self, mode: Mode, transfer: TransferSh
    ) -> None:
        """Also by the receipt's JSON, and by the key when the receipt is remembered."""
        storage = transferring(transfer)
        with mode.sending(T):
            receipt = call(mode, storage, "put", b"31 rows", "a b é+%25")
            again = Receipt.model_validate_json(receipt.model_dump_json())
            assert b"31 rows" == call(mode, storage, "get", again)
            assert call(mode, storage, "exists", again)
            storage.remember(receipt)
            twin = Storage.from_json(storage.to_json())
            assert b"31 rows" == call(mode, twin, "get", "a b é+%25")

    @modes
    def test_a_wrong_password_stores_nothing(self, mode: Mode, transfer: TransferSh) -> None:
        """And is in no error."""
        with mode.sending({"T": canaries.MIXED}):
            error = caught(lambda: call(mode, transferring(transfer), "put", b"31 rows", "a"))
        assert isinstance(error, AuthenticationError)
        assert not canaries.find(f"{error!r} {error.hint}")
        assert {} == transfer.files

    @modes
    def test_it_is_deleted_by_the_receipt_that_keeps_how(
        self, mode: Mode, transfer: TransferSh
    ) -> None:
        """That URL is in the receipt and in no error."""
        storage = transferring(transfer, keep_delete_url=True)
        with mode.sending(T):
            receipt = call(mode, storage, "put", b"31 rows", "a")
            (file,) = transfer.files.values()
            call(mode, storage, "delete", receipt)
            error = caught(lambda: call(mode, storage, "delete", receipt))
            assert not call(mode, storage, "exists", receipt)
        assert {} == transfer.files
        assert isinstance(error, ObjectNotFoundError)
        assert file.deletion not in f"{error!r} {error.hint} {error.__dict__}"

    def test_no_receipt_can_delete_unless_one_says_so(self, transfer: TransferSh) -> None:
        """Who may fetch may not delete by that alone."""
        storage = transferring(transfer)
        with HTTPX.sending(T):
            receipt = storage.put(b"31 rows", "a")
            (file,) = transfer.files.values()
            assert file.deletion not in receipt.model_dump_json()
            with pytest.raises(ConfigurationError, match="delete_url"):
                storage.delete(receipt)
        assert 1 == len(transfer.files)

    def test_without_a_receipt_nobody_knows_where_it_is(self, transfer: TransferSh) -> None:
        """Nothing is asked."""
        storage = transferring(transfer)
        with HTTPX.sending(T):
            for action in (lambda: storage.get("a"), lambda: storage.exists("a")):
                error = caught(action)
                assert isinstance(error, ConfigurationError)
                assert "receipt" in str(error.hint)
        assert [] == transfer.requests

    def test_a_file_that_was_fetched_often_enough_is_gone(self, transfer: TransferSh) -> None:
        """How often that is goes along with the store only."""
        storage = transferring(transfer, store_headers={"Max-Downloads": "1"})
        with HTTPX.sending(T):
            receipt = storage.put(b"31 rows", "a")
            assert b"31 rows" == storage.get(receipt)
            with pytest.raises(ObjectNotFoundError):
                storage.get(receipt)
        assert "max-downloads" not in transfer.last.headers

    def test_a_store_is_not_tried_again(self, transfer: TransferSh) -> None:
        """Each would be a file of its own, of which nobody knows the place."""
        transfer.lose_answer()
        with HTTPX.sending(T, attempts=3), pytest.raises(WebhookStorageError):
            transferring(transfer).put(b"31 rows", "a")
        assert 1 == len(transfer.files)

    @modes
    def test_a_flow_comes_back(self, mode: Mode, transfer: TransferSh) -> None:
        """By the receipts in the definition."""

        def answer() -> int:
            return 42

        storage = transferring(transfer, key="${flow.slug}.flow")
        with mode.sending(T):
            storage.add_flow(answer)
            call(mode, storage, "build")
            again = Storage.from_json(storage.to_json())
            assert 42 == call(mode, again, "get_flow", "answer")()

    @modes
    @pytest.mark.parametrize("name", ["url", "delete_url"])
    def test_a_receipt_that_leads_elsewhere_is_not_followed(
        self, mode: Mode, transfer: TransferSh, name: str
    ) -> None:
        """Somebody could have changed it, to learn the credential."""
        operation = "get" if name == "url" else "delete"
        with FileService() as thief, mode.sending(T):
            storage = transferring(transfer, keep_delete_url=True)
            receipt = call(mode, storage, "put", b"31 rows", "a")
            captures = {**receipt.captures, name: f"{thief.url}/a"}
            forged = receipt.model_copy(update={"captures": captures})
            with pytest.raises(RedirectRefusedError, match="another host"):
                call(mode, storage, operation, forged)
            assert [] == thief.requests

    @modes
    def test_a_host_that_was_named_learns_no_credential(
        self, mode: Mode, transfer: TransferSh
    ) -> None:
        """It is asked for the file, and told nothing."""
        with FileService() as files, mode.sending(T):
            transfer.told = f"http://localhost:{files.port}"
            storage = transferring(
                transfer, redirect_hosts=["localhost"], headers={"X-Own": "${T}"}
            )
            receipt = call(mode, storage, "put", b"31 rows", "a")
            files.files[f"/{next(iter(transfer.files))}/a"] = b"31 rows"
            assert b"31 rows" == call(mode, storage, "get", receipt)
        sent = files.last.headers
        assert ("authorization" in sent, "x-own" in sent) == (False, False)
        assert "of-this-test" not in f"{sent}"

    @modes
    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (b"stored", UnexpectedAnswerError),
            (b"http://files.example.com/a http://files.example.com/b", UnexpectedAnswerError),
            (b"http://files.example.com/a", RedirectRefusedError),
            (b"file:///etc/passwd", UnexpectedAnswerError),
            (b"http://127.0.0.1/of-this-test", UnsafeValueError),
            (b"", UnexpectedAnswerError),
        ],
    )
    def test_an_answer_that_is_no_url_of_the_server(
        self, mode: Mode, transfer: TransferSh, answer: bytes, kind: type[Exception]
    ) -> None:
        """There is no receipt then, and nothing of the answer is shown."""
        transfer.inject(Answer(200, answer, {"Content-Type": "text/plain"}))
        with mode.sending(T):
            error = caught(lambda: call(mode, transferring(transfer), "put", b"31 rows", "a"))
        assert isinstance(error, kind)
        assert "example.com" not in f"{error!r}"

    def test_from_tls_nothing_leads_out_of_it(self, nginx: Nginx) -> None:
        """Also on the same host."""
        storage = HttpFile(
            url=nginx.tls_url, answers_with_url=True, redirect_hosts=["*"], verify=str(nginx.pki.ca)
        )
        receipt = Receipt(
            location="x", sha256="0" * 64, size=1, build_time="x",
            captures={"url": nginx.open_url},
        )  # fmt: skip
        with HTTPX.sending(), pytest.raises(RedirectRefusedError, match="unprotected"):
            storage.get(receipt)

    def test_somebody_elses_client_is_served_by_the_fake(self, transfer: TransferSh) -> None:
        """What httpx stores ours fetches, and the other way round."""
        with HTTPX.sending(T), httpx.Client(auth=("alice", "of-this-test")) as client:
            receipt = transferring(transfer).put(b"31 rows", "a b")
            assert b"31 rows" == client.get(receipt.captures["url"]).content
            answer = client.put(f"{transfer.url}/c.txt", content=b"32 rows")
            told = {"captures": {"url": answer.text}, "sha256": sha256(b"32 rows").hexdigest()}
            assert b"32 rows" == transferring(transfer).get(receipt.model_copy(update=told))
            wrong = receipt.model_copy(update={**told, "sha256": receipt.sha256})
            with pytest.raises(IntegrityError):
                transferring(transfer).get(wrong)
            assert 200 == client.delete(answer.headers["X-Url-Delete"]).status_code
            assert 400 == client.put(f"{transfer.url}/empty", content=b"").status_code
            page = client.get(receipt.captures["url"], headers={"Accept": "text/html"})
            assert "text/html" in page.headers["content-type"]

    def test_in_plain_kwargs_a_fetch_tells_nobodys_name(self, transfer: TransferSh) -> None:
        """They cannot look where a receipt leads."""
        webhook = transferring(transfer).as_webhook()
        assert "auth" in webhook.build_request_kwargs
        assert {"url": "${receipt.url}"} == webhook.get_flow_request_kwargs
        with HTTPX.sending(T):
            assert b"31 rows" == webhook.get(webhook.put(b"31 rows", "a"))


# --- conditions, and what goes wrong -------------------------------------------------------------


class TestFaults:
    """Refusals of plain servers, with what to do about them."""

    @modes
    @pytest.mark.parametrize(
        ("code", "kind", "hint"),
        [
            (405, ResponseError, "dav_methods"),
            (413, TooLargeError, "client_max_body_size"),
            (500, ServerError, "create_full_put_path"),
            (409, ConflictError, "parent folder"),
        ],
    )
    def test_a_refusal_says_what_to_do(
        self, mode: Mode, code: int, kind: type[Exception], hint: str
    ) -> None:
        """By what the server calls it."""
        with FileService() as service, mode.sending():
            service.inject(text_answer(code, ""))
            error = caught(lambda: call(mode, HttpFile(url=service.url), "put", b"1", "a"))
        assert isinstance(error, kind)
        assert hint in str(getattr(error, "hint", ""))

    @modes
    def test_nginx_refuses_what_is_too_large(self, mode: Mode, nginx: Nginx) -> None:
        """Beyond 1 kB there."""
        storage, key = HttpFile(url=nginx.small_url), str(uuid4())
        with mode.sending():
            error = caught(lambda: call(mode, storage, "put", bytes(2000), key))
        assert isinstance(error, TooLargeError)
        assert not (nginx.data / key).exists()

    @modes
    @pytest.mark.parametrize("operation", ["get", "exists", "delete"])
    def test_a_folder_is_no_artifact(self, mode: Mode, nginx: Nginx, operation: str) -> None:
        """The server would lead on to a list of what is in it."""
        storage, key = HttpFile(url=nginx.url, auth=BASIC, nginx_index=True), str(uuid4())
        with mode.sending({"T": nginx.password}):
            call(mode, storage, "put", b"31 rows", f"{key}/a")
            with pytest.raises(ResponseError):
                call(mode, storage, operation, key)
            assert b"31 rows" == call(mode, storage, "get", f"{key}/a")

    def test_apache_says_when_a_folder_is_missing(self, apache: Dav) -> None:
        """Its 409 is no conflict with an artifact."""
        storage = HttpFile(url=f"{apache.url}/{uuid4()}", auth=BASIC, conditional_writes=True)
        with HTTPX.sending({"T": apache.password}):
            error = caught(lambda: storage.put(b"1", "a", if_absent=True))
        assert isinstance(error, ConflictError)
        assert not isinstance(error, ObjectExistsError)
        assert "parent" in str(error.hint)

    @modes
    def test_a_lost_answer_is_no_conflict_with_oneself(self, mode: Mode) -> None:
        """What is there is what was to be created."""
        with FileService() as service, mode.sending(attempts=3):
            storage = HttpFile(url=service.url, conditional_writes=True)
            service.lose_answer()
            service.inject(lambda request: _exists(service, request), times=None)
            receipt = call(mode, storage, "put", b"31 rows", "a", if_absent=True)
            assert b"31 rows" == call(mode, storage, "get", receipt)
            with pytest.raises(ObjectExistsError):
                call(mode, storage, "put", b"32 rows", "a", if_absent=True)

    @modes
    def test_a_checksum_goes_along(self, mode: Mode) -> None:
        """In the header that the server knows."""
        with FileService() as service, mode.sending():
            call(
                mode, HttpFile(url=service.url, checksum="Content-MD5"), "put", b"hello world", "a"
            )
            assert "XrY7u+Ae7tCTyyK7j1rNww==" == service.last.headers["content-md5"]

    @modes
    @pytest.mark.parametrize("named", [True, False])
    def test_a_redirect_on_the_same_host(self, mode: Mode, named: bool) -> None:  # noqa: FBT001
        """It is followed with the credential, once somebody named the host."""
        with FileService(token="of-this-test") as near, mode.sending({"T": "of-this-test"}):
            near.files["/moved"] = b"31 rows"
            near.inject(Answer(307, headers={"Location": f"{near.url}/moved"}), path="/a")
            hosts = ["127.0.0.1"] if named else []
            storage = HttpFile(url=near.url, auth=BEARER, redirect_hosts=hosts)
            if named:
                assert b"31 rows" == call(mode, storage, "get", "a")
                return
            error = caught(lambda: call(mode, storage, "get", "a"))
            assert isinstance(error, RedirectRefusedError)
            assert "folder" in str(error.hint)

    @modes
    @pytest.mark.parametrize("named", [True, False])
    def test_a_redirect_leaves_the_credential_behind(self, mode: Mode, named: bool) -> None:  # noqa: FBT001
        """It is followed only to a host that was named."""
        with FileService() as far, FileService() as near, mode.sending({"T": "of-this-test"}):
            far.files["/moved"] = b"31 rows"
            moved = {"Location": f"http://localhost:{far.port}/moved"}
            near.inject(Answer(302, headers=moved), times=None)
            hosts = ["localhost"] if named else []
            storage = HttpFile(url=near.url, auth=BEARER, redirect_hosts=hosts)
            if not named:
                with pytest.raises(RedirectRefusedError):
                    call(mode, storage, "get", "a")
                assert [] == far.requests
                return
            assert b"31 rows" == call(mode, storage, "get", "a")
            assert "authorization" not in far.last.headers


def _exists(service: FileService, request: Any) -> Answer | None:
    """Refuse to replace what is there."""
    wanted = request.headers.get("if-none-match") == "*"
    return text_answer(412, "") if wanted and request.path in service.files else None


MISSING = "${MISSING} is missing (asked: mapping)"
EMPTY = "key: ${artifact.key} has an empty name, which a file server leaves out"
KEY = "${artifact.key|path}"


class TestBadInput:
    """Each ends in one clear line."""

    @pytest.mark.parametrize(
        ("key", "line"),
        [
            (
                "a\nb",
                "key: ${artifact.key} has a control character, which no object's name can hold",
            ),
            ("../a", "key: ${artifact.key} has a '.' or '..' segment, which no URL keeps"),
            ("a//b", EMPTY),
            ("/a", EMPTY),
            ("a/", EMPTY),
        ],
    )
    @pytest.mark.parametrize("operation", ["put", "get", "exists", "delete"])
    def test_a_key_that_is_no_file(self, key: str, line: str, operation: str) -> None:
        """Nobody is there to answer."""
        storage = HttpFile(url="http://127.0.0.1:9")
        arguments = (b"1", key) if operation == "put" else (key,)
        with HTTPX.sending():
            error = caught(lambda: getattr(storage, operation)(*arguments))
        assert isinstance(error, ConfigurationError)
        assert line == str(error)

    @modes
    @pytest.mark.parametrize(
        ("fields", "line", "hint"),
        [
            ({"auth": None}, "PUT {url}/{key} answered 401 Unauthorized", "credential"),
            ({"auth": {**BASIC, "password": "${MISSING}"}}, MISSING, "variable MISSING"),
            (
                {"auth": {**BASIC, "password": "${WRONG}"}},
                "PUT {url}/{key} answered 401 Unauthorized",
                "credential",
            ),
            ({"url": "{url}/no"}, "PUT {url}/no/{key} answered 409 Conflict", "parent folder"),
            ({"cert": "${MISSING}"}, MISSING, "variable MISSING"),
        ],
        ids=["nobody", "missing", "wrong", "no-folder", "no-certificate"],
    )
    def test_what_apache_or_a_resolver_refuses(
        self, mode: Mode, apache: Dav, fields: dict[str, Any], line: str, hint: str
    ) -> None:
        """The line is ours, and the hint says what to do."""
        url = fields.get("url", "{url}").replace("{url}", apache.url)
        storage = HttpFile(**{"auth": BASIC, **fields, "url": url})
        with mode.sending({"T": apache.password, "WRONG": canaries.PLAIN}):
            error = caught(lambda: call(mode, storage, "put", b"1", str(uuid4())))
        assert line.replace("{url}", apache.url).replace("{key}", KEY) == str(error)
        assert hint in str(getattr(error, "hint", ""))
        assert not canaries.find(f"{error!r} {error}")


# --- the definition ------------------------------------------------------------------------------


class TestDefinition:
    """What can be said, and what cannot."""

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({}, "'url'"),
            ({"upload_url": "${UP}"}, "download_url"),
            ({"url": "https://h/a?b=c"}, "without a query"),
            ({"url": "h/a"}, "a URL with a host"),
            ({"url": "https://"}, "a URL with a host"),
            ({"url": "https://h", "key": "/a"}, "empty name"),
            ({"url": "https://h", "key": "a//${artifact.key}"}, "empty name"),
            ({"url": "https://h", "key": "../${artifact.key}"}, "segment"),
            ({"url": "https://h", "key": "a/"}, "ends with a name"),
            ({"url": "https://h", "form_data": {"a": "b"}}, "form_field"),
            ({"url": "https://h", "form_field": "f", "method": "PUT"}, "POST"),
            ({"url": "https://h", "form_field": "f", "checksum": "Content-MD5"}, "checksum"),
            ({"url": "https://h", "nginx_index": True, "list_url": "https://h"}, "contradict"),
            ({"url": "https://h", "keep_delete_url": True}, "answers_with_url"),
            ({"url": "${BASE}", "answers_with_url": True}, "written out"),
            (
                {"url": "https://h", "answers_with_url": True, "conditional_writes": True},
                "contradict",
            ),
            ({"url": "https://h", "auth": {"type": "beerer"}}, "bearer"),
            ({"url": "https://h", "cert": 3}, "valid"),
            (
                {"upload_url": "${U}", "download_url": "${D}", "nginx_index": True},
                "below 'url'",
            ),
        ],
    )
    def test_what_cannot_be_is_refused(self, fields: dict[str, Any], words: str) -> None:
        """When the storage is made."""
        with pytest.raises(ConfigurationError, match=words):
            HttpFile(**fields)

    @pytest.mark.parametrize(
        "fields",
        [
            {"auth": {"type": "bearer", "token": "in the clear"}},
            {"headers": {"Authorization": "in the clear"}},
            {"cert": "-----BEGIN PRIVATE KEY-----"},
        ],
    )
    def test_a_literal_secret_is_warned_of(self, fields: dict[str, Any]) -> None:
        """It would be stored and shown."""
        with pytest.warns(LiteralSecretWarning):
            HttpFile(url="https://files.example.com", **fields)

    def test_every_field_is_described(self) -> None:
        """The command line and the JSON schema are made of it."""
        assert [] == [
            name for name, field in HttpFile.model_fields.items() if not field.description
        ]

    @modes
    def test_plain_kwargs_store_the_same_files(self, mode: Mode, nginx: Nginx) -> None:
        """Each fetches what the other stored, and their JSON says no secret."""
        preset = HttpFile(url=f"{nginx.url}/bearer/{uuid4()}", auth=BEARER, headers={"X-A": "b"})
        webhook = Storage.from_json(preset.as_webhook().to_json())
        with mode.sending({"T": nginx.token}):
            call(mode, preset, "put", b"1", "a b")
            call(mode, webhook, "put", b"2", "b/%25")
            assert (b"2", b"1") == (
                call(mode, preset, "get", "b/%25"),
                call(mode, webhook, "get", "a b"),
            )
            call(mode, webhook, "delete", "a b")
            assert not call(mode, preset, "exists", "a b")
        assert nginx.token not in webhook.to_json()

    def test_the_beginning_of_the_url_may_be_a_secret(self, nginx: Nginx) -> None:
        """Then it is in no definition and no receipt."""
        storage = HttpFile(url="${BASE}", key="k/${artifact.key}")
        with HTTPX.sending({"BASE": f"{nginx.open_url}/{uuid4()}"}):
            receipt = storage.put(b"1", "a")
            assert b"1" == storage.get(receipt)
        assert "${BASE}/k/${artifact.key|path}" == receipt.location
