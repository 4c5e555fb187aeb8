"""The Azure preset stores to Azurite, which verifies signatures, and reads what Azure says."""

from __future__ import annotations

import base64
import itertools
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from azure.storage.blob import (
    BlobBlock,
    ContainerClient,
    ContainerSasPermissions,
    generate_container_sas,
)

from tests.fakes.http import Answer
from tests.fakes.relay import Relay
from tests.leaks.canary import CORE
from tests.leaks.channels import hits, of_error, of_object
from tests.sending.support import HTTPX, MODES, Mode, caught
from webhook_storage import LiteralSecretWarning, Sender, Storage, Webhook
from webhook_storage.artifact import BytesBody
from webhook_storage.contracts import Request, Response, StoreOptions
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
    SecretError,
    ServerError,
    TooLargeError,
    UnexpectedAnswerError,
)
from webhook_storage.policy import Policy
from webhook_storage.resolution import Resolution
from webhook_storage.sender import current_sender
from webhook_storage_presets.azure import LARGEST, Azure
from webhook_storage_presets.azure.answers import refusal
from webhook_storage_presets.azure.listing import list_keys
from webhook_storage_presets.keys import Listed
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fleet.azurite import Azurite
    from tests.fleet.fixtures import StartTcpFault

Make = Callable[..., Azure]

modes = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)

BIG = bytes(range(256)) * 1024
BLOCK = 64 * 1024
BLOCKS = {"blocks_above": BLOCK, "part_size": BLOCK}
WRONG_KEY = base64.b64encode(b"another key").decode()


@pytest.fixture
def container(azurite: Azurite) -> Iterator[ContainerClient]:
    """Make a container for one test."""
    name = f"t{uuid.uuid4().hex}"
    with ContainerClient.from_connection_string(azurite.connection_string, name) as client:
        client.create_container()
        yield client


@pytest.fixture
def make(azurite: Azurite, container: ContainerClient) -> Make:
    """Return a maker of storages in that container."""

    def build(**options: Any) -> Azure:
        ways = {"connection_string", "account_key", "sas", "auth", "anonymous"}
        given = {} if ways & options.keys() else {"connection_string": "${CS}"}
        if options.keys() & (ways - {"connection_string"}):
            given = {"account": azurite.account, "endpoint": azurite.url}
        return Azure(**{"container": container.container_name, **given, **options})

    return build


@pytest.fixture
def relay(azurite: Azurite) -> Iterator[Relay]:
    """Stand before Azurite."""
    with Relay(azurite.origin) as server:
        yield server


@pytest.fixture
def relayed(make: Make, relay: Relay, azurite: Azurite) -> Make:
    """Return a maker of storages that reach Azurite by the relay."""

    def build(**options: Any) -> Azure:
        endpoint = f"{relay.url}/{azurite.account}"
        return make(account_key="${KEY}", endpoint=endpoint, **options)

    return build


def secrets(azurite: Azurite) -> dict[str, str]:
    """Return what placeholders stand for."""
    return {"CS": azurite.connection_string, "KEY": azurite.key}


@pytest.fixture
def _sender(azurite: Azurite) -> Iterator[None]:
    """Let storages resolve the right secrets, and try three times."""
    with HTTPX.sending(secrets(azurite), attempts=3):
        yield


sending = pytest.mark.usefixtures("_sender")


def sas_of(azurite: Azurite, container: ContainerClient, rights: str, **more: Any) -> str:
    """Return a shared access signature that the vendor's SDK makes."""
    return generate_container_sas(
        azurite.account,
        container.container_name,
        more.get("key", azurite.key),
        permission=ContainerSasPermissions.from_string(rights),
        expiry=datetime.now(UTC) + timedelta(hours=more.get("hours", 1)),
    )


class TestArtifacts:
    """Bytes in and out."""

    @modes
    @pytest.mark.parametrize("credential", ["connection_string", "account_key"])
    def test_what_was_put_is_got(
        self, mode: Mode, make: Make, azurite: Azurite, credential: str
    ) -> None:
        """By any transport, with either form of the key."""
        name = {"connection_string": "${CS}", "account_key": "${KEY}"}[credential]
        storage = make(**{credential: name})
        with mode.sending(secrets(azurite)):
            receipt = mode.call(storage, "put", b"31 rows", "a/b.bin")
            stat = mode.call(storage, "stat", "a/b.bin")
            assert b"31 rows" == mode.call(storage, "get", receipt)
            assert ["a/b.bin"] == mode.call(storage, "list")
            mode.call(storage, "delete", "a/b.bin")
            assert not mode.call(storage, "exists", "a/b.bin")
        assert (7, receipt.version, "application/octet-stream") == (
            stat.size,
            stat.version,
            stat.content_type,
        )

    @sending
    @pytest.mark.parametrize("data", [b"", b"x", BIG], ids=["empty", "byte", "large"])
    def test_sizes(self, make: Make, data: bytes) -> None:
        """An empty artifact is one, and a large one is made of blocks."""
        storage = make(**BLOCKS)
        storage.put(data, "a", verify="after")
        assert data == storage.get("a")

    @sending
    @pytest.mark.parametrize(
        "key",
        [
            "a b", "a+b", "é", "日本", "a%b", "a%25b", "a%2Fb", "a//b", "/lead", "a?b", "a#b",
            "a&b=c", "a'b(c)!*", "a;b", "a:b@c$d,e", "~t", "trailing ", " leading", "x" * 1024,
            "${X}", "$$",
        ],
    )  # fmt: skip
    def test_every_key_works(self, make: Make, container: ContainerClient, key: str) -> None:
        """It is stored by its own name, found, listed and deleted."""
        storage = make()
        storage.put(key.encode(), key)
        assert [key] == list(container.list_blob_names()) == storage.list()
        assert key.encode() == storage.get(key)
        storage.delete(key)
        assert not storage.exists(key)

    @sending
    @pytest.mark.parametrize(
        "key",
        ["a\\b", "a\nb", "a/../b", "a\ufffeb", "a\x81", "x" * 1025, "a.", "a./b", "a/...", "x./."],
    )
    def test_a_key_that_cannot_be_is_refused(self, make: Make, key: str) -> None:
        """Before anything is sent, in one line."""
        with pytest.raises(ConfigurationError) as caught_:
            make(endpoint="http://127.0.0.1:9", account_key="${KEY}").put(b"", key)
        assert caught_.value.hint

    @sending
    def test_what_is_replaced_is_gone(self, make: Make) -> None:
        """The second one is there, with another version."""
        storage = make()
        first, second = storage.put(b"1", "a"), storage.put(b"2", "a")
        assert b"2" == storage.get("a")
        assert first.version != second.version

    @sending
    def test_what_is_not_there(self, make: Make) -> None:
        """Fetching and deleting are errors, asking is not."""
        storage = make()
        assert (False, None) == (storage.exists("a"), storage.stat("a"))
        for action in (storage.get, storage.delete):
            with pytest.raises(ObjectNotFoundError, match="no such blob"):
                action("a")

    @sending
    @pytest.mark.parametrize("operation", ["get", "exists", "delete", "list"])
    def test_a_container_that_is_not_there(self, make: Make, operation: str) -> None:
        """Is no blob that is missing."""
        storage = make(container="not-there")
        arguments = () if operation == "list" else ("a",)
        with pytest.raises(ResponseError, match="no such container") as caught_:
            getattr(storage, operation)(*arguments)
        assert "container and account" in (caught_.value.hint or "")

    @sending
    def test_how_a_blob_is_kept(self, make: Make, container: ContainerClient) -> None:
        """Its type, metadata, tier and MD5 are Azure's own, in blocks too."""
        storage = make(
            content_type="text/csv", metadata={"made_by": "us"}, access_tier="Cool", **BLOCKS
        )
        for key, data in {"one": b"hello world", "blocks": BIG}.items():
            storage.put(data, key)
            found = container.get_blob_client(key).get_blob_properties()
            settings = found.content_settings
            assert ("text/csv", {"made_by": "us"}, "Cool") == (
                settings.content_type,
                found.metadata,
                found.blob_tier,
            )
            assert settings.content_md5 is not None

    @sending
    def test_a_page_is_an_artifact_too(self, make: Make) -> None:
        """It is no login page, wherever it was stored as one."""
        storage = make(content_type="text/html")
        storage.put(b"<html>31 rows</html>", "a")
        assert b"<html>31 rows</html>" == storage.get("a")

    @sending
    def test_metadata_of_any_name_is_signed(self, make: Make, container: ContainerClient) -> None:
        """The service sorts them by its own rule before it compares the signature."""
        metadata = dict.fromkeys(("a", "a1", "a_b", "ab", "A2", "_a", "__"), "x")
        make(metadata=metadata).put(b"", "a")
        found = container.get_blob_client("a").get_blob_properties().metadata
        assert {name.lower() for name in metadata} == {name.lower() for name in found or {}}

    @sending
    def test_a_flow_is_under_its_slug_and_the_time(
        self, make: Make, container: ContainerClient
    ) -> None:
        """As Prefect's Azure storage named it."""

        def triple(number: int) -> int:
            """Be a flow."""
            return 3 * number

        storage = make()
        storage.add_flow(triple)
        storage.build()
        [name] = container.list_blob_names()
        assert name.startswith("triple/20")
        assert 6 == Storage.from_json(storage.to_json()).get_flow("triple")(2)

    @sending
    @pytest.mark.parametrize("data", [b"31 rows", BIG], ids=["one request", "blocks"])
    def test_a_key_of_the_contents_and_an_id(
        self, make: Make, container: ContainerClient, data: bytes
    ) -> None:
        """What is only known when it is stored is in the receipt."""
        storage = make(key="${artifact.sha256}/${build.uuid}", **BLOCKS)
        receipt = storage.put(data)
        assert [f"{receipt.sha256}/{receipt.build_uuid}"] == list(container.list_blob_names())
        assert data == storage.get(receipt)

    def test_a_secret_in_the_key(
        self, make: Make, azurite: Azurite, container: ContainerClient
    ) -> None:
        """Goes to the host of the connection string, and is not in the receipt."""
        storage = make(key="of.${TEAM}/${artifact.key}")
        with HTTPX.sending({**secrets(azurite), "TEAM": "team-canary"}):
            receipt = storage.put(b"31 rows", "a")
            assert (b"31 rows", ["a"]) == (storage.get(receipt), storage.list())
        assert ["of.team-canary/a"] == list(container.list_blob_names())
        assert "canary" not in receipt.model_dump_json()

    @sending
    def test_a_list_has_several_pages(self, make: Make) -> None:
        """Each page says where the next one begins."""
        storage = make(key="d/${artifact.key}.bin")
        keys = sorted(f"{number} é+" for number in range(7))
        for key in keys:
            storage.put(b"", key)
        make().put(b"", "elsewhere.bin")

        def pages() -> Any:
            facts = yield from storage._located({})
            return (yield from list_keys(storage._api, Listed(storage.key), facts, 2))

        assert keys == sorted(current_sender().run(pages())) == sorted(storage.list())


class TestConditions:
    """What must hold of what is there."""

    @sending
    @pytest.mark.parametrize("data", [b"2", BIG], ids=["one request", "blocks"])
    def test_create_only(self, make: Make, data: bytes) -> None:
        """Once, and not twice."""
        storage = make(**BLOCKS)
        storage.put(data, "a", if_absent=True)
        with pytest.raises(ObjectExistsError, match="BlobAlreadyExists"):
            storage.put(data[::-1] + b"!", "a", if_absent=True)
        assert data == storage.get("a")

    @sending
    @pytest.mark.parametrize("data", [b"2", BIG], ids=["one request", "blocks"])
    def test_replace_only_what_is_known(self, make: Make, data: bytes) -> None:
        """The version of the receipt, and no other."""
        storage = make(**BLOCKS)
        first = storage.put(b"1", "a")
        storage.put(data, "a", if_unchanged=first)
        with pytest.raises(ConflictError, match="ConditionNotMet"):
            storage.put(data + b"!", "a", if_unchanged=first)
        assert data == storage.get("a")

    @sending
    @pytest.mark.parametrize("data", [b"2" * 100, BIG], ids=["one request", "blocks"])
    @pytest.mark.parametrize("condition", ["if_absent", "if_unchanged"])
    def test_a_lost_answer_is_no_conflict(
        self, relayed: Make, relay: Relay, data: bytes, condition: str
    ) -> None:
        """What the first attempt stored is recognized by the second."""
        storage = relayed(**BLOCKS)
        given: dict[str, Any] = {"if_absent": True}
        if condition == "if_unchanged":
            given = {"if_unchanged": storage.put(b"1", "a")}
        relay.inject(lose_last(data), times=None, after=True)
        receipt = storage.put(data, "a", **given)
        stat = storage.stat("a")
        assert stat is not None
        assert (receipt.version, data) == (stat.version, storage.get("a"))

    @sending
    def test_a_lost_answer_does_not_hide_a_conflict(self, relayed: Make, relay: Relay) -> None:
        """Somebody else's bytes are in the way, whatever was lost."""
        storage = relayed()
        storage.put(b"theirs", "a")
        relay.lose_answer()
        with pytest.raises(ObjectExistsError):
            storage.put(b"ours", "a", if_absent=True)

    @sending
    def test_a_lost_answer_to_a_deletion(self, relayed: Make, relay: Relay) -> None:
        """It is gone, as was wanted."""
        storage = relayed()
        storage.put(b"1", "a")
        relay.lose_answer()
        storage.delete("a")
        assert not storage.exists("a")


def lose_last(data: bytes) -> Callable[[Any], Answer | None]:
    """Return a fault that drops the first answer to the request which makes a blob of the data."""
    lost: list[bool] = []

    def fault(request: Any) -> Answer | None:
        makes = request.query.get("comp") == ("blocklist" if data is BIG else None)
        if request.method != "PUT" or not makes or lost:
            return None
        lost.append(True)
        return Answer(0)

    return fault


class TestBlocks:
    """A large artifact."""

    @sending
    def test_parts_are_sent_again_alone(self, relayed: Make, relay: Relay) -> None:
        """A server that is busy once gets that block again, and no other."""
        relay.inject(lambda request: Answer(503) if request.query.get("comp") == "block" else None)
        relayed(**BLOCKS).put(BIG, "a")
        sent = [request.query["blockid"] for request in relay.requests if len(request.query) == 2]
        assert (4, 5) == (len({*sent}), len(sent))
        assert {24} == {len(base64.b64decode(name)) for name in sent}

    @sending
    def test_each_block_has_its_md5(self, relayed: Make, relay: Relay) -> None:
        """The service compares it."""
        relayed(**BLOCKS).put(BIG, "a")
        blocks = [request for request in relay.requests if request.query.get("comp") == "block"]
        assert all(request.headers.get("content-md5") for request in blocks)

    @sending
    def test_two_uploads_do_not_mix(self, relayed: Make, relay: Relay) -> None:
        """Each has names of its own for its blocks."""
        storage = relayed(**BLOCKS)
        storage.put(BIG, "a")
        storage.put(BIG, "a")
        names = [request.query["blockid"] for request in relay.requests if len(request.query) == 2]
        assert (8, 8) == (len(names), len({*names}))

    @sending
    def test_who_is_overtaken_is_told(
        self, relayed: Make, relay: Relay, container: ContainerClient
    ) -> None:
        """A blob that somebody makes meanwhile takes the blocks of all others away."""
        theirs: list[bytes] = []

        def overtake(request: Any) -> None:
            if request.query.get("comp") == "blocklist" and not theirs:
                theirs.append(b"theirs")
                blob = container.get_blob_client("a")
                blob.stage_block("x" * 24, theirs[0])
                blob.commit_block_list([BlobBlock("x" * 24)])

        relay.inject(overtake, times=None)
        with pytest.raises(ConflictError, match="not those that are there"):
            relayed(**BLOCKS).put(BIG, "a")
        assert b"theirs" == container.download_blob("a").readall()

    @sending
    def test_many_blocks_that_wait_are_read(
        self, relayed: Make, relay: Relay, tmp_path: Path
    ) -> None:
        """Those of other uploads among them."""
        storage, resume = relayed(**BLOCKS, parallel=1), tmp_path / "resume"
        relay.inject(
            lambda request: Answer(403) if request.query.get("comp") == "blocklist" else None,
            times=None,
        )
        with pytest.raises(PermissionDeniedError):
            storage.put(BIG, "a", resume=resume)
        relay.clear_faults()
        sent = [request.query["blockid"] for request in relay.requests if len(request.query) == 2]
        names = "".join(
            f"<Block><Name>{name}</Name><Size>1</Size></Block>"
            for name in [*(["b3RoZXI="] * 70_000), *sent]
        )
        text = f"<BlockList><UncommittedBlocks>{names}</UncommittedBlocks></BlockList>"
        relay.inject(Answer(200, text.encode()))
        relay.requests.clear()
        storage.put(BIG, "a", resume=resume)
        assert ["GET", "PUT"] == [request.method for request in relay.requests]

    @sending
    def test_an_upload_goes_on(self, relayed: Make, relay: Relay, tmp_path: Path) -> None:
        """Blocks that are there are not sent again."""
        storage, resume = relayed(**BLOCKS, parallel=1), tmp_path / "resume"
        blocks: list[str] = []

        def fail(request: Any) -> Answer | None:
            if request.query.get("comp") == "block":
                blocks.append(request.query["blockid"])
            return Answer(500) if len(blocks) > 2 else None

        relay.inject(fail, times=None)
        with pytest.raises(ServerError):
            storage.put(BIG, "a", resume=resume)
        relay.clear_faults()
        relay.requests.clear()
        storage.put(BIG, "a", resume=resume)
        again = [request.query.get("blockid") for request in relay.requests]
        assert (BIG, False) == (storage.get("a"), resume.exists())
        assert (2, set()) == (len([*filter(None, again)]), {*blocks[:2]} & {*again})

    @sending
    def test_an_upload_that_was_finished_is_known(
        self, relayed: Make, relay: Relay, tmp_path: Path
    ) -> None:
        """When the last answer was lost for good, the next process finds the blob."""
        storage, resume = relayed(**BLOCKS), tmp_path / "resume"
        relay.inject(
            lambda request: Answer(0) if request.query.get("comp") == "blocklist" else None,
            times=None,
            after=True,
        )
        with pytest.raises(OSError, match="comp=blocklist"):
            storage.put(BIG, "a", resume=resume)
        relay.clear_faults()
        relay.requests.clear()
        storage.put(BIG, "a", resume=resume)
        assert {"GET", "HEAD"} == {request.method for request in relay.requests}
        assert BIG == storage.get("a")

    def test_what_is_too_large_is_refused(self) -> None:
        """Before anything is read or sent."""

        class Huge(BytesBody):
            @property
            def size(self) -> int:
                return LARGEST + 1

        exchange = Azure(container="flows", account="acct").store_exchange(Huge(b""), {})
        with pytest.raises(TooLargeError, match="of one blob"):
            next(exchange)


class TestDamage:
    """Other bytes than were sent."""

    @sending
    def test_a_store_that_says_another_md5(self, relayed: Make, relay: Relay) -> None:
        """Is an error."""
        headers = {"ETag": '"0x1"', "Content-MD5": "XrY7u+Ae7tCTyyK7j1rNww=="}
        relay.inject(Answer(201, b"", headers))
        with pytest.raises(IntegrityError):
            relayed().put(b"31 rows", "a")

    @sending
    def test_bytes_that_change_on_the_way_there(self, make: Make, azurite: Azurite) -> None:
        """The service refuses them by their MD5, in one request and in blocks."""

        class Spoiling(Relay):
            def answer(self, request: Any, body: bytes) -> Answer:
                return super().answer(request, body.replace(b"31", b"32"))

        with Spoiling(azurite.origin) as spoiling:
            endpoint = f"{spoiling.url}/{azurite.account}"
            storage = make(account_key="${KEY}", endpoint=endpoint, **BLOCKS)
            for data in (b"31 rows", b"31 rows" * BLOCK):
                # Azurite's code is another one than Azure's.
                with pytest.raises(ResponseError, match="answered 400"):
                    storage.put(data, "a")
            assert not storage.exists("a")

    @sending
    def test_damage_on_the_way_there_is_tried_again(self, relayed: Make, relay: Relay) -> None:
        """Another attempt may get through; when none does, it is no fault of the artifact."""
        storage, damaged = relayed(), Answer(400, b"", {"x-ms-error-code": "Md5Mismatch"})
        relay.inject(damaged)
        storage.put(b"31 rows", "a")
        assert 2 == len(relay.requests)
        relay.inject(damaged, times=None)
        with pytest.raises(IntegrityError, match="Md5Mismatch"):
            storage.put(b"31 rows", "a")
        assert 5 == len(relay.requests)

    @sending
    def test_a_download_that_breaks_off_goes_on(
        self, make: Make, azurite: Azurite, tcpfault: StartTcpFault
    ) -> None:
        """The rest is asked for, with a signature of its own."""
        make().put(BIG, "a")
        fault = tcpfault(
            int(azurite.origin.rpartition(":")[2]), "cut", after=len(BIG) // 2, times=1
        )
        endpoint = f"http://127.0.0.1:{fault.port}/{azurite.account}"
        assert BIG == make(account_key="${KEY}", endpoint=endpoint).get("a")
        assert fault.answered < 2 * len(BIG)

    @sending
    def test_bytes_that_change_on_the_way_back(self, make: Make, azurite: Azurite) -> None:
        """The MD5 that is kept with a blob finds it."""

        class Spoiling(Relay):
            def answer(self, request: Any, body: bytes) -> Answer:
                found = super().answer(request, body)
                return Answer(found.status, found.body.replace(b"31", b"32"), found.headers)

        make().put(b"31 rows", "a")
        with Spoiling(azurite.origin) as spoiling:
            storage = make(account_key="${KEY}", endpoint=f"{spoiling.url}/{azurite.account}")
            with pytest.raises(IntegrityError):
                storage.get("a")


class TestCredentials:
    """Right ones and wrong ones."""

    @modes
    @pytest.mark.parametrize("credential", ["connection_string", "account_key"])
    def test_a_wrong_key(self, mode: Mode, make: Make, azurite: Azurite, credential: str) -> None:
        """Is refused, and stores nothing."""
        name = {"connection_string": "${CS}", "account_key": "${KEY}"}[credential]
        wrong = {"CS": azurite.connection_string_by(WRONG_KEY), "KEY": WRONG_KEY}
        storage = make(**{credential: name})
        with mode.sending(wrong):
            for operation in ("get", "exists", "delete"):
                error = caught(lambda: mode.call(storage, operation, "a"))  # noqa: B023
                assert isinstance(error, PermissionDeniedError)
                assert "key right" in (error.hint or "")

    def test_a_key_that_was_rotated(self, make: Make, azurite: Azurite) -> None:
        """Is asked for again, and the request is sent once more."""
        answers = iter([WRONG_KEY, azurite.key])

        class Rotating(MappingResolver):
            def resolve(self, references: Any, deadline: Any) -> Any:
                found = MappingResolver({"KEY": next(answers)})
                return found.resolve(references, deadline)

        with HTTPX.sending(resolver=Rotating({})):
            make(account_key="${KEY}").put(b"31 rows", "a")
        assert [] == [*answers]

    @pytest.mark.parametrize("form", ["field", "question mark", "connection string"])
    def test_a_shared_access_signature(
        self, make: Make, azurite: Azurite, container: ContainerClient, form: str
    ) -> None:
        """Its query goes along as it is, be the request large or small."""
        sas = sas_of(azurite, container, "rwdl")
        told = {
            "SAS": f"?{sas}" if form == "question mark" else sas,
            "CS": f"BlobEndpoint={azurite.url};SharedAccessSignature={sas}",
        }
        given = {"connection_string": "${CS}"} if form == "connection string" else {"sas": "${SAS}"}
        with HTTPX.sending(told):
            storage = make(**given, **BLOCKS)
            for key, data in {"a b": b"31 rows", "big": BIG}.items():
                receipt = storage.put(data, key)
                assert data == storage.get(receipt)
                assert sas not in receipt.model_dump_json()
            assert ["a b", "big"] == storage.list()
            storage.delete("a b")

    @pytest.mark.parametrize(
        ("rights", "more", "kind"),
        [
            ("r", {}, PermissionDeniedError),
            ("rw", {"hours": -1}, ResponseError),
            ("rw", {"key": WRONG_KEY}, ResponseError),
        ],
        ids=["read only", "expired", "wrong key"],
    )
    def test_a_shared_access_signature_that_is_not_enough(
        self,
        make: Make,
        azurite: Azurite,
        container: ContainerClient,
        rights: str,
        more: dict[str, Any],
        kind: type[Exception],
    ) -> None:
        """Stores nothing, and is not told."""
        sas = sas_of(azurite, container, rights, **more)
        with HTTPX.sending({"SAS": sas}):
            error = caught(lambda: make(sas="${SAS}").put(b"31 rows", "a"))
        assert isinstance(error, kind)
        assert sas.rpartition("sig=")[2] not in f"{error} {error.hint}"  # type: ignore[attr-defined]
        assert [] == list(container.list_blob_names())

    @modes
    @pytest.mark.parametrize("operation", ["put", "get", "exists", "list"])
    @pytest.mark.parametrize("form", ["field", "connection string"])
    def test_a_shared_access_signature_that_has_ended_is_asked_for_again(
        self,
        mode: Mode,
        make: Make,
        azurite: Azurite,
        container: ContainerClient,
        operation: str,
        form: str,
    ) -> None:
        """Somebody has renewed it meanwhile; the request is sent once more, with the new one."""
        container.upload_blob("a", b"31 rows")
        queries = [sas_of(azurite, container, "rwdl", hours=hours) for hours in (-1, 1)]
        texts = queries
        if form == "connection string":
            texts = [f"BlobEndpoint={azurite.url};SharedAccessSignature={sas}" for sas in queries]
        held = {"S": texts[0]}

        class Renewed(MappingResolver):
            def resolve(self, references: Any, deadline: Any) -> Any:
                found = MappingResolver(held).resolve(references, deadline)
                held["S"] = texts[1]
                return found

        field = "sas" if form == "field" else "connection_string"
        arguments = {"put": (b"31 rows", "a"), "list": ()}.get(operation, ("a",))
        with mode.sending(resolver=Renewed({})):
            assert mode.call(make(**{field: "${S}"}), operation, *arguments)

    @sending
    @pytest.mark.parametrize("shown", ["as it was sent", "decoded"])
    def test_a_signature_that_a_server_repeats_alone_is_not_shown(
        self, make: Make, relay: Relay, azurite: Azurite, container: ContainerClient, shown: str
    ) -> None:
        """Neither in an error nor in a list: it is worth as much as the whole query."""
        sas = sas_of(azurite, container, "rwdl")
        sent = sas.rpartition("sig=")[2]
        signature = unquote(sent) if shown == "decoded" else sent
        storage = make(sas="${SAS}", endpoint=f"{relay.url}/{azurite.account}")
        page = (
            f"<EnumerationResults><Blobs><Blob><Name>{signature}</Name></Blob></Blobs>"
            "</EnumerationResults>"
        )
        with HTTPX.sending({"SAS": sas}):
            relay.inject(Answer(500, f"refused: sig={signature}".encode()))
            errors = [caught(lambda: storage.get("a"))]
            relay.inject(Answer(200, page.encode()))
            errors.append(caught(storage.list))
        assert [ServerError, UnexpectedAnswerError] == [*map(type, errors)]
        assert not any(signature in text for error in errors for text in map(str, of_error(error)))

    def test_a_connection_string_goes_nowhere_else(
        self, make: Make, relay: Relay, azurite: Azurite, container: ContainerClient
    ) -> None:
        """Whatever place a definition says: it is that of the connection string or none."""
        sas = sas_of(azurite, container, "rwdl")
        texts = [
            azurite.connection_string,
            f"BlobEndpoint={azurite.url};SharedAccessSignature={sas}",
        ]
        storage = make(connection_string="${CS}", endpoint=f"{relay.url}/{azurite.account}")
        for text in texts:
            with HTTPX.sending({"CS": text}):
                error = caught(lambda: storage.put(b"31 rows", "a"))
            assert isinstance(error, ConfigurationError)
            assert "leads to another place" in str(error)
        assert [] == relay.requests

    @sending
    @pytest.mark.parametrize("operation", ["get", "exists", "delete"])
    def test_nobody_may_do_nothing(self, make: Make, operation: str) -> None:
        """A container that is not public says so, and forbidden is not absent."""
        make().put(b"31 rows", "a")
        with pytest.raises(PermissionDeniedError):
            getattr(make(anonymous=True), operation)("a")

    @sending
    def test_anybody_may_read_what_is_public(self, make: Make, container: ContainerClient) -> None:
        """Without a credential."""
        make().put(b"31 rows", "a")
        container.set_container_access_policy({}, public_access="container")
        assert b"31 rows" == make(anonymous=True).get("a")

    @pytest.mark.parametrize("text", ["canary", "AccountName=acct;AccountKey=canary!"])
    def test_a_connection_string_that_is_none(self, make: Make, text: str) -> None:
        """Is told in one line, with nothing of it."""
        with HTTPX.sending({"CS": text}):
            error = caught(lambda: make().get("a"))
        assert isinstance(error, ConfigurationError)
        assert "canary" not in f"{error} {error.hint}"

    def test_a_connection_string_that_is_empty(self, make: Make) -> None:
        """Goes nowhere, even where a default says so."""
        with HTTPX.sending({}):
            error = caught(lambda: make(connection_string="${CS:-}").get("a"))
        assert isinstance(error, (ConfigurationError, SecretError))

    @pytest.mark.parametrize("field", ["connection_string", "account_key", "sas"])
    def test_a_policy_holds_for_the_host(
        self, make: Make, relay: Relay, azurite: Azurite, field: str
    ) -> None:
        """What may go to Azure only goes nowhere else, wherever the place is from."""
        texts = {
            "connection_string": azurite.connection_string.replace(azurite.origin, relay.url),
            "account_key": azurite.key,
            "sas": "sv=1&sig=c2ln",
        }
        endpoint = {"endpoint": f"{relay.url}/{azurite.account}"}
        storage = make(**{field: "${S}"}, **({} if field == "connection_string" else endpoint))
        resolution = Resolution(
            [MappingResolver({"S": texts[field]})], policy=Policy(hosts={"S": ["*.windows.net"]})
        )
        with Sender(secrets=resolution):
            error = caught(lambda: storage.put(b"", "a"))
        assert isinstance(error, (ConfigurationError, SecretError))
        assert "${S}" in str(error)
        assert [] == relay.requests

    def test_nothing_of_a_secret_is_shown(self, make: Make, azurite: Azurite) -> None:
        """Not by the storage, an error, or a receipt; the key and the string are canaries."""
        key = base64.b64encode(CORE.encode() * 3).decode()
        text = azurite.connection_string_by(key)
        storage = make()
        with HTTPX.sending({"CS": text}):
            error = caught(lambda: storage.put(b"", "a"))
        assert isinstance(error, PermissionDeniedError)
        shown = [*of_error(error), *of_object(storage), *of_object(storage._auth)]
        assert [] == hits(shown)
        assert not any(key in str(text) or azurite.url in str(text) for _, text in of_error(error))


class TestAnswers:
    """What Azure says when something is wrong."""

    @sending
    @pytest.mark.parametrize(
        ("status", "code", "kind", "hint"),
        [
            (400, "InvalidMd5", IntegrityError, "alters"),
            (400, "OutOfRangeInput", ResponseError, "1,024"),
            (400, "Unheard", ResponseError, "code"),
            (403, "AuthenticationFailed", AuthenticationError, "not expired"),
            (403, "AuthorizationPermissionMismatch", PermissionDeniedError, "Data Contributor"),
            (403, "AuthorizationFailure", PermissionDeniedError, "firewall"),
            (401, "InvalidAuthenticationInfo", AuthenticationError, "expired"),
            (401, "NoAuthenticationInformation", AuthenticationError, "credential"),
            (403, "UnauthorizedBlobOverwrite", PermissionDeniedError, "permission w"),
            (404, "ContainerNotFound", ResponseError, "container"),
            (404, "ResourceNotFound", ResponseError, "not public"),
            (409, "InvalidBlobType", ConflictError, "delete it"),
            (409, "BlobArchived", PermissionDeniedError, "Hot"),
            (409, "BlobImmutableDueToPolicy", PermissionDeniedError, "policy"),
            (409, "ContainerBeingDeleted", ConflictError, "wait"),
            (412, "LeaseIdMissing", ConflictError, "lease"),
            (413, "RequestBodyTooLarge", TooLargeError, "blocks_above"),
        ],
    )
    @pytest.mark.parametrize("form", ["header", "body"])
    def test_codes(
        self,
        relayed: Make,
        relay: Relay,
        status: int,
        code: str,
        kind: type[Exception],
        hint: str,
        form: str,
    ) -> None:
        """Each has its error, its words and its hint; the message is not shown."""
        headers = {"x-ms-error-code": code} if form == "header" else {}
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>canary</Message></Error>"
        body = b"canary" if form == "header" else text.encode()
        relay.inject(Answer(status, body, headers), times=None)
        error = caught(lambda: relayed().put(b"31 rows", "a"))
        assert (kind, True) == (type(error), hint in (getattr(error, "hint", None) or ""))
        assert (True, False) == (f"({code})" in str(error), "canary" in str(error))

    @sending
    @pytest.mark.parametrize("code", ["../canary", "canary key", ""])
    def test_a_code_that_is_none_is_not_shown(self, relayed: Make, relay: Relay, code: str) -> None:
        """The status says what it is then."""
        relay.inject(Answer(409, b"", {"x-ms-error-code": code}), times=None)
        error = caught(lambda: relayed().put(b"31 rows", "a"))
        assert isinstance(error, ConflictError)
        assert "canary" not in str(error)

    @sending
    @pytest.mark.parametrize(
        ("condition", "kind"),
        [({"if_absent": True}, ObjectExistsError), ({"if_unchanged": '"0x1"'}, ConflictError)],
    )
    def test_a_condition_that_does_not_hold(
        self, relayed: Make, relay: Relay, condition: dict[str, Any], kind: type[Exception]
    ) -> None:
        """Azure says 412 of either, and sometimes 409."""
        relay.inject(Answer(412, b"", {"x-ms-error-code": "ConditionNotMet"}), times=None)
        assert kind is type(caught(lambda: relayed().put(b"31 rows", "a", **condition)))

    @sending
    def test_a_code_in_something_else_is_none(self, relayed: Make, relay: Relay) -> None:
        """A proxy has words of its own."""
        relay.inject(Answer(409, b"<Page><Code>Canary</Code></Page>"), times=None)
        assert "Canary" not in str(caught(lambda: relayed().put(b"31 rows", "a")))

    @sending
    def test_a_signature_follows_no_redirect(self, relayed: Make, relay: Relay) -> None:
        """Not even on the same host: Azure sends none."""
        relay.inject(Answer(307, b"", {"Location": "/elsewhere"}))
        with pytest.raises(RedirectRefusedError):
            relayed().put(b"31 rows", "a")
        assert 1 == len(relay.requests)

    @sending
    def test_a_proxy_in_between(self, relayed: Make, relay: Relay) -> None:
        """A success without an ETag, and a list that is none, are no Azure's."""
        storage = relayed()
        for action in (lambda: storage.get("a"), storage.list):
            relay.inject(Answer(200, b"<p>welcome</p>"))
            with pytest.raises(UnexpectedAnswerError):
                action()

    @sending
    @pytest.mark.parametrize(
        ("operation", "answer"),
        [
            ("put", Answer(200, b"<p>welcome</p>", {"ETag": "x"})),
            ("put", Answer(201)),
            ("exists", Answer(200)),
            ("exists", Answer(203, b"", {"ETag": "x"})),
            ("get", Answer(203, b"<p>welcome</p>", {"ETag": "x"})),
            ("delete", Answer(200, b"<p>welcome</p>")),
        ],
        ids=["page", "no ETag", "nothing", "no answer", "altered", "not deleted"],
    )
    def test_a_success_of_somebody_else(
        self, relayed: Make, relay: Relay, operation: str, answer: Answer
    ) -> None:
        """A proxy that says yes to everything has stored and deleted nothing."""
        relay.inject(answer)
        arguments = (b"31 rows", "a") if operation == "put" else ("a",)
        error = caught(lambda: getattr(relayed(), operation)(*arguments))
        assert isinstance(error, UnexpectedAnswerError)
        assert "a proxy in between" in (error.hint or "")

    @sending
    @pytest.mark.parametrize("comp", ["block", "blocklist"])
    def test_a_success_of_somebody_else_in_the_middle(
        self, relayed: Make, relay: Relay, comp: str
    ) -> None:
        """Blocks are no exception."""
        relay.inject(
            lambda request: Answer(200) if request.query.get("comp") == comp else None, times=None
        )
        with pytest.raises(UnexpectedAnswerError, match="answered 200"):
            relayed(**BLOCKS).put(BIG, "a")

    @pytest.mark.parametrize(
        ("minutes", "hint"),
        [(-16, "set the clock"), (16, "set the clock"), (14, "not expired"), (None, "not expired")],
    )
    @pytest.mark.parametrize("code", ["AuthenticationFailed", "AuthorizationPermissionMismatch"])
    def test_a_clock_that_is_wrong(self, code: str, minutes: int | None, hint: str) -> None:
        """The service says its own time with the refusal, and more than a quarter is too much."""
        headers = {"x-ms-error-code": code, "date": "no date"}
        if minutes is not None:
            date = datetime.now(UTC) + timedelta(minutes=minutes)
            headers["date"] = format_datetime(date, usegmt=True)
        request = Request(method="PUT", url="https://acct.blob.core.windows.net/flows/a")
        error = refusal(request, Response(status=403, headers=headers))
        forbidden = code == "AuthorizationPermissionMismatch"
        kind = PermissionDeniedError if forbidden else AuthenticationError
        assert (kind, True) == (
            type(error),
            ("a role for data" if forbidden else hint) in (error.hint or ""),
        )

    @sending
    def test_pages_that_follow_each_other_for_ever(self, relayed: Make, relay: Relay) -> None:
        """Also when it is not the same one twice running."""
        markers = itertools.cycle("xyz")
        text = "<EnumerationResults><Blobs/><NextMarker>{}</NextMarker></EnumerationResults>"
        relay.inject(lambda _: Answer(200, text.format(next(markers)).encode()), times=None)
        with pytest.raises(UnexpectedAnswerError, match="same page"):
            relayed().list()
        assert 4 == len(relay.requests)

    @sending
    def test_names_that_xml_cannot_hold(self, relayed: Make, relay: Relay) -> None:
        """They are percent-encoded, and say so; a percent sign of any other name is its own."""
        blobs = (
            '<Blob><Name Encoded="true">a%25b%EF%BF%BF%20c</Name></Blob>'
            '<Blob><Name Encoded="false">d%25</Name></Blob><Blob><Name>e%25 </Name></Blob>'
        )
        page = f"<EnumerationResults><Blobs>{blobs}</Blobs></EnumerationResults>"
        relay.inject(Answer(200, page.encode()))
        assert ["a%b\uffff c", "d%25", "e%25 "] == relayed().list()

    @sending
    @pytest.mark.parametrize("name", ['<Name Encoded="true">%FF</Name>', "<Name/>", ""])
    def test_a_name_that_is_none(self, relayed: Make, relay: Relay, name: str) -> None:
        """Is not left out of a list."""
        page = f"<EnumerationResults><Blobs><Blob>{name}</Blob></Blobs></EnumerationResults>"
        relay.inject(Answer(200, page.encode()))
        with pytest.raises(UnexpectedAnswerError, match="a name that cannot be read"):
            relayed().list()

    @sending
    def test_a_list_without_end(self, relayed: Make, relay: Relay) -> None:
        """The same page twice is not asked for a third time."""
        page = b"<EnumerationResults><Blobs/><NextMarker>x</NextMarker></EnumerationResults>"
        relay.inject(Answer(200, page), times=None)
        with pytest.raises(UnexpectedAnswerError, match="same page"):
            relayed().list()
        assert 2 == len(relay.requests)

    @sending
    def test_directories_are_no_blobs(self, relayed: Make, relay: Relay) -> None:
        """An account with directories lists them too."""
        blobs = "".join(
            f"<Blob><Name>{name}</Name><Properties><ResourceType>{kind}</ResourceType>"
            "</Properties></Blob>"
            for name, kind in (("d", "directory"), ("d/a", "file"))
        )
        page = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>"
        relay.inject(Answer(200, page.encode()))
        assert ["d/a"] == relayed().list()

    @sending
    def test_a_version_is_fetched_again(self, relayed: Make, relay: Relay) -> None:
        """Where the account keeps versions, a receipt names one."""
        headers = {"ETag": '"0x1"', "x-ms-version-id": "2026-01-02T03:04:05.0000001Z"}
        relay.inject(Answer(201, b"", headers))
        storage = relayed()
        receipt = storage.put(b"31 rows", "a")
        relay.inject(Answer(200, b"31 rows", headers))
        assert b"31 rows" == storage.get(receipt)
        assert "versionid=2026-01-02T03%3A04%3A05.0000001Z" in relay.last.target


class TestDefinition:
    """What a storage says of itself."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"connection_string": "${CS}"},
            {"account": "acct", "account_key": "${KEY}", "key": "${flow.slug}/latest"},
            {"account": "acct", "sas": "${SAS}", "metadata": {"a": "b"}},
            {"account": "acct", "auth": {"type": "entra", "credential": "cli"}},
            {"account": "acct", "auth": {"type": "bearer", "token": "${TOKEN}"}},
            {"account": "acct", "anonymous": True},
        ],
    )
    def test_it_comes_back_from_json(self, fields: dict[str, Any]) -> None:
        """Equal, whoever sends."""
        storage = Azure(container="flows", **fields)
        assert storage == Storage.from_json(storage.to_json())

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({}, "give an account"),
            ({"account_key": "${KEY}", "endpoint": "https://h"}, "belong together"),
            ({"account": "acct", "sas": "${S}", "anonymous": True}, "contradict"),
            ({"account": "Acct"}, "no name of an account"),
            ({"account": "acct", "container": "A"}, "no name of a container"),
            ({"account": "acct", "container": "a--b"}, "no name of a container"),
            ({"account": "acct", "key": "a/"}, "ends with a name"),
            ({"account": "acct", "key": "a\\${artifact.key}"}, "backslash"),
            ({"account": "acct", "metadata": {"a-b": "c"}}, "underscores"),
            ({"endpoint": "https://h/acct?sv=1"}, "without a query"),
            ({"endpoint": "https://h/acct#a"}, "without a query"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, fields: dict[str, Any], why: str) -> None:
        """In one line that says what is wrong."""
        with pytest.raises(ConfigurationError, match=why):
            Azure(**{"container": "flows", **fields})

    def test_a_secret_in_the_definition_is_warned_of(self) -> None:
        """It would be stored and shown."""
        with pytest.warns(LiteralSecretWarning):
            Azure(container="flows", account="acct", sas="sv=2021&sig=abc")

    def test_a_fixed_key_has_no_list(self) -> None:
        """There is one artifact."""
        with pytest.raises(ConfigurationError):
            next(Azure(container="flows", account="acct", key="a").list_exchange({}))

    @pytest.mark.parametrize("container", ["$root", "$web"])
    def test_containers_of_azures_own(self, container: str) -> None:
        """Their dollar is text."""
        storage = Azure(container=container, account="acct", anonymous=True)
        with HTTPX.sending({}) as sender:
            shown = sender.preview(storage.exchange("fetch", "a")).url
        assert shown == f"https://acct.blob.core.windows.net/{container}/a"

    def test_a_preview_shows_no_secret(self) -> None:
        """The connection string stays closed; where it leads is made up."""
        storage = Azure(container="flows", connection_string="${CS}")
        with HTTPX.sending({"CS": "AccountName=acct;AccountKey=canary"}) as sender:
            preview = sender.preview(storage.exchange("fetch", "a b"))
        assert "https://account.blob.core.windows.net/flows/a%20b" == preview.url
        assert "connection string" in preview.signature

    def test_http_stays_on_this_machine(self) -> None:
        """A signature is worth nothing to a listener, the artifact is."""
        storage = Azure(container="flows", endpoint="http://blobs.example.com", anonymous=True)
        with HTTPX.sending({}), pytest.raises(ConfigurationError, match="http"):
            storage.get("a")

    def test_a_store_may_not_be_conditional_by_a_template(self) -> None:
        """What the service called its version is text."""
        storage = Azure(container="flows", account="acct", anonymous=True)
        options = StoreOptions(if_version='"${X}"')
        exchange = storage.store_exchange(BytesBody(b""), {"artifact.key": "a"}, options)
        work: Any = next(exchange)
        request = exchange.send(work.action())
        assert isinstance(request, Request)
        assert '"$${X}"' == request.headers["If-Match"]


class TestWebhook:
    """The same in plain kwargs."""

    @sending
    def test_it_stores_the_same_blobs(self, make: Make) -> None:
        """What one writes the other reads."""
        storage = make(account_key="${KEY}", metadata={"made_by": "us"})
        webhook = Storage.from_json(storage.as_webhook().to_json())
        assert isinstance(webhook, Webhook)
        webhook.put(b"31 rows", "a b")
        assert b"31 rows" == storage.get("a b") == webhook.get("a b")
        with pytest.raises(ObjectExistsError):
            webhook.put(b"other", "a b", if_absent=True)
        webhook.delete("a b")
        assert not storage.exists("a b")

    def test_a_shared_access_signature_is_a_placeholder(
        self, make: Make, azurite: Azurite, container: ContainerClient
    ) -> None:
        """It is put behind the URL when a request is sent."""
        webhook = make(sas="${SAS}").as_webhook()
        auth = webhook.build_request_kwargs["auth"]
        assert {"type": "azure_sas", "sas": "${SAS}"} == auth
        with HTTPX.sending({"SAS": sas_of(azurite, container, "rw")}):
            webhook.put(b"31 rows", "a")
            assert b"31 rows" == webhook.get("a")

    def test_a_connection_string_alone_is_not_enough(self) -> None:
        """A webhook must be told where it goes."""
        with pytest.raises(ConfigurationError) as caught_:
            Azure(container="flows", connection_string="${CS}").as_webhook()
        assert "account" in (caught_.value.hint or "")

    @sending
    def test_a_connection_string_with_its_account_is(self, make: Make, azurite: Azurite) -> None:
        """The endpoint is known, and the key comes from the secret."""
        storage = make(account=azurite.account, endpoint=azurite.url, connection_string="${CS}")
        storage.as_webhook().put(b"31 rows", "a")
        assert b"31 rows" == make().get("a")
