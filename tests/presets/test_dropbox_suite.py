"""The Dropbox preset keeps the promises of every preset, by each kind of credential."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.dropbox import BLOCK, FakeDropbox
from tests.fakes.http import Answer, json_answer
from tests.presets.faults import faults
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage.errors import (
    ConfigurationError,
    ObjectNotFoundError,
    UnexpectedAnswerError,
)
from webhook_storage.testing import PresetCase, PresetSuite, canary
from webhook_storage.testing.preset_case import ODD_KEYS
from webhook_storage_presets.dropbox import MAX_REQUEST, MAX_SESSION, Dropbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.http import Received

TOKEN = "sl.right-token-of-this-test"
SECRET = "s3cret-of-app"
REFRESH = "refresh-token-of-this-test"
KEYS = (
    *ODD_KEYS, "a%2Fb", "a?b#c", "[x]'\"<>&", "a:b@c", "${X}$$", "a.html",
    "\N{SNOWMAN}\N{GRINNING FACE}", "e\N{COMBINING ACUTE ACCENT}",
)  # fmt: skip
REFUSED_KEYS = ("line\nbreak", "nul\0", "../up", "a/./b", "del\x7f", "/a", "a//b", "a/")
MEMBER = "dbmid:AAB"
LIST, METADATA = "/2/files/list_folder", "/2/files/get_metadata"
FILE = {".tag": "file", "path_display": "/flows/a"}
NO_NAME = "path: it begins with a slash and ends with a name, /flows/${artifact.key}"
BAD_PATH = "path: it has an empty name or a control character, which Dropbox refuses"
NO_SUFFIX = ": it is the beginning of a URL, and has no query and no fragment"
NO_URL = ": A URL begins with a scheme, '://' and a host, or with one placeholder for them."
NO_ROOT = "path_root: it is 'home', 'root:ID', or the id of a shared or team folder"
CONTROL = "path: ${artifact.key} has a control character, which no object's name can hold"
EMPTY = "path: ${artifact.key} has an empty name, which Dropbox takes for a mistake"
UNAUTHORIZED = (
    'POST {url}/2/files/upload answered 401 Unauthorized: {"error_summary": '
    '"invalid_access_token/", "error": {".tag": "invalid_access_token"}}'
)
TAKEN = (
    "POST {url}/2/files/upload of /taken answered 409 (path/conflict/folder): "
    "a folder has that name"
)
modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def carries_bytes(request: Received) -> bool:
    """Tell whether a request has bytes of an artifact."""
    return "upload" in request.path and request.size > 0


def case_of(
    fake: FakeDropbox, secrets: dict[str, str], wrong: dict[str, str], **fields: Any
) -> PresetCase:
    """Return what all cases have in common."""
    storage = Dropbox(
        path="/flows/${artifact.key}", content_origin=fake.url, api_origin=fake.url, **fields
    )
    limits = {"session_above": BLOCK, "part_size": BLOCK}
    return PresetCase(
        storage=storage,
        secrets=secrets,
        wrong=wrong,
        forbidden=storage.model_copy(update={"path_root": "77"}),
        elsewhere=storage.model_copy(update={"path_root": "root:77"}),
        parted=storage.model_copy(update=limits),
        parted_above=BLOCK,
        largest=MAX_SESSION,
        largest_request=MAX_REQUEST,
        odd_keys=KEYS,
        refused_keys=REFUSED_KEYS,
        **faults(fake, carries_bytes),
    )


class TestByToken(PresetSuite):
    """An access token that somebody else renews."""

    @pytest.fixture
    def case(self) -> Iterator[PresetCase]:
        """Start an account of one user."""
        with FakeDropbox(token=TOKEN) as fake:
            yield case_of(fake, {"T": TOKEN}, {"T": "sl.wrong-token-of-this-test"}, token="${T}")


class TestByRefreshToken(PresetSuite):
    """Access tokens are got when they are needed."""

    @pytest.fixture
    def case(self) -> Iterator[PresetCase]:
        """Start an account whose app has a secret."""
        with FakeDropbox(
            refresh_token=REFRESH, app_key="key-1", app_secret="s3cret-of-app"
        ) as fake:
            yield case_of(
                fake,
                {"R": REFRESH, "S": "s3cret-of-app"},
                {"R": canary(), "S": "s3cret-of-app"},
                refresh_token="${R}",
                app_key="key-1",
                app_secret="${S}",
            )


class TestByMember(PresetSuite):
    """A team's token, which acts as a member, in the team's space."""

    @pytest.fixture
    def case(self) -> Iterator[PresetCase]:
        """Start a team of one member."""
        with FakeDropbox(token=TOKEN) as fake:
            fake.members = {MEMBER}
            yield case_of(
                fake,
                {"T": TOKEN},
                {"T": "sl.wrong-token-of-this-test"},
                token="${T}",
                select_user=MEMBER,
                path_root=f"root:{fake.root}",
            )


@pytest.fixture
def fake() -> Iterator[FakeDropbox]:
    """Start an account of one user."""
    with FakeDropbox(token=TOKEN, refresh_token=REFRESH, app_key="key-1") as server:
        yield server


def on(fake: FakeDropbox, **fields: Any) -> Dropbox:
    """Return a storage on that account."""
    origins = {"content_origin": fake.url, "api_origin": fake.url}
    return Dropbox(**{"path": "/flows/${artifact.key}", **origins, **fields})


class TestBadInput:
    """Each ends in one clear line."""

    @pytest.mark.parametrize(
        ("fields", "line"),
        [
            ({"path": "a"}, NO_NAME),
            ({"path": "/"}, NO_NAME),
            ({"path": "/a//b"}, BAD_PATH),
            ({"path": "/a\nb"}, BAD_PATH),
            ({"path": "/a\x7fb"}, BAD_PATH),
            ({"path": "/a/../b"}, "path: it has a '.' or '..' segment, which no URL keeps"),
            ({"path_root": "no root"}, NO_ROOT),
            ({"api_origin": "dropbox"}, f"api_origin{NO_URL}"),
            ({"api_origin": "https://a.test?b"}, f"api_origin{NO_SUFFIX}"),
            ({"content_origin": "https://a.test#b"}, f"content_origin{NO_SUFFIX}"),
        ],
    )  # fmt: skip
    def test_a_field_that_is_wrong(self, fields: dict[str, str], line: str) -> None:
        """When the storage is made."""
        error = caught(lambda: Dropbox(**{"path": "/flows/${artifact.key}", **fields}))
        assert isinstance(error, ConfigurationError)
        assert line == str(error)

    @pytest.mark.parametrize(
        ("key", "line"),
        [
            ("a\nb", CONTROL),
            ("../a", "path: ${artifact.key} has a '.' or '..' segment, which no URL keeps"),
            ("a//b", EMPTY),
            ("/a", EMPTY),
            ("a/", EMPTY),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("operation", ["put", "get", "stat", "delete"])
    def test_a_key_that_is_no_path(
        self, fake: FakeDropbox, key: str, line: str, operation: str
    ) -> None:
        """Nothing is sent."""
        arguments = (b"1", key) if operation == "put" else (key,)
        with HTTPX.sending({"T": TOKEN}):
            error = caught(lambda: getattr(on(fake, token="${T}"), operation)(*arguments))
        assert isinstance(error, ConfigurationError)
        assert (line, []) == (str(error), fake.requests)

    @modes
    @pytest.mark.parametrize(
        ("fields", "line", "hint"),
        [
            (
                {"token": "${MISSING}"},
                "${MISSING} is missing (asked: mapping)",
                "environment variable MISSING",
            ),
            (
                {"token": "${WRONG}"},
                UNAUTHORIZED,
                "four hours",
            ),
            (
                {"refresh_token": "${R}", "app_key": "another"},
                "POST {url}/oauth2/token gave no access token: invalid_client",
                "client_id",
            ),
            (
                {"refresh_token": "${WRONG}", "app_key": "key-1", "app_secret": "${S}"},
                "POST {url}/oauth2/token gave no access token: invalid_grant",
                "refresh token",
            ),
            (
                {"token": "${T}", "path": "/taken"},
                TAKEN,
                "another path",
            ),
            (
                {"token": "${T}", "path_root": "root:77"},
                "POST {url}/2/files/upload answered 422: path_root: it is no root of the account",
                "root:ID",
            ),
        ],
        ids=["no-token", "wrong-token", "wrong-app", "wrong-refresh-token", "folder", "root"],
    )
    def test_what_dropbox_or_a_resolver_refuses(
        self, mode: Mode, fake: FakeDropbox, fields: dict[str, str], line: str, hint: str
    ) -> None:
        """The line is ours, and the hint says what to do."""
        fake.put("/taken/a", b"1")
        secrets = {"T": TOKEN, "WRONG": "sl.wrong-token-of-this-test", "R": REFRESH}
        secrets["S"] = "app-secret"
        storage = on(fake, **{"path": "/b", **fields})
        with mode.sending(secrets):
            error = caught(lambda: mode.call(storage, "put", b"1"))
        shown = re.sub(r"/\.+\"", '/"', str(error))  # Dropbox puts a random run of dots there
        assert line.replace("{url}", fake.url) == shown
        assert "\n" not in str(error)
        assert hint in str(getattr(error, "hint", ""))
        assert not [text for text in secrets.values() if text in f"{error!r} {error}"]


class TestOddAnswers:
    """Each is one error, and passes neither for nothing nor for an end."""

    @modes
    @pytest.mark.parametrize(
        "page",
        [
            {},
            {"entries": None, "has_more": False},
            {"entries": {}, "has_more": False},
            {"entries": []},
            {"entries": [], "has_more": None},
            {"entries": [], "has_more": "false"},
            {"entries": [], "has_more": True},
            {"entries": [], "has_more": True, "cursor": ""},
            {"entries": [], "has_more": True, "cursor": {}},
            [],
            None,
        ],
    )
    def test_a_page_that_is_none(self, mode: Mode, fake: FakeDropbox, page: object) -> None:
        """An empty list would say that nothing is there."""
        fake.inject(json_answer(200, page), path=LIST)
        with mode.sending({"T": TOKEN}), pytest.raises(UnexpectedAnswerError):
            mode.call(on(fake, token="${T}"), "list")

    @pytest.mark.parametrize("entry", [None, 7, "a", {}, {".tag": 7}, {".tag": "file"}])
    def test_an_entry_that_is_none(self, fake: FakeDropbox, entry: object) -> None:
        """It is no file of this storage."""
        fake.inject(json_answer(200, {"entries": [entry, FILE], "has_more": False}), path=LIST)
        with HTTPX.sending({"T": TOKEN}):
            assert ["a"] == on(fake, token="${T}").list()

    @modes
    def test_a_cursor_that_leads_to_itself(self, mode: Mode, fake: FakeDropbox) -> None:
        """The list comes to an end."""
        page = {"entries": [FILE], "has_more": True, "cursor": "c"}
        fake.inject(json_answer(200, page), path=LIST, times=None)
        with mode.sending({"T": TOKEN}), pytest.raises(UnexpectedAnswerError, match="cursor"):
            mode.call(on(fake, token="${T}"), "list")
        assert 2 == len(fake.requests)

    @pytest.mark.parametrize(
        "entry",
        [
            {},
            {".tag": None},
            {".tag": "unheard of"},
            {".tag": "file"},
            {".tag": "file", "size": None, "rev": "a", "server_modified": "b"},
            {".tag": "file", "size": 1, "rev": [], "server_modified": "b"},
            {".tag": "file", "size": 1, "rev": "a", "server_modified": None},
        ],
    )
    def test_metadata_of_no_file(self, fake: FakeDropbox, entry: object) -> None:
        """What is there is not said to be missing."""
        fake.inject(json_answer(200, entry), path=METADATA)
        with HTTPX.sending({"T": TOKEN}), pytest.raises(UnexpectedAnswerError):
            on(fake, token="${T}").stat("a")

    @pytest.mark.parametrize("tag", ["folder", "deleted"])
    def test_metadata_of_something_else(self, fake: FakeDropbox, tag: str) -> None:
        """A folder is no artifact, and what was deleted none any more."""
        fake.inject(json_answer(200, {".tag": tag}), path=METADATA)
        with HTTPX.sending({"T": TOKEN}):
            assert on(fake, token="${T}").stat("a") is None

    def test_another_success_is_none_of_dropbox(self, fake: FakeDropbox) -> None:
        """It answers 200, and nothing else."""
        fake.inject(Answer(202, b"{}"), path="/2/files/delete_v2")
        storage = on(fake, token="${T}")
        with HTTPX.sending({"T": TOKEN}):
            receipt = storage.put(b"1", "a")
            with pytest.raises(UnexpectedAnswerError):
                storage.delete(receipt)

    @modes
    def test_a_busy_dropbox_has_deleted_nothing(self, mode: Mode, fake: FakeDropbox) -> None:
        """What is missing at the second attempt was missing at the first, which did nothing."""
        storage = on(fake, token="${T}")
        with mode.sending({"T": TOKEN}, attempts=3):
            receipt = mode.call(storage, "put", b"1", "a")
            fake.files.clear()
            fake.rate_limit(path="/2/files/delete_v2", retry_after=0)
            with pytest.raises(ObjectNotFoundError):
                mode.call(storage, "delete", receipt)
