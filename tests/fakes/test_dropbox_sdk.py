"""The vendor's own client stores to the fake Dropbox and fetches from it."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import dropbox
import pytest
from dropbox.common import PathRoot
from dropbox.exceptions import (
    ApiError,
    AuthError,
    BadInputError,
    PathRootError,
    RateLimitError,
)
from dropbox.files import (
    CommitInfo,
    FileMetadata,
    FolderMetadata,
    UploadSessionCursor,
    UploadSessionType,
    WriteMode,
)

from tests.fakes.dropbox import BLOCK, FakeDropbox, content_hash

Connect = Callable[..., dropbox.Dropbox]

pytestmark = [
    # The client tells its time with a function that Python 3.12 deprecates.
    pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utc:DeprecationWarning"),
]


@pytest.fixture
def fake() -> Iterator[FakeDropbox]:
    """Start a fake Dropbox that speaks TLS, as the SDK knows nothing else."""
    with FakeDropbox(tls=True) as server:
        yield server


@pytest.fixture
def connect(fake: FakeDropbox) -> Iterator[Connect]:
    """Return a maker of SDK clients that talk to the fake."""
    with contextlib.ExitStack() as stack:

        def make(token: str | None = fake.token, **options: object) -> dropbox.Dropbox:
            session = dropbox.create_session(ca_certs=str(fake.ca_file))
            session.trust_env = False
            options = {"max_retries_on_error": 0, "max_retries_on_rate_limit": 0, **options}
            client = stack.enter_context(dropbox.Dropbox(token, session=session, **options))
            client._host_map = dict.fromkeys(client._host_map, fake.host)
            # The default of its parameter is the real host, taken when the module was loaded.
            refresh = client.refresh_access_token
            client.refresh_access_token = lambda scope=None: refresh(fake.host, scope)
            return client

        yield make


@pytest.fixture
def sdk(connect: Connect) -> dropbox.Dropbox:
    """Return an SDK client with a valid token."""
    return connect()


def _raw(
    fake: FakeDropbox, path: str, headers: dict[str, str], body: bytes = b"", method: str = "POST"
) -> tuple[int, str]:
    """Send a request that the SDK would not send."""
    context = ssl.create_default_context(cafile=str(fake.ca_file))
    connection = http.client.HTTPSConnection("127.0.0.1", fake.port, context=context)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Authorization": f"Bearer {fake.token}", **headers})
        response = connection.getresponse()
        return response.status, response.read().decode()


def _arg(**argument: object) -> dict[str, str]:
    return {
        "Dropbox-API-Arg": json.dumps(argument),
        "Content-Type": "application/octet-stream",
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"hello world", "bc62d4b80d9e36da29c16c5d4d9f11731f36052c72401a76c23c0fb5a9b74423"),
        (bytes(5 << 20), "f8bd3b7fc59d52351f1518fcecab6a686585ff0a707e9da79d717a1ed108ea2a"),
    ],
    ids=["empty", "short", "two-blocks"],
)
def test_content_hash_matches_the_vectors(data: bytes, expected: str) -> None:
    """The hash is that of the published algorithm."""
    assert expected == content_hash(data)


class TestFiles:
    """Whole files."""

    @pytest.mark.parametrize("data", [b"", b"hello world", bytes(range(256)) * 5])
    def test_what_was_uploaded_is_downloaded(self, sdk: dropbox.Dropbox, data: bytes) -> None:
        """Upload and download give the same bytes and the same revision."""
        stored = sdk.files_upload(data, "/flows/a b.bin")
        found, response = sdk.files_download("/flows/a b.bin")
        with contextlib.closing(response):
            assert data == response.content
        assert (stored.rev, stored.content_hash) == (found.rev, content_hash(data))

    def test_names_are_unicode_and_case_does_not_matter(self, sdk: dropbox.Dropbox) -> None:
        """A file is found in any case, and shown in the case it was made with."""
        sdk.files_upload(b"x", "/Größe/\N{SNOWMAN}\x7f.BIN")
        found = sdk.files_get_metadata("/größe/\N{SNOWMAN}\x7f.bin")
        assert "/Größe/\N{SNOWMAN}\x7f.BIN" == found.path_display

    def test_metadata_tells_a_file_from_a_folder(self, sdk: dropbox.Dropbox) -> None:
        """Parents appear with the file that needs them."""
        sdk.files_upload(b"12345", "/flows/a.bin")
        file, folder = sdk.files_get_metadata("/flows/a.bin"), sdk.files_get_metadata("/flows")
        assert (FileMetadata, 5) == (type(file), file.size)
        assert (FolderMetadata, "/flows") == (type(folder), folder.path_lower)

    def test_a_file_is_found_by_id_and_by_revision(self, sdk: dropbox.Dropbox) -> None:
        """An id follows the file, a revision stays what it was."""
        first = sdk.files_upload(b"one", "/a")
        sdk.files_upload(b"two", "/a", mode=WriteMode.overwrite)
        assert [b"two", b"one"] == [
            sdk.files_download(path)[1].content for path in (first.id, f"rev:{first.rev}")
        ]

    def test_listing_comes_in_pages(self, sdk: dropbox.Dropbox) -> None:
        """A cursor leads through the pages, and the last one says so."""
        for name in "abcde":
            sdk.files_upload(b"x", f"/flows/{name}")
        page = sdk.files_list_folder("/flows", limit=2)
        names = [entry.name for entry in page.entries]
        while page.has_more:
            page = sdk.files_list_folder_continue(page.cursor)
            names += [entry.name for entry in page.entries]
        assert list("abcde") == names

    def test_listing_goes_deep_only_when_asked(self, sdk: dropbox.Dropbox) -> None:
        """A plain listing shows the children, a recursive one all below."""
        sdk.files_upload(b"x", "/one/two/three")
        plain = [entry.path_lower for entry in sdk.files_list_folder("").entries]
        deep = [entry.path_lower for entry in sdk.files_list_folder("", recursive=True).entries]
        assert (["/one"], ["/one", "/one/two", "/one/two/three"]) == (plain, deep)

    def test_deleted_is_not_found(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """Delete removes a folder with what it holds."""
        sdk.files_upload(b"x", "/flows/a")
        gone = sdk.files_delete_v2("/Flows").metadata
        assert ("/flows", {}) == (gone.path_lower, fake.files)
        with pytest.raises(ApiError) as caught:
            sdk.files_delete_v2("/flows")
        assert caught.value.error.get_path_lookup().is_not_found()

    @pytest.mark.parametrize("call", ["files_download", "files_get_metadata", "files_list_folder"])
    def test_what_is_not_there_is_not_found(self, sdk: dropbox.Dropbox, call: str) -> None:
        """Reads of an unknown path answer path/not_found."""
        with pytest.raises(ApiError) as caught:
            getattr(sdk, call)("/nothing")
        assert caught.value.error.get_path().is_not_found()


class TestConflicts:
    """What a write does to what is there."""

    def test_add_refuses_other_bytes(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """The default mode creates only."""
        fake.put("/a", b"one")
        with pytest.raises(ApiError) as caught:
            sdk.files_upload(b"two", "/A")
        assert caught.value.error.get_path().reason.get_conflict().is_file()
        assert b"one" == fake.read("/a")

    def test_identical_bytes_write_nothing(self, sdk: dropbox.Dropbox) -> None:
        """Bytes that are there already keep their revision in every mode."""
        first = sdk.files_upload(b"one", "/a")
        again = [
            sdk.files_upload(b"one", "/a", mode=m) for m in (WriteMode.add, WriteMode.overwrite)
        ]
        assert [first.rev, first.rev] == [file.rev for file in again]

    def test_strict_conflict_takes_identical_bytes_for_others(self, sdk: dropbox.Dropbox) -> None:
        """With strict_conflict even the same bytes are in the way."""
        sdk.files_upload(b"one", "/a")
        with pytest.raises(ApiError) as caught:
            sdk.files_upload(b"one", "/a", strict_conflict=True)
        assert caught.value.error.get_path().reason.get_conflict().is_file()

    def test_overwrite_makes_a_new_revision(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """Overwriting always works and changes the revision, not the id."""
        first = sdk.files_upload(b"one", "/a")
        second = sdk.files_upload(b"two", "/a", mode=WriteMode.overwrite)
        assert (first.id, b"two") == (second.id, fake.read("/a"))
        assert first.rev != second.rev

    def test_update_compares_the_revision(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """An update succeeds on the current revision and fails on an older one."""
        first = sdk.files_upload(b"one", "/a")
        sdk.files_upload(b"two", "/a", mode=WriteMode.update(first.rev))
        with pytest.raises(ApiError) as caught:
            sdk.files_upload(b"three", "/a", mode=WriteMode.update(first.rev))
        assert caught.value.error.get_path().reason.get_conflict().is_file()
        assert b"two" == fake.read("/a")

    def test_autorename_finds_a_free_name(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """A conflict is stepped around when the client says so."""
        old = sdk.files_upload(b"one", "/a.bin")
        add = sdk.files_upload(b"two", "/a.bin", autorename=True)
        fake.put("/a.bin", b"three")
        update = sdk.files_upload(b"four", "/a.bin", WriteMode.update(old.rev), autorename=True)
        assert ["a (1).bin", "a (conflicted copy).bin"] == [add.name, update.name]

    @pytest.mark.parametrize(("path", "tag"), [("/a", "folder"), ("/a/b/c", "file_ancestor")])
    def test_files_and_folders_are_in_each_others_way(
        self, sdk: dropbox.Dropbox, fake: FakeDropbox, path: str, tag: str
    ) -> None:
        """Not even overwriting turns a folder into a file."""
        fake.put("/a/b", b"x")
        with pytest.raises(ApiError) as caught:
            sdk.files_upload(b"y", path, mode=WriteMode.overwrite)
        assert tag == caught.value.error.get_path().reason.get_conflict()._tag

    def test_delete_compares_the_revision(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """A conditional delete spares a newer revision."""
        first = fake.put("/a", b"one")
        second = fake.put("/a", b"two")
        with pytest.raises(ApiError) as caught:
            sdk.files_delete_v2("/a", parent_rev=first.rev)
        assert caught.value.error.get_path_write().get_conflict().is_file()
        assert second.rev == sdk.files_delete_v2("/a", parent_rev=second.rev).metadata.rev

    def test_a_wrong_hash_is_refused(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """Bytes that are not those announced are not stored."""
        with pytest.raises(ApiError) as caught:
            sdk.files_upload(b"one", "/a", content_hash=content_hash(b"two"))
        assert caught.value.error.is_content_hash_mismatch()
        assert {} == fake.files

    def test_a_trailing_slash_is_malformed(self, sdk: dropbox.Dropbox) -> None:
        """A path that is none is named as such."""
        with pytest.raises(ApiError) as caught:
            sdk.files_upload(b"x", "/a/")
        assert caught.value.error.get_path().reason.is_malformed_path()


class TestSessions:
    """Files in parts."""

    def test_parts_become_a_file(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """Start, append and finish store the concatenation."""
        session_id = sdk.files_upload_session_start(b"one").session_id
        sdk.files_upload_session_append_v2(b"two", UploadSessionCursor(session_id, 3))
        stored = sdk.files_upload_session_finish(
            b"three", UploadSessionCursor(session_id, 6), CommitInfo("/a")
        )
        assert (b"onetwothree", {}) == (fake.read("/a"), fake.sessions)
        assert content_hash(b"onetwothree") == stored.content_hash

    def test_a_wrong_offset_names_the_right_one(self, sdk: dropbox.Dropbox) -> None:
        """A client that lost an answer learns where to go on."""
        session_id = sdk.files_upload_session_start(b"one").session_id
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_append_v2(b"two", UploadSessionCursor(session_id, 0))
        assert 3 == caught.value.error.get_incorrect_offset().correct_offset
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_finish(
                b"", UploadSessionCursor(session_id, 9), CommitInfo("/a")
            )
        assert 3 == caught.value.error.get_lookup_failed().get_incorrect_offset().correct_offset

    def test_a_finished_session_is_gone(self, sdk: dropbox.Dropbox) -> None:
        """An unknown session is not found, by append or finish."""
        cursor = UploadSessionCursor("nobody", 0)
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_append_v2(b"x", cursor)
        assert caught.value.error.is_not_found()
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_finish(b"x", cursor, CommitInfo("/a"))
        assert caught.value.error.get_lookup_failed().is_not_found()

    def test_finish_meets_the_same_conflicts(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """The commit of a session is an upload like another."""
        fake.put("/a", b"one")
        session_id = sdk.files_upload_session_start(b"two").session_id
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_finish(
                b"", UploadSessionCursor(session_id, 3), CommitInfo("/a")
            )
        assert caught.value.error.get_path().get_conflict().is_file()

    def test_concurrent_parts_come_in_any_order(
        self, sdk: dropbox.Dropbox, fake: FakeDropbox
    ) -> None:
        """A concurrent session is put together by offset."""
        kind = UploadSessionType.concurrent
        session_id = sdk.files_upload_session_start(b"", session_type=kind).session_id
        sdk.files_upload_session_append_v2(
            b"end", UploadSessionCursor(session_id, BLOCK), close=True
        )
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_append_v2(b"x" * BLOCK, UploadSessionCursor(session_id, 0))
        assert caught.value.error.is_closed()
        session_id = sdk.files_upload_session_start(b"", session_type=kind).session_id
        for offset, data, close in ((BLOCK, b"y" * BLOCK, False), (0, b"x" * BLOCK, True)):
            sdk.files_upload_session_append_v2(data, UploadSessionCursor(session_id, offset), close)
        sdk.files_upload_session_finish(
            b"", UploadSessionCursor(session_id, 2 * BLOCK), CommitInfo("/a")
        )
        assert b"x" * BLOCK + b"y" * BLOCK == fake.read("/a")

    def test_a_closed_session_takes_no_more(self, sdk: dropbox.Dropbox) -> None:
        """What was said to be the end is the end, and can be finished without bytes only."""
        session_id = sdk.files_upload_session_start(b"one").session_id
        cursor = UploadSessionCursor(session_id, 3)
        sdk.files_upload_session_append_v2(b"two", cursor, close=True)
        cursor = UploadSessionCursor(session_id, 6)
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_append_v2(b"three", cursor)
        assert caught.value.error.is_closed()
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_finish(b"three", cursor, CommitInfo("/a"))
        assert caught.value.error.get_lookup_failed().is_closed()
        assert 6 == sdk.files_upload_session_finish(b"", cursor, CommitInfo("/a")).size

    def test_each_part_is_compared_with_its_hash(
        self, sdk: dropbox.Dropbox, fake: FakeDropbox
    ) -> None:
        """A part that changed on its way is not kept."""
        session_id = sdk.files_upload_session_start(b"one").session_id
        cursor = UploadSessionCursor(session_id, 3)
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_append_v2(b"twO", cursor, content_hash=content_hash(b"two"))
        assert caught.value.error.is_content_hash_mismatch()
        assert b"one" == fake.sessions[session_id].data

    def test_an_old_session_is_not_found(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """It lives for seven days."""
        session_id = sdk.files_upload_session_start(b"one").session_id
        fake.expire_sessions()
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_append_v2(b"two", UploadSessionCursor(session_id, 3))
        assert caught.value.error.is_not_found()

    def test_a_session_has_a_largest_size(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """More than a file may have is refused at once."""
        fake.max_session = 5
        session_id = sdk.files_upload_session_start(b"one").session_id
        cursor = UploadSessionCursor(session_id, 3)
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_append_v2(b"two", cursor)
        assert caught.value.error.is_too_large()
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_finish(b"two", cursor, CommitInfo("/a"))
        assert caught.value.error.get_lookup_failed().is_too_large()

    @pytest.mark.parametrize(
        ("data", "offset", "tag"),
        [
            (b"x" * BLOCK, 1, "concurrent_session_invalid_offset"),
            (b"x", 0, "concurrent_session_invalid_data_size"),
        ],
    )
    def test_concurrent_parts_are_whole_blocks(
        self, sdk: dropbox.Dropbox, data: bytes, offset: int, tag: str
    ) -> None:
        """All but the last one."""
        kind = UploadSessionType.concurrent
        session_id = sdk.files_upload_session_start(b"", session_type=kind).session_id
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_append_v2(data, UploadSessionCursor(session_id, offset))
        assert tag == caught.value.error._tag

    def test_a_concurrent_session_begins_without_bytes(self, sdk: dropbox.Dropbox) -> None:
        """They have no offset there."""
        kind = UploadSessionType.concurrent
        with pytest.raises(ApiError) as caught:
            sdk.files_upload_session_start(b"x", session_type=kind)
        assert caught.value.error.is_concurrent_session_data_not_allowed()

    def test_a_concurrent_session_is_finished_when_it_is_whole(self, sdk: dropbox.Dropbox) -> None:
        """Neither before its last part nor with a gap."""
        kind = UploadSessionType.concurrent
        session_id = sdk.files_upload_session_start(b"", session_type=kind).session_id
        whole = UploadSessionCursor(session_id, BLOCK + 3)
        tags = []
        for data, close in ((b"", False), (b"end", True)):
            cursor = UploadSessionCursor(session_id, BLOCK)
            sdk.files_upload_session_append_v2(data, cursor, close)
            with pytest.raises(ApiError) as caught:
                sdk.files_upload_session_finish(b"", whole, CommitInfo("/a"))
            tags.append(caught.value.error._tag)
        assert ["concurrent_session_not_closed", "concurrent_session_missing_data"] == tags


class TestTokens:
    """Who may."""

    def test_a_wrong_token_is_refused(self, connect: Connect, fake: FakeDropbox) -> None:
        """A token that was never issued stores nothing."""
        with pytest.raises(AuthError) as caught:
            connect("sl.wrong").files_upload(b"x", "/a")
        assert caught.value.error.is_invalid_access_token()
        assert {} == fake.files

    def test_an_expired_token_is_refused(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """A token that has expired says so, and nothing else."""
        fake.expire_tokens()
        with pytest.raises(AuthError) as caught:
            sdk.files_download("/a")
        assert caught.value.error.is_expired_access_token()

    def test_a_refresh_token_replaces_an_expired_token(
        self, connect: Connect, fake: FakeDropbox
    ) -> None:
        """The client refreshes once and repeats the call."""
        client = connect(
            oauth2_refresh_token=fake.refresh_token,
            oauth2_access_token_expiration=datetime.utcnow() + timedelta(hours=1),  # noqa: DTZ003 - as the SDK
            app_key=fake.app_key,
            app_secret=fake.app_secret,
        )
        fake.expire_tokens()
        client.files_upload(b"x", "/a")
        assert ["/2/files/upload", "/oauth2/token", "/2/files/upload"] == [
            request.path for request in fake.requests
        ]

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [({"oauth2_refresh_token": "wrong"}, AuthError), ({"app_secret": "wrong"}, BadInputError)],
    )
    def test_a_wrong_refresh_is_refused(
        self, connect: Connect, fake: FakeDropbox, wrong: dict[str, str], error: type[Exception]
    ) -> None:
        """Neither a wrong refresh token nor a wrong app secret makes an access token."""
        right = {"oauth2_refresh_token": fake.refresh_token, "app_key": fake.app_key}
        client = connect(None, **{**right, "app_secret": fake.app_secret, **wrong})
        with pytest.raises(error):
            client.files_upload(b"x", "/a")
        assert ("sl.valid", {}) == (fake.token, fake.files)

    def test_an_app_without_a_secret_refreshes_too(self) -> None:
        """A PKCE app has none; the client stores by a token that it got."""
        with FakeDropbox(tls=True, app_secret=None) as fake:
            session = dropbox.create_session(ca_certs=str(fake.ca_file))
            session.trust_env = False
            right = {"oauth2_refresh_token": fake.refresh_token, "app_key": fake.app_key}
            with dropbox.Dropbox(session=session, **right) as client:
                client._host_map = dict.fromkeys(client._host_map, fake.host)
                refresh = client.refresh_access_token
                client.refresh_access_token = lambda scope=None: refresh(fake.host, scope)
                client.files_upload(b"x", "/a")
                assert b"x" == client.files_download("/a")[1].content
            assert 1 == fake.calls["/oauth2/token"]

    def test_a_missing_scope_is_named(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """A token may read without being allowed to write."""
        fake.put("/a", b"x")
        fake.scopes.discard("files.content.write")
        assert b"x" == sdk.files_download("/a")[1].content
        with pytest.raises(AuthError) as caught:
            sdk.files_upload(b"y", "/a")
        assert "files.content.write" == caught.value.error.get_missing_scope().required_scope

    def test_a_scope_that_the_app_lacks_is_a_bad_request(
        self, sdk: dropbox.Dropbox, fake: FakeDropbox
    ) -> None:
        """What the app was never granted is refused in plain text."""
        fake.app_scopes.discard("files.content.read")
        with pytest.raises(BadInputError, match=r"files\.content\.read"):
            sdk.files_download("/a")


class TestTeams:
    """Whose files are meant."""

    @pytest.fixture
    def team(self, fake: FakeDropbox) -> Iterator[dropbox.DropboxTeam]:
        """Return the client of a team of two, of whom one is an admin."""
        fake.members, fake.admins = {"dbmid:a", "dbmid:b"}, {"dbmid:b"}
        session = dropbox.create_session(ca_certs=str(fake.ca_file))
        session.trust_env = False
        with dropbox.DropboxTeam(fake.token, session=session) as client:
            yield client

    @staticmethod
    def _on(client: dropbox.Dropbox, fake: FakeDropbox) -> dropbox.Dropbox:
        client._host_map = dict.fromkeys(client._host_map, fake.host)
        return client

    def test_a_member_stores_and_fetches(
        self, team: dropbox.DropboxTeam, fake: FakeDropbox
    ) -> None:
        """By the team's token, as a member or as an admin."""
        self._on(team.as_user("dbmid:a"), fake).files_upload(b"x", "/a")
        admin = self._on(team.as_admin("dbmid:b"), fake)
        assert b"x" == admin.files_download("/a")[1].content

    def test_who_is_no_member_is_refused(
        self, team: dropbox.DropboxTeam, fake: FakeDropbox
    ) -> None:
        """Nor is a member an admin."""
        with pytest.raises(AuthError) as caught:
            self._on(team.as_user("dbmid:x"), fake).files_upload(b"x", "/a")
        assert caught.value.error.is_invalid_select_user()
        with pytest.raises(AuthError) as caught:
            self._on(team.as_admin("dbmid:a"), fake).files_upload(b"x", "/a")
        assert caught.value.error.is_invalid_select_admin()
        assert {} == fake.files

    def test_a_teams_token_is_nobodys(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """Nor may a user's token act as another."""
        fake.members = {"dbmid:a"}
        with pytest.raises(BadInputError, match="entire Dropbox Business team"):
            sdk.files_upload(b"x", "/a")
        fake.members = set()
        status, text = _raw(
            fake, "/2/files/upload", {**_arg(path="/a"), "Dropbox-API-Select-User": "dbmid:a"}
        )
        assert (400, True) == (status, "of a team" in text)

    def _at(self, sdk: dropbox.Dropbox, fake: FakeDropbox, root: PathRoot) -> dropbox.Dropbox:
        return self._on(sdk.with_path_root(root), fake)

    def test_a_root_has_its_own_files(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """What is stored in one namespace is not in another."""
        fake.spaces["77"] = {}
        sdk.files_upload(b"home", "/a")
        self._at(sdk, fake, PathRoot.root(fake.root)).files_upload(b"root", "/a")
        self._at(sdk, fake, PathRoot.namespace_id("77")).files_upload(b"shared", "/a")
        home = self._at(sdk, fake, PathRoot.home)
        assert b"home" == home.files_download("/a")[1].content
        assert [b"root", b"shared"] == [space["/a"].data for space in fake.spaces.values()]

    def test_a_root_that_is_none_is_refused(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """With the tag that tells why."""
        with pytest.raises(PathRootError) as caught:
            self._at(sdk, fake, PathRoot.root("5")).files_upload(b"x", "/a")
        assert caught.value.error.is_invalid_root()
        with pytest.raises(PathRootError) as caught:
            self._at(sdk, fake, PathRoot.namespace_id("5")).files_upload(b"x", "/a")
        assert caught.value.error.is_no_permission()


class TestFaults:
    """Trouble on demand."""

    def test_a_rate_limit_says_when_to_come_back(
        self, sdk: dropbox.Dropbox, fake: FakeDropbox
    ) -> None:
        """The refusal holds for as many requests as were asked for."""
        fake.rate_limit(retry_after=7)
        with pytest.raises(RateLimitError) as caught:
            sdk.files_upload(b"x", "/a")
        assert 7 == caught.value.backoff
        assert 1 == sdk.files_upload(b"x", "/a").size

    def test_a_plain_rate_limit_says_so_in_its_header(
        self, sdk: dropbox.Dropbox, fake: FakeDropbox
    ) -> None:
        """A refusal without JSON still carries Retry-After."""
        fake.rate_limit(retry_after=7, plain=True)
        with pytest.raises(RateLimitError) as caught:
            sdk.files_upload(b"x", "/a")
        assert 7 == caught.value.backoff

    def test_a_write_fails_on_demand(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """Any write error of the vendor can be had."""
        fake.fail_write("insufficient_space")
        with pytest.raises(ApiError) as caught:
            sdk.files_upload(b"x", "/a")
        assert caught.value.error.get_path().reason.is_insufficient_space()

    def test_cursors_are_reset_on_demand(self, sdk: dropbox.Dropbox, fake: FakeDropbox) -> None:
        """A listing can be told to start again."""
        fake.put("/a", b"x")
        page = sdk.files_list_folder("")
        fake.reset_cursors()
        with pytest.raises(ApiError) as caught:
            sdk.files_list_folder_continue(page.cursor)
        assert caught.value.error.is_reset()

    def test_an_answer_is_lost_after_the_write(self, fake: FakeDropbox) -> None:
        """The effect happens although the client never hears of it."""
        fake.lose_answer(path="/2/files/upload")
        with pytest.raises(http.client.RemoteDisconnected):
            _raw(fake, "/2/files/upload", _arg(path="/a"), b"x")
        assert b"x" == fake.read("/a")


class TestRefusals:
    """Requests that the SDK would not send."""

    @pytest.mark.parametrize(
        "kind", ["application/octet-stream; charset=utf-8", "application/json", ""]
    )
    def test_upload_insists_on_its_content_type(self, fake: FakeDropbox, kind: str) -> None:
        """Only the exact content type is taken; the answer is plain text."""
        status, text = _raw(
            fake, "/2/files/upload", {**_arg(path="/a"), "Content-Type": kind}, b"x"
        )
        assert (400, {}) == (status, fake.files)
        assert text.startswith('Error in call to API function "files/upload": Bad HTTP "Content-')

    @pytest.mark.parametrize(
        ("kind", "body", "expected"),
        [
            ("application/octet-stream", b"", 200),
            ("text/plain; charset=utf-8", b"", 200),
            ("", b"", 200),
            ("application/json", b"", 400),
            ("application/x-www-form-urlencoded", b"", 400),
            ("application/octet-stream", b"x", 400),
        ],
    )
    def test_download_wants_neither_body_nor_form(
        self, fake: FakeDropbox, kind: str, body: bytes, expected: int
    ) -> None:
        """A download has no body, and a content type only of the harmless kinds."""
        fake.put("/a", b"x")
        headers = {**_arg(path="/a"), "Content-Type": kind}
        assert expected == _raw(fake, "/2/files/download", headers, body)[0]

    @pytest.mark.parametrize(
        "argument",
        [
            '{"path": "/a"',
            '{"path": "/\u00fc"}',
            '{"path": "/\x7f"}',
            '["/a"]',
            "{}",
            '{"path": "a"}',
            '{"path": 1}',
            '{"path": "/a", "mode": "replace"}',
            '{"path": "/a", "mode": "update"}',
            '{"path": "/a", "overwrite": true}',
            '{"path": "/a", "mute": "yes"}',
            '{"path": "/a", "content_hash": "abc"}',
            '{"path": "/a", "client_modified": "yesterday"}',
        ],
    )
    def test_a_bad_argument_is_a_bad_request(self, fake: FakeDropbox, argument: str) -> None:
        """Arguments are refused that are no JSON, not safe in a header, unknown or mistyped."""
        headers = {"Dropbox-API-Arg": argument, "Content-Type": "application/octet-stream"}
        status, text = _raw(fake, "/2/files/upload", headers, b"x")
        assert (400, {}) == (status, fake.files)
        assert 'HTTP header "Dropbox-API-Arg"' in text

    def test_the_same_name_escaped_is_taken(self, fake: FakeDropbox) -> None:
        """JSON escapes make any name safe in a header."""
        status, _ = _raw(fake, "/2/files/upload", _arg(path="/\u00fc\x7f"), b"x")
        assert (200, b"x") == (status, fake.read("/\u00fc\x7f"))

    def test_the_root_is_the_empty_string(self, fake: FakeDropbox) -> None:
        """A slash is no folder."""
        body = json.dumps({"path": "/"}).encode()
        status, text = _raw(
            fake, "/2/files/list_folder", {"Content-Type": "application/json"}, body
        )
        assert 400 == status
        assert "empty string" in text

    @pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Basic eDp5", "Bearer two words"])
    def test_an_authorization_of_another_kind_is_a_bad_request(
        self, fake: FakeDropbox, value: str
    ) -> None:
        """What cannot be a token is refused before it is looked up."""
        assert 400 == _raw(fake, "/2/files/upload", {**_arg(path="/a"), "Authorization": value})[0]

    def test_too_much_is_refused_unread(self, fake: FakeDropbox) -> None:
        """The announced length is enough to be refused."""
        headers = {**_arg(path="/a"), "Content-Length": str(150 * 1024 * 1024 + 1)}
        status, text = _raw(fake, "/2/files/upload", headers)
        assert (409, "payload_too_large") == (status, json.loads(text)["error"][".tag"])

    def test_get_downloads_only_what_changed(self, fake: FakeDropbox) -> None:
        """A download by GET takes its argument from the URL and knows validators."""
        etag = fake.put("/a", b"x").etag
        target = "/2/files/download?arg=%7B%22path%22%3A%22%2Fa%22%7D"
        assert (200, "x") == _raw(fake, target, {}, method="GET")
        assert (304, "") == _raw(fake, target, {"If-None-Match": etag}, method="GET")

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [("bytes=2-4", "234"), ("bytes=7-", "789"), ("bytes=-3", "789"), ("bytes=8-99", "89")],
    )
    def test_a_range_is_a_part(self, fake: FakeDropbox, wanted: str, expected: str) -> None:
        """A byte range downloads those bytes only."""
        fake.put("/a", b"0123456789")
        headers = {**_arg(path="/a"), "Range": wanted}
        assert (206, expected) == _raw(fake, "/2/files/download", headers)

    def test_a_range_beyond_the_end_is_refused(self, fake: FakeDropbox) -> None:
        """Nothing is there to send."""
        fake.put("/a", b"x")
        headers = {**_arg(path="/a"), "Range": "bytes=5-"}
        assert 416 == _raw(fake, "/2/files/download", headers)[0]
