"""Artifactory against a fake that a client of it accepts, and a cloud that it redirects to."""

from __future__ import annotations

import hashlib
import json
import pickle
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.artifactory import FakeArtifactory, FakeCloud, File
from tests.fakes.http import Answer, json_answer
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage import LiteralSecretWarning, Storage
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
    TooLargeError,
    UnexpectedAnswerError,
    WebhookStorageError,
)
from webhook_storage.testing import PresetCase, PresetSuite, canary
from webhook_storage_presets.artifactory import Artifactory

if TYPE_CHECKING:
    from pathlib import Path

Make = Callable[..., Artifactory]

TOKEN = canary()
SECRETS = {"ARTIFACTORY_TOKEN": TOKEN}
KEYS = (
    "with space", "a+b", "a&b=c", "100%", "50%25", "ümläut/ß", "κλειδί", "~t(1)!*'", "a,b#c?d",
    "x/y/z", "a.sha1/b", "${HOME}",
)  # fmt: skip
REFUSED_KEYS = (
    "line\nbreak", "nul\0", "../up", "a/./b", "/a", "a//b", "a/", "a;b=c", "a.sha1", "a.MD5",
    "a.sha256",
)  # fmt: skip
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def fake() -> Iterator[FakeArtifactory]:
    """Start a fake Artifactory."""
    with FakeArtifactory(token=TOKEN) as server:
        yield server


@pytest.fixture
def cloud(fake: FakeArtifactory) -> Iterator[FakeCloud]:
    """Start the cloud that Artifactory redirects downloads to."""
    with FakeCloud(fake) as server:
        fake.cloud = server.url
        yield server


@pytest.fixture
def make(fake: FakeArtifactory) -> Make:
    """Return a maker of storages on the fake."""

    def build(**options: Any) -> Artifactory:
        return Artifactory(**{"url": fake.base, "repository": "generic", **options})

    return build


@pytest.fixture
def _sending() -> Iterator[None]:
    with HTTPX.sending(SECRETS):
        yield


def _run(mode: Mode, storage: Storage, operation: str, *args: Any) -> Any:
    return mode.call(storage, operation, *args)


class TestContract(PresetSuite):
    """The whole contract; Artifactory holds no conditions."""

    @pytest.fixture
    def case(self, fake: FakeArtifactory, make: Make) -> PresetCase:
        """Trouble meets the next store."""
        return PresetCase(
            storage=make(),
            secrets=SECRETS,
            wrong={"ARTIFACTORY_TOKEN": canary()},
            forbidden=make(repository="hidden"),
            elsewhere=make(repository="nobody-has-made-this"),
            create_only=False,
            replaces=False,
            odd_keys=KEYS,
            refused_keys=REFUSED_KEYS,
            trouble=lambda status: fake.inject(Answer(status)),
            lose=fake.lose_answer,
        )


class TestContractByChecksum(PresetSuite):
    """The same, when Artifactory is asked first whether it has the bytes."""

    @pytest.fixture
    def case(self, fake: FakeArtifactory, make: Make) -> PresetCase:
        """Another way to store, and the same to fetch."""
        return PresetCase(
            storage=make(checksum_deploy=True, key="a b/${artifact.key}.bin"),
            secrets=SECRETS,
            wrong={"ARTIFACTORY_TOKEN": canary()},
            forbidden=make(repository="hidden", checksum_deploy=True),
            elsewhere=make(repository="nobody-has-made-this", checksum_deploy=True),
            create_only=False,
            replaces=False,
            odd_keys=KEYS,
            refused_keys=("line\nbreak", "nul\0", "../up", "a/./b", "/a", "a//b", "a;b=c"),
            trouble=lambda status: fake.inject(Answer(status)),
            lose=fake.lose_answer,
        )


class TestStore:
    """What a store sends, and what it makes of the answer."""

    @modes
    def test_sends_checksums_and_properties(
        self, fake: FakeArtifactory, make: Make, mode: Mode
    ) -> None:
        """Semicolons and equals signs of properties are their own; values are encoded."""
        properties = {"stage": "a;b=c, d/é", "by": "${artifact.key}", "size": "${artifact.size}"}
        with mode.sending(SECRETS):
            receipt = _run(mode, make(properties=properties), "put", b"31 rows", "x/y z")
        assert (
            "/artifactory/generic/x/y%20z;stage=a%3Bb%3Dc%2C%20d%2F%C3%A9;by=x%2Fy%20z;size=7"
            == fake.last.target
        )
        assert {"stage": ["a;b=c, d/é"], "by": ["x/y z"], "size": ["7"]} == (
            fake.files["generic", "x/y z"].properties
        )
        digests = {name: hashlib.new(name, b"31 rows").hexdigest() for name in ("sha1", "sha256")}
        sent = {name: fake.last.headers[f"x-checksum-{name}"] for name in digests}
        assert (digests, digests["sha1"]) == (sent, receipt.version)
        assert ";" not in receipt.location

    @pytest.mark.usefixtures("_sending")
    def test_never_unpacks_and_deploys_by_checksum_only_when_asked(
        self, fake: FakeArtifactory, make: Make
    ) -> None:
        """Headers that change what is done with the bytes are not there."""
        make().put(b"PK", "a.zip")
        unwanted = {"x-explode-archive", "x-explode-archive-atomic", "x-checksum-deploy"}
        assert (set(), 0) == (unwanted & set(fake.last.headers), fake.exploded)

    @pytest.mark.usefixtures("_sending")
    def test_known_bytes_are_not_sent_again(self, fake: FakeArtifactory, make: Make) -> None:
        """Artifactory copies them; properties go with it."""
        fake.files["other", "somewhere"] = File(b"31 rows")
        make(checksum_deploy=True, properties={"a": "b"}).put(b"31 rows", "k")
        assert (1, 0) == (len(fake.requests), fake.last.size)
        assert ({"a": ["b"]}, b"31 rows") == (
            fake.files["generic", "k"].properties,
            fake.read("k"),
        )

    @pytest.mark.usefixtures("_sending")
    def test_unknown_bytes_are_sent(self, fake: FakeArtifactory, make: Make) -> None:
        """After the 404 the artifact goes in the usual way."""
        make(checksum_deploy=True).put(b"31 rows", "k")
        asked = [request.headers.get("x-checksum-deploy") for request in fake.requests]
        assert ([0, 7], ["true", None]) == ([one.size for one in fake.requests], asked)

    @pytest.mark.usefixtures("_sending")
    def test_altered_bytes_are_not_stored(self, fake: FakeArtifactory, make: Make) -> None:
        """Artifactory compares the checksums, and says so by a 409."""
        fake.alter = True
        error = caught(lambda: make().put(b"31 rows", "k"))
        assert (IntegrityError, {}) == (type(error), fake.files)

    @pytest.mark.parametrize(
        ("item", "kind"),
        [
            ({"checksums": {"sha256": "0" * 64}}, IntegrityError),
            ({"checksums": {"sha1": "0" * 40}}, IntegrityError),
            ({"checksums": {"md5": "0" * 32}}, UnexpectedAnswerError),
            ({"checksums": "none"}, UnexpectedAnswerError),
            ([], UnexpectedAnswerError),
            ({"checksums": {"sha1": File(b"x").checksums["sha1"]}, "size": "2"}, IntegrityError),
        ],
    )
    @pytest.mark.usefixtures("_sending")
    def test_the_answer_is_compared(
        self, fake: FakeArtifactory, make: Make, item: object, kind: type[Exception]
    ) -> None:
        """An answer of other bytes, and one that says nothing of them, is no success."""
        fake.inject(json_answer(201, item))
        assert kind is type(caught(lambda: make().put(b"x", "k")))

    @pytest.mark.parametrize("size", [None, 1, "one", True])
    @pytest.mark.usefixtures("_sending")
    def test_an_answer_without_a_size_is_enough(
        self, fake: FakeArtifactory, make: Make, size: object
    ) -> None:
        """The checksums are right; a size counts where it is one."""
        item = {"checksums": {"sha256": File(b"x").checksums["sha256"].upper()}, "size": size}
        fake.inject(json_answer(201, item))
        assert File(b"x").checksums["sha1"] == make().put(b"x", "k").version

    @pytest.mark.usefixtures("_sending")
    def test_a_login_page_is_no_success(self, fake: FakeArtifactory, make: Make) -> None:
        """Neither for a store nor for a fetch, a question or a list."""
        page = Answer(200, b"<html>Log in</html>", {"Content-Type": "text/html"})
        fake.inject(page, times=None)
        storage = make()
        actions: list[Callable[[], object]] = [
            lambda: storage.put(b"x", "k"),
            lambda: storage.get("k"),
            lambda: storage.stat("k"),
            storage.list,
        ]
        assert [UnexpectedAnswerError] * 4 == [type(caught(action)) for action in actions]

    @pytest.mark.parametrize("options", [{"if_absent": True}, {"if_unchanged": "0" * 40}])
    @pytest.mark.usefixtures("_sending")
    def test_conditions_are_refused(
        self, fake: FakeArtifactory, make: Make, options: dict[str, Any]
    ) -> None:
        """Nothing is sent."""
        with pytest.raises(ConfigurationError, match="on a condition"):
            make().put(b"x", "k", **options)
        assert [] == fake.requests

    @modes
    def test_a_lost_answer_is_no_refusal(
        self, fake: FakeArtifactory, make: Make, mode: Mode
    ) -> None:
        """Who may not replace has stored it by the first attempt."""
        fake.may_overwrite = False
        fake.lose_answer()
        with mode.sending(SECRETS, attempts=2):
            _run(mode, make(), "put", b"31 rows", "k")
        assert (b"31 rows", 2) == (fake.read("k"), len(fake.received(method="PUT")))

    def test_other_bytes_in_the_way_are_a_refusal(self, fake: FakeArtifactory, make: Make) -> None:
        """After a failed attempt too."""
        fake.may_overwrite = False
        fake.files["generic", "k"] = File(b"others")
        fake.inject(Answer(503))
        with HTTPX.sending(SECRETS, attempts=2):
            error = caught(lambda: make().put(b"31 rows", "k"))
        assert (PermissionDeniedError, b"others") == (type(error), fake.read("k"))

    @pytest.mark.usefixtures("_sending")
    def test_the_same_bytes_of_somebody_else_are_a_refusal(
        self, fake: FakeArtifactory, make: Make
    ) -> None:
        """The first attempt was refused, so it has not stored them."""
        fake.may_overwrite = False
        fake.files["generic", "k"] = File(b"31 rows")
        error = caught(lambda: make().put(b"31 rows", "k"))
        assert (PermissionDeniedError, 1) == (type(error), len(fake.requests))

    @pytest.mark.usefixtures("_sending")
    def test_a_file_of_many_megabytes(
        self, fake: FakeArtifactory, make: Make, tmp_path: Path
    ) -> None:
        """It goes and comes in one request; what the server does not take is too large."""
        (tmp_path / "in").write_bytes(bytes(range(256)) * 40_000)
        receipt = make().put(tmp_path / "in", "k")
        make().download(tmp_path / "out", receipt)
        assert (tmp_path / "in").read_bytes() == (tmp_path / "out").read_bytes()
        with (tmp_path / "in").open("r+b") as file:
            file.truncate(64 * 1024 * 1024 + 1)
        error = caught(lambda: make().put(tmp_path / "in", "k"))
        assert (TooLargeError, receipt.size) == (type(error), len(fake.read("k")))


class TestRefusals:
    """What a status and its message mean."""

    @pytest.mark.parametrize(
        ("repository", "kind", "words"),
        [
            ("remote", ResponseError, "nothing can be stored there"),
            ("missing", ResponseError, "no such repository"),
            ("hidden", PermissionDeniedError, "may not do this"),
        ],
    )
    @pytest.mark.usefixtures("_sending")
    def test_of_a_store(
        self, make: Make, repository: str, kind: type[ResponseError], words: str
    ) -> None:
        """Each kind of repository has its own words, and a hint."""
        with pytest.raises(ResponseError, match=words) as raised:
            make(repository=repository).put(b"x", "k")
        assert (kind, True) == (type(raised.value), bool(raised.value.hint))

    @pytest.mark.usefixtures("_sending")
    def test_of_an_overwrite(self, fake: FakeArtifactory, make: Make) -> None:
        """It is told from other missing rights."""
        fake.files["generic", "k"] = File(b"1")
        fake.may_overwrite = False
        with pytest.raises(PermissionDeniedError, match="there already"):
            make().put(b"2", "k")
        assert b"1" == fake.read("k")

    @pytest.mark.parametrize(
        ("status", "kind"), [(400, ResponseError), (409, ConflictError), (413, TooLargeError)]
    )
    @pytest.mark.usefixtures("_sending")
    def test_show_no_message(
        self, fake: FakeArtifactory, make: Make, status: int, kind: type[Exception]
    ) -> None:
        """What Artifactory writes into its errors is not repeated."""
        said = {"errors": [{"status": status, "message": "the policy of Zaphod"}, 7], "x": 1}
        fake.inject(json_answer(status, said))
        error = caught(lambda: make().put(b"x", "k"))
        assert (kind, False) == (type(error), "Zaphod" in f"{error} {error!r}")

    @pytest.mark.usefixtures("_sending")
    def test_of_a_deletion(self, fake: FakeArtifactory, make: Make) -> None:
        """The words of a store are not those of a deletion, though the right is the same."""
        fake.files["generic", "k"] = File(b"1")
        said = {"errors": [{"status": 403, "message": "'builder' needs DELETE permission"}]}
        fake.inject(lambda one: json_answer(403, said) if one.method == "DELETE" else None, times=2)
        with pytest.raises(PermissionDeniedError, match="may not do this there"):
            make().delete("k")
        assert b"1" == fake.read("k")

    @pytest.mark.parametrize(
        "errors", [None, "text", [None], [{"message": None}], [{"message": 7}], {"message": "x"}]
    )
    @pytest.mark.usefixtures("_sending")
    def test_of_an_odd_form(self, fake: FakeArtifactory, make: Make, errors: object) -> None:
        """The status tells enough."""
        fake.inject(json_answer(403, {"errors": errors}))
        with pytest.raises(PermissionDeniedError, match="may not do this there"):
            make().put(b"x", "k")

    @pytest.mark.usefixtures("_sending")
    def test_of_a_list(self, fake: FakeArtifactory, make: Make) -> None:
        """The open-source edition has no list, and a repository that is not there neither."""
        with pytest.raises(ResponseError, match="no such repository"):
            make(repository="missing").list()
        with pytest.raises(PermissionDeniedError):
            make(repository="hidden").list()
        assert [] == make(key="new/${artifact.key}").list()
        fake.pro = False
        with pytest.raises(ResponseError, match="does not list"):
            make().list()


class TestWhatIsThere:
    """Questions, deletions and lists."""

    @modes
    def test_stat_says_what_is_stored(self, fake: FakeArtifactory, make: Make, mode: Mode) -> None:
        """By one HEAD."""
        fake.files["generic", "k"] = File(b"31 rows")
        with mode.sending(SECRETS):
            found = _run(mode, make(), "stat", "k")
        assert (7, File(b"31 rows").checksums["sha1"]) == (found.size, found.version)
        assert ["HEAD"] == [request.method for request in fake.requests]

    @pytest.mark.usefixtures("_sending")
    def test_a_folder_is_no_artifact(self, fake: FakeArtifactory, make: Make) -> None:
        """It is not there, and it is not deleted with all that is in it."""
        fake.files["generic", "a/b"] = File(b"1")
        storage = make()
        assert (None, False) == (storage.stat("a"), storage.exists("a"))
        with pytest.raises(ObjectNotFoundError):
            storage.delete("a")
        assert b"1" == fake.read("a/b")

    @pytest.mark.usefixtures("_sending")
    def test_what_goes_in_between_is_missing(self, fake: FakeArtifactory, make: Make) -> None:
        """Somebody else deletes it between two requests."""
        fake.files["generic", "k"] = File(b"1")
        gone = json_answer(404, {"errors": [{"status": 404, "message": "File not found."}]})
        fake.inject(lambda one: gone if one.method == "DELETE" else None, times=2)
        with pytest.raises(ObjectNotFoundError, match="answered 404"):
            make().delete("k")
        fake.inject(Answer(302, b"", {"Location": "/elsewhere"}))
        assert make().stat("another") is None

    def test_a_lost_answer_to_a_delete_is_no_error(self, fake: FakeArtifactory, make: Make) -> None:
        """The second attempt finds nothing, and that is what was wanted."""
        fake.files["generic", "k"] = File(b"1")
        lost = Answer(0)
        fake.inject(lambda one: lost if one.method == "DELETE" else None, times=2, after=True)
        with HTTPX.sending(SECRETS, attempts=2):
            make().delete("k")
        assert ({}, 2) == (fake.files, len(fake.received(method="DELETE")))

    @pytest.mark.parametrize("folder", [True, "true"])
    @pytest.mark.usefixtures("_sending")
    def test_a_list_leaves_folders_out(
        self, fake: FakeArtifactory, make: Make, folder: object
    ) -> None:
        """However they are told from files."""
        files = [{"uri": "/a", "folder": folder}, {"uri": "/a/b"}, {"uri": "/c", "folder": None}]
        fake.inject(json_answer(200, {"files": files}))
        assert ["a/b", "c"] == make().list()

    @pytest.mark.parametrize(
        "files", [None, "a", {"uri": "/a"}, ["a"], [None], [{}], [{"uri": None}], [{"uri": True}]]
    )
    @pytest.mark.usefixtures("_sending")
    def test_what_is_no_list_is_refused(
        self, fake: FakeArtifactory, make: Make, files: object
    ) -> None:
        """A file that is left out would seem to be gone."""
        fake.inject(json_answer(200, {"files": files}))
        with pytest.raises(UnexpectedAnswerError, match="with no list of files"):
            make().list()

    @pytest.mark.parametrize(
        "item",
        [
            [],
            {"children": None},
            {"checksums": {"sha1": "0" * 39}},
            {"checksums": {"sha1": None}},
            {"checksums": {"sha1": "0" * 40}, "mimeType": TOKEN},
        ],
        ids=["array", "no folder", "short", "null", "echo"],
    )
    @pytest.mark.usefixtures("_sending")
    def test_what_is_neither_file_nor_folder(
        self, fake: FakeArtifactory, make: Make, item: object
    ) -> None:
        """Where headers do not tell, the storage API must."""
        fake.inject(Answer(200))
        fake.inject(json_answer(200, item), path="/artifactory/api/storage")
        error = caught(lambda: make().stat("k"))
        assert (UnexpectedAnswerError, False) == (type(error), TOKEN in f"{error!r}")

    @pytest.mark.parametrize("spelled", ["as texts", ""])
    @pytest.mark.usefixtures("_sending")
    def test_a_list_has_the_keys_of_this_storage(
        self, fake: FakeArtifactory, make: Make, spelled: str
    ) -> None:
        """Of its folder, with a blank in its name, and of its form."""
        fake.spelled = bool(spelled)
        for path in ("data set/a/b.bin", "data set/c.bin", "data set/c.txt", "else/c.bin"):
            fake.files["generic", path] = File(b"1")
        storage = make(key="data set/${artifact.key}.bin")
        assert ["a/b", "c"] == sorted(storage.list())
        assert "/artifactory/api/storage/generic/data%20set?list&deep=1" == fake.last.target

    def test_a_list_below_a_secret_folder(self, fake: FakeArtifactory, make: Make) -> None:
        """What is before the placeholder is listed."""
        fake.files["generic", "a/team-1/k"] = File(b"1")
        with HTTPX.sending({**SECRETS, "TEAM": "team-1"}):
            assert ["k"] == make(key="a/${TEAM}/${artifact.key}").list()
        assert "/artifactory/api/storage/generic/a?list&deep=1" == fake.last.target

    @pytest.mark.usefixtures("_sending")
    def test_an_echoed_secret_is_not_handed_out(self, fake: FakeArtifactory, make: Make) -> None:
        """A name that holds the token is refused."""
        fake.inject(json_answer(200, {"files": [{"uri": f"/{TOKEN}", "folder": False}]}))
        error = caught(make().list)
        assert (UnexpectedAnswerError, False) == (type(error), TOKEN in f"{error!r}")


class TestCloud:
    """Downloads that a cloud serves."""

    @pytest.mark.parametrize("kind", ["bearer", "api-key", "basic"])
    @modes
    def test_a_signed_url_gets_nothing_of_ours(
        self, fake: FakeArtifactory, cloud: FakeCloud, make: Make, mode: Mode, kind: str
    ) -> None:
        """Neither a credential nor another header; the bytes come."""
        fake.files["generic", "k"] = File(b"31 rows")
        storage = make(redirect_hosts=["127.0.0.1"], auth=AUTHS[kind])
        with mode.sending({"WORD": WORDS[kind]}):
            assert b"31 rows" == _run(mode, storage, "get", "k")
        assert ["GET"] == [request.method for request in cloud.requests]
        arrived = dict(cloud.last.headers)
        arrived.pop("connection", None)
        expected = {"host", "accept", "accept-encoding", "user-agent"}
        assert (expected, "webhook-storage") == (set(arrived), arrived["user-agent"])

    @pytest.mark.parametrize("hosts", [[], ["*.amazonaws.com"]])
    @pytest.mark.usefixtures("_sending")
    def test_another_host_is_not_followed(
        self, fake: FakeArtifactory, cloud: FakeCloud, make: Make, hosts: list[str]
    ) -> None:
        """Unless it is named."""
        fake.files["generic", "k"] = File(b"31 rows")
        with pytest.raises(RedirectRefusedError, match="another host"):
            make(redirect_hosts=hosts).get("k")
        assert [] == cloud.requests

    @pytest.mark.usefixtures("_sending")
    def test_only_a_fetch_is_followed(
        self, fake: FakeArtifactory, cloud: FakeCloud, make: Make
    ) -> None:
        """A question is answered by the storage API, and a store goes nowhere else."""
        fake.files["generic", "k"] = File(b"31 rows")
        storage = make(redirect_hosts=["127.0.0.1"])
        stat = storage.stat("k")
        assert stat is not None
        assert (7, File(b"31 rows").checksums["sha1"]) == (stat.size, stat.version)
        for status in (302, 307):
            fake.inject(Answer(status, b"", {"Location": f"{cloud.url}/k"}))
            with pytest.raises(RedirectRefusedError):
                storage.put(b"x", "k")
        storage.delete("k")
        assert ([], {}) == (cloud.requests, fake.files)

    @pytest.mark.usefixtures("_sending")
    def test_altered_bytes_are_found_by_the_receipt(
        self, fake: FakeArtifactory, cloud: FakeCloud, make: Make
    ) -> None:
        """The cloud knows no checksum of Artifactory's."""
        storage = make(redirect_hosts=["127.0.0.1"])
        receipt = storage.put(b"31 rows", "k")
        cloud.inject(Answer(200, b"32 rows", {"ETag": '"x"'}))
        with pytest.raises(IntegrityError):
            storage.get(receipt)


AUTHS = {
    "bearer": {"type": "bearer", "token": "${WORD}"},
    "api-key": {"type": "api_key", "name": "X-JFrog-Art-Api", "key": "${WORD}"},
    "basic": {"type": "basic", "username": FakeArtifactory.user, "password": "${WORD}"},
    "basic with a token": {
        "type": "basic", "username": FakeArtifactory.user, "password": "${WORD}"
    },
}  # fmt: skip
WORDS = {
    "bearer": TOKEN,
    "api-key": FakeArtifactory.api_key,
    "basic": FakeArtifactory.password,
    "basic with a token": TOKEN,
}


class TestAuth:
    """Who sends it."""

    @pytest.mark.parametrize("kind", AUTHS)
    def test_each_kind_is_taken_and_its_wrong_twin_refused(
        self, fake: FakeArtifactory, make: Make, kind: str
    ) -> None:
        """Only the right word stores."""
        storage = make(auth=AUTHS[kind])
        with HTTPX.sending({"WORD": WORDS[kind] + "x"}):
            error = caught(lambda: storage.put(b"1", "k"))
        assert (AuthenticationError, {}) == (type(error), fake.files)
        with HTTPX.sending({"WORD": WORDS[kind]}):
            storage.put(b"1", "k")
            assert b"1" == storage.get("k")

    def test_nobody_is_refused(self, fake: FakeArtifactory, make: Make) -> None:
        """Without a credential nothing is sent that looks like one."""
        with HTTPX.sending({}), pytest.raises(AuthenticationError):
            make(auth=None).get("k")
        assert "authorization" not in fake.last.headers

    @modes
    def test_no_secret_is_in_an_error(self, fake: FakeArtifactory, make: Make, mode: Mode) -> None:
        """Not even in the frames, when Artifactory repeats it."""
        said = {"errors": [{"status": 403, "message": f"no {TOKEN} here"}]}
        fake.inject(json_answer(403, said), times=None)
        with mode.sending(SECRETS):
            error = caught(lambda: _run(mode, make(), "put", b"1", "k"))
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert (PermissionDeniedError, False) == (type(error), TOKEN in "".join(shown.format()))
        assert TOKEN.encode() not in pickle.dumps(error)


class TestDefinition:
    """What a storage is made of."""

    @pytest.mark.parametrize(
        "options",
        [
            {"key": "a.sha1"},
            {"key": "${artifact.key}.SHA256"},
            {"key": "/a"},
            {"key": "a//b"},
            {"key": ""},
            {"key": "a/"},
            {"key": "a/../b"},
            {"key": "a;b"},
            {"key": "a.${ENDING}"},
            {"url": "https://example.com/artifactory?a=b"},
            {"url": ""},
            {"repository": "a/b"},
            {"repository": "api"},
            {"repository": "${REPO}"},
            {"properties": {"a b": "c"}},
            {"properties": {"a;b": "c"}},
            {"properties": {"a": ""}},
            {"properties": {"a": "${"}},
            {"properties": {"a": "b\nc"}},
            {"key": "a\nb"},
            {"url": "https://"},
            {"url": "https://example.com#a"},
            {"url": "https://example.com/a;b"},
            {"auth": {"type": "api_key", "name": "X-Explode-Archive", "key": "${A}"}},
            {"auth": {"type": "api_key", "name": "x-checksum-deploy", "key": "${A}"}},
            {"auth": {"type": "nobody"}},
        ],
        ids=str,
    )
    def test_what_cannot_be_is_refused(self, make: Make, options: dict[str, Any]) -> None:
        """In one line."""
        with pytest.raises(ConfigurationError) as raised:
            make(**options)
        assert "\n" not in str(raised.value)

    def test_a_literal_token_is_warned_of(self, make: Make) -> None:
        """It would be stored with the definition."""
        with pytest.warns(LiteralSecretWarning):
            make(auth={"type": "bearer", "token": "literal"})

    def test_json_gives_it_back(self, make: Make) -> None:
        """With all that it can have."""
        storage = make(
            key="a/${artifact.key}",
            properties={"a": "${flow.name}"},
            checksum_deploy=True,
            auth=AUTHS["api-key"],
            redirect_hosts=["*.amazonaws.com"],
            timeout=(1, 2),
        )
        assert storage == Storage.from_json(storage.to_json()) == deepcopy(storage)
        assert "auth" not in json.loads(make(key=None).to_json())

    def test_a_property_with_a_line_break_is_refused(
        self, fake: FakeArtifactory, make: Make
    ) -> None:
        """As it is in a key."""
        storage = make(properties={"by": "${flow.name}"})

        def flow() -> None: ...

        flow.__name__ = "a\nb"
        storage.add_flow(flow)
        with HTTPX.sending(SECRETS), pytest.raises(ConfigurationError, match="control") as raised:
            storage.build()
        assert ("properties", []) == (raised.value.path, fake.requests)


PUT = "PUT {base}/generic/${{artifact.key|path}} answered"
LINES: dict[str, tuple[dict[str, Any], dict[str, str], str, str, str]] = {
    "no such repository": (
        {"repository": "missing"}, SECRETS, "k",
        "PUT {base}/missing/${{artifact.key|path}} answered 404: there is no such repository",
        ("are url and repository right? The url ends with /artifactory, and what a credential may "
        "not see can be missing"),
    ),
    "no name of one": (
        {"repository": "a/b"}, SECRETS, "k",
        "repository: it is no key of a repository: letters, digits and . _ -", "None",
    ),
    "no credential": (
        {}, {}, "k", "${{ARTIFACTORY_TOKEN}} is missing (asked: mapping)",
        ("set the environment variable ARTIFACTORY_TOKEN, or add it to another of those asked; "
        "'webhook-storage check' shows what each of them answers"),
    ),
    "wrong credential": (
        {}, {"ARTIFACTORY_TOKEN": "wrong-token"}, "k",
        f"{PUT} 401: the credential is missing, wrong or expired",
        "is it what auth says, a token as bearer, user and password as basic, or an API key?",
    ),
    "wrong place": (
        {"repository": "hidden"}, SECRETS, "k",
        ("PUT {base}/hidden/${{artifact.key|path}} answered 403: the credential may not do this "
        "there"),
        "may it deploy to the repository, and do the repository's patterns take the path?",
    ),
    "line break": (
        {}, SECRETS, "a\nb",
        "key: ${{artifact.key}} has a control character, which no object's name can hold",
        "store it under another key",
    ),
    "checksum": (
        {}, SECRETS, "a.sha1",
        "key: the key ends with .sha1, which is the checksum of another file",
        "store it under another key",
    ),
    "empty segment": (
        {}, SECRETS, "a//b", "key: the key has an empty segment, which Artifactory drops",
        "store it under another key",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_bad_input_ends_in_one_line(fake: FakeArtifactory, make: Make, name: str) -> None:
    """With a hint at what to do."""
    options, secrets, key, line, hint = LINES[name]
    with HTTPX.sending(secrets):
        error = caught(lambda: make(**options).put(b"x", key))
    assert isinstance(error, WebhookStorageError)
    assert (line.format(base=fake.base), hint) == (str(error), str(error.hint))
    assert {} == fake.files


class TestWebhook:
    """The same in plain kwargs."""

    @modes
    def test_stores_the_same_files(self, fake: FakeArtifactory, make: Make, mode: Mode) -> None:
        """What one stores the other fetches, with properties and a checksum."""
        storage = make(key="a b/${artifact.key}", properties={"by": "x;${artifact.key}"})
        webhook = storage.as_webhook()
        assert webhook == Storage.from_json(webhook.to_json())
        with mode.sending(SECRETS):
            _run(mode, webhook, "put", b"31 rows", "c/ü +%")
            assert b"31 rows" == _run(mode, storage, "get", "c/ü +%")
            assert {"by": ["x;c/ü +%"]} == fake.files["generic", "a b/c/ü +%"].properties
            _run(mode, storage, "put", b"32 rows", "d")
            assert b"32 rows" == _run(mode, webhook, "get", "d")
            _run(mode, webhook, "delete", "d")
        assert ["a b/c/ü +%"] == [path for _, path in fake.files]

    def test_altered_bytes_are_refused(self, fake: FakeArtifactory, make: Make) -> None:
        """The checksum goes with it."""
        fake.alter = True
        with HTTPX.sending(SECRETS):
            error = caught(lambda: make().as_webhook().put(b"31 rows", "k"))
        assert (True, False) == (
            isinstance(error, WebhookStorageError),
            isinstance(error, ObjectExistsError),
        )
        assert {} == fake.files

    def test_nobody_sends_without_a_credential(self, make: Make) -> None:
        """No auth is no auth there too."""
        assert "auth" not in make(auth=None).as_webhook().build_request_kwargs
