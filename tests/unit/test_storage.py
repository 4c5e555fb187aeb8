from __future__ import annotations

import asyncio
import copy
import dataclasses
import io
import json
import pickle
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer, Received, json_answer, text_answer
from webhook_storage import Receipt, RetryPolicy, Sender, Storage, Webhook, registry
from webhook_storage.errors import (
    AuthenticationError,
    ConfigurationError,
    FlowLoadError,
    FlowNotFoundError,
    IntegrityError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ScriptError,
    SecretNotFoundError,
    ServerError,
    SignatureError,
    TooLargeError,
    TrustError,
    UnexpectedAnswerError,
    UnknownPluginError,
)
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from tests.unit.conftest import MakeWebhook

Call = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Call:
    """Return what calls an operation of a storage, or its twin in an event loop."""

    def sync(storage: Storage, operation: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(storage, operation)(*args, **kwargs)

    def in_loop(storage: Storage, operation: str, *args: Any, **kwargs: Any) -> Any:
        return asyncio.run(getattr(storage, f"a{operation}")(*args, **kwargs))

    return sync if request.param == "sync" else in_loop


@pytest.fixture(params=["http", "file"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, sender: Sender) -> Iterator[Webhook]:
    """Return the same storage on a server, and in a directory."""
    if request.param == "file":
        kwargs = {"url": f"file://{tmp_path}/store/${{artifact.key}}"}
        listing = {"url": f"file://{tmp_path}/store/", "method": "GET", "keys": "/*/name"}
        yield Webhook(kwargs, "PUT", kwargs, "GET", list_request=listing)
        return
    with Listing() as running:
        kwargs = {"url": running.url + "/store/${artifact.key}"}
        listing = {"url": running.url + "/store/", "method": "GET", "keys": "/*/name"}
        yield Webhook(kwargs, "PUT", kwargs, "GET", list_request=listing)


class Listing(FileService):
    """A file service that lists its files."""

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer a list where the path ends in a slash."""
        if request.path.endswith("/") and request.method == "GET":
            names = [path.rpartition("/")[2] for path in sorted(self.files)]
            return json_answer(200, [{"name": name} for name in names])
        return super().answer(request, body)


@dataclasses.dataclass
class Flow:
    """A flow as an engine has it."""

    name: str

    def run(self) -> str:
        """Run."""
        return f"ran {self.name}"


def iter_nothing() -> Iterator[None]:
    """Return a generator, which cannot be pickled."""
    yield None


def hello() -> str:
    """Greet."""
    return "hello"


def contents(folder: Path) -> list[str]:
    """Return the names in a directory."""
    return sorted(path.name for path in folder.iterdir())


# --- artifacts ------------------------------------------------------------------------------------


class TestArtifacts:
    """Bytes in and out, for threads and event loops, on a server and in a directory."""

    def test_a_life(self, storage: Webhook, call: Call, tmp_path: Path) -> None:
        """What is stored is there, is listed, comes back in both ways, and can be deleted."""
        call(storage, "put", b"content", "a.bin")
        assert call(storage, "stat", "a.bin").size == 7
        assert call(storage, "exists", "a.bin") is True
        assert call(storage, "get", "a.bin") == b"content"
        assert call(storage, "list") == ["a.bin"]
        assert call(storage, "download", tmp_path / "back", "a.bin") == 7
        assert (tmp_path / "back").read_bytes() == b"content"
        call(storage, "delete", "a.bin")
        assert call(storage, "exists", "a.bin") is False
        assert call(storage, "stat", "a.bin") is None
        assert call(storage, "list") == []

    def test_the_receipt_says_what_was_stored(self, storage: Webhook, call: Call) -> None:
        """Key, template, digest, size and the service's version are in the receipt."""
        receipt = call(storage, "put", b"content", "a.bin")
        assert receipt == Receipt(
            key="a.bin",
            location=storage.build_request_kwargs["url"],
            sha256="ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
            size=7,
            build_time=receipt.build_time,
            version=receipt.version,
        )

    def test_what_is_not_there_is_an_error(
        self, storage: Webhook, call: Call, tmp_path: Path
    ) -> None:
        """Fetching or deleting nothing is an error that is a `FileNotFoundError` too."""
        for operation, args in (("get", ()), ("delete", ()), ("download", (tmp_path / "x",))):
            with pytest.raises(FileNotFoundError) as caught:
                call(storage, operation, *args, "missing")
            assert isinstance(caught.value, ObjectNotFoundError)
        assert "x" not in contents(tmp_path)

    def test_a_receipt_vouches_for_the_content(
        self, storage: Webhook, call: Call, tmp_path: Path
    ) -> None:
        """Given in place of the key, the receipt makes another content an error."""
        receipt = call(storage, "put", b"content", "a.bin")
        assert call(storage, "get", receipt) == b"content"
        call(storage, "put", b"altered", "a.bin")
        assert call(storage, "get", "a.bin") == b"altered"
        target = tmp_path / "target"
        target.write_bytes(b"as it was")
        with pytest.raises(IntegrityError):
            call(storage, "get", receipt)
        with pytest.raises(IntegrityError):
            call(storage, "download", target, receipt)
        assert target.read_bytes() == b"as it was"
        assert [name for name in contents(tmp_path) if name.endswith(".part")] == []

    def test_a_remembered_receipt_vouches_too(self, storage: Webhook, call: Call) -> None:
        """A storage that remembers a receipt compares by the key, also after its JSON."""
        storage.remember(call(storage, "put", b"content", "a.bin"))
        there = Storage.from_json(storage.to_json())
        assert call(there, "get", "a.bin") == b"content"
        call(Webhook.from_json(storage.to_json()), "put", b"altered", "a.bin")
        with pytest.raises(IntegrityError, match=r"a\.bin"):
            call(there, "get", "a.bin")

    def test_deleting_forgets_the_receipt(self, storage: Webhook, call: Call) -> None:
        """What is gone is no longer vouched for."""
        storage.remember(call(storage, "put", b"content", "a.bin"))
        call(storage, "delete", "a.bin")
        assert {} == storage.receipts

    def test_more_than_wanted_is_refused(self, storage: Webhook, call: Call) -> None:
        """The limit is for what is taken into memory, and it may be reached."""
        call(storage, "put", b"content", "a.bin")
        assert call(storage, "get", "a.bin", max_bytes=7) == b"content"
        with pytest.raises(TooLargeError, match="longer than 6 bytes"):
            call(storage, "get", "a.bin", max_bytes=6)

    def test_a_path_brings_its_name(self, storage: Webhook, call: Call, tmp_path: Path) -> None:
        """A file is stored under its own name, a given key goes first."""
        path = tmp_path / "model.bin"
        path.write_bytes(b"content")
        keys = [
            call(storage, "put", path).key,
            call(storage, "put", str(path)).key,
            call(storage, "put", path, "other").key,
        ]
        assert ["model.bin", "model.bin", "other"] == keys

    def test_bytes_need_a_key(self, storage: Webhook, call: Call) -> None:
        """Where the URL asks for a key and there is none, nothing is sent."""
        with pytest.raises(ConfigurationError, match=r"\$\{artifact.key\} is not known"):
            call(storage, "put", b"content")

    def test_any_source_is_stored(self, storage: Webhook, call: Call) -> None:
        """A generator and a file are stored like bytes."""
        for source in (iter([b"con", b"tent"]), io.BytesIO(b"content")):
            call(storage, "put", source, "a.bin")
            assert call(storage, "get", "a.bin") == b"content"

    @pytest.mark.parametrize("name", ["no/such/folder/x", "."])
    def test_a_download_needs_a_place(
        self, storage: Webhook, call: Call, tmp_path: Path, name: str
    ) -> None:
        """A target that cannot be written is told before anything is fetched."""
        with pytest.raises(ConfigurationError, match="no place for a file"):
            call(storage, "download", tmp_path / name, "missing")


def test_an_answer_cut_short_leaves_the_target(
    make: MakeWebhook, service: FileService, tmp_path: Path
) -> None:
    """A download that breaks off is an error, and the file is what it was."""
    service.files["/a"] = b"content"
    service.inject(Answer(503), times=None)
    target = tmp_path / "target"
    target.write_bytes(b"as it was")
    with pytest.raises(ServerError, match="503"):
        make().download(target, "a")
    assert (b"as it was", ["target"]) == (target.read_bytes(), contents(tmp_path))


def test_the_version_is_the_same_everywhere(make: MakeWebhook) -> None:
    """The receipt and a later look agree on what the service calls the version."""
    storage = make()
    receipt = storage.put(b"content", "a")
    stat = storage.stat("a")
    assert stat is not None
    assert receipt.version
    assert receipt.version == stat.version


def test_forbidden_is_not_absent(make: MakeWebhook, service: FileService) -> None:
    """Whether something is there is not answered by a refusal."""
    service.inject(text_answer(403, "no"), times=None)
    with pytest.raises(PermissionDeniedError):
        make().exists("a")


def test_a_wrong_token_opens_nothing(service: FileService, make: MakeWebhook) -> None:
    """The same storage with another secret is refused, and the secret is not told."""
    storage = make()
    storage.put(b"x", "a")
    with Sender(secrets=[MappingResolver({"TOKEN": "not the token"})]):
        with pytest.raises(AuthenticationError) as caught:
            storage.get("a")
        assert "not the token" not in str(caught.value)
    assert storage.get("a") == b"x"


def test_without_a_secret_nothing_is_sent(service: FileService, make: MakeWebhook) -> None:
    """A secret that nobody has stops the operation before the first byte."""
    storage = make()
    with Sender(secrets=[MappingResolver({})]), pytest.raises(SecretNotFoundError, match="TOKEN"):
        storage.put(b"x", "a")
    assert [] == service.requests


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["put", "get", "exists", "stat", "delete", "download"])
def test_a_key_that_would_be_ignored_is_refused(
    operation: str, make: MakeWebhook, service: FileService, call: Call, tmp_path: Path
) -> None:
    """With a fixed URL another key would meet the wrong artifact, so nothing is sent."""
    service.files["/fixed"] = b"precious"
    storage = make("/fixed")
    args: dict[str, tuple[Any, ...]] = {"put": (b"x",), "download": (tmp_path / "x",)}
    with pytest.raises(ConfigurationError, match="has no") as caught:
        call(storage, operation, *args.get(operation, ()), "other")
    assert "leave the key out" in (caught.value.hint or "")
    assert [] == service.requests


def test_a_fixed_url_needs_no_key(make: MakeWebhook, tmp_path: Path) -> None:
    """One artifact in one place is stored, fetched, remembered and deleted without a key."""
    storage = make("/fixed")
    receipt = storage.put(b"content")
    assert receipt.key == ""
    storage.remember(receipt)
    assert storage.get() == b"content"
    assert storage.get(receipt) == b"content"
    storage.delete()
    assert (False, {}) == (storage.exists(), storage.receipts)


def test_a_key_may_be_for_fetching_only(make: MakeWebhook, service: FileService) -> None:
    """A service that gives names itself is asked by the name that it gave."""
    storage = make("/upload", method="POST", fetch={"url": service.url + "/files/${artifact.key}"})
    service.files["/files/77"] = b"content"
    assert storage.get("77") == b"content"


def test_facts_of_a_receipt_fill_placeholders(make: MakeWebhook, service: FileService) -> None:
    """An artifact can be stored and found by its digest, size and time."""
    path = "/${artifact.sha256}/${artifact.size}/${build.time}"
    storage = make(path)
    receipt = storage.put(b"content")
    assert f"/{receipt.sha256}/7/{receipt.build_time}" == service.last.path
    assert storage.get(receipt) == b"content"
    with pytest.raises(ConfigurationError, match="is not known in this operation"):
        storage.get()


def test_the_version_of_a_receipt_can_be_sent(make: MakeWebhook, service: FileService) -> None:
    """What the service calls the version goes back to it where the request says so."""
    storage = make(
        fetch={"headers": {"Authorization": "Bearer ${TOKEN}", "If-Match": "${receipt.version}"}}
    )
    receipt = storage.put(b"content", "a")
    storage.get(receipt)
    assert receipt.version == service.last.headers["if-match"]
    bare = receipt.model_copy(update={"version": None})
    with pytest.raises(ConfigurationError, match=r"receipt\.version"):
        storage.get(bare)


# --- flows ----------------------------------------------------------------------------------------


class TestFlows:
    """Flows in and out."""

    def test_a_flow_comes_back(self, make: MakeWebhook, call: Call) -> None:
        """What was added and built is fetched by its name, by this storage and by its JSON."""
        storage = make()
        assert storage.add_flow(Flow("Nightly Load")) == "Nightly Load"
        assert call(storage, "build") is storage
        assert {"Nightly Load": "nightly-load"} == storage.flows
        assert call(storage, "get_flow", "Nightly Load").run() == "ran Nightly Load"
        there = Storage.from_json(storage.to_json())
        assert call(there, "get_flow", "Nightly Load").run() == "ran Nightly Load"

    def test_several_flows_have_a_place_each(self, make: MakeWebhook, service: FileService) -> None:
        """With the slug in the URL one storage holds them all."""
        storage = make("/flows/${flow.slug}/${flow.name}")
        for name in ("one", "two"):
            storage.add_flow(Flow(name))
        storage.build()
        assert ["/flows/one/one", "/flows/two/two"] == sorted(service.files)
        assert ["ran one", "ran two"] == [storage.get_flow(n).run() for n in ("one", "two")]

    @pytest.mark.parametrize("where", ["headers", "params", "files"])
    def test_the_place_may_be_said_elsewhere(self, make: MakeWebhook, where: str) -> None:
        """A header, the query or the form's file name keep flows apart as well as the URL."""
        value = {"X-Name": "${flow.slug}", "Authorization": "Bearer ${TOKEN}"}
        storage = make(
            "/upload", build={where: value if where == "headers" else {"f": "${flow.slug}"}}
        )
        storage.add_flow(Flow("one"))
        storage.add_flow(Flow("two"))
        assert ["one", "two"] == list(storage.flows)

    @pytest.mark.parametrize("options", [{}, {"build": {"data": {"f": "${flow.slug}"}}}])
    def test_two_flows_in_one_place_are_refused(
        self, make: MakeWebhook, options: dict[str, Any]
    ) -> None:
        """The second flow would replace the first, so it is an error that says what to do."""
        storage = make("/one", **options)
        storage.add_flow(Flow("one"))
        with pytest.raises(ConfigurationError, match="'one' and 'two'") as caught:
            storage.add_flow(Flow("two"))
        assert "put ${flow.slug} into the URL" in (caught.value.hint or "")
        assert ["one"] == list(storage.flows)

    @pytest.mark.parametrize("path", ["/${flow.slug}", "/${artifact.key}", "/${flow.name}"])
    def test_names_that_meet_in_one_slug_are_refused(self, make: MakeWebhook, path: str) -> None:
        """Receipts go by the slug, so two names of one slug cannot be in one storage."""
        storage = make(path)
        storage.add_flow(Flow("My Flow"))
        with pytest.raises(ConfigurationError, match="one place") as caught:
            storage.add_flow(Flow("my-flow"))
        assert "another name" in (caught.value.hint or "")

    def test_a_flow_can_be_replaced(self, make: MakeWebhook) -> None:
        """The same name again is a newer version of the flow, and the last one is stored."""
        storage = make()
        storage.add_flow(hello)
        newer = Flow("hello")
        storage.add_flow(newer)
        storage.build()
        assert newer == storage.get_flow("hello")

    def test_building_twice_stores_once(self, make: MakeWebhook, service: FileService) -> None:
        """A flow that is stored is not stored again, or a server would give it a second id."""
        storage = make()
        storage.add_flow(hello)
        storage.build().build()
        assert len(service.requests) == 1

    def test_a_failed_build_can_be_taken_up(self, make: MakeWebhook, service: FileService) -> None:
        """What was stored before the failure stays stored, the rest is stored the next time."""
        storage = make()
        storage.add_flow(Flow("one"))
        storage.add_flow(Flow("two"))
        service.inject(text_answer(403, "no"), path="/two")
        with pytest.raises(PermissionDeniedError):
            storage.build()
        assert ["one"] == list(storage.receipts)
        storage.build()
        assert ["/one", "/two", "/two"] == [request.path for request in service.requests]

    def test_what_cannot_be_pickled_sends_nothing(
        self, make: MakeWebhook, service: FileService
    ) -> None:
        """All flows are packed before the first is sent."""
        storage = make()
        storage.add_flow(Flow("one"))
        broken = Flow("two")
        vars(broken)["lines"] = iter_nothing()
        storage.add_flow(broken)
        with pytest.raises(TypeError, match="cannot pickle"):
            storage.build()
        assert [] == service.requests

    @pytest.mark.parametrize("name", ["unknown", ""])
    def test_an_unknown_flow_is_told(self, make: MakeWebhook, call: Call, name: str) -> None:
        """The error lists what there is, and nothing is sent."""
        storage = make()
        storage.add_flow(hello)
        with pytest.raises(FlowNotFoundError, match="not contained in this storage") as caught:
            call(storage, "get_flow", name)
        assert caught.value.hint == "it has: 'hello'"

    def test_membership_is_by_name(self, make: MakeWebhook) -> None:
        """Only names are in a storage, nothing else is."""
        storage = make()
        storage.add_flow(hello)
        assert "hello" in storage
        assert "other" not in storage
        assert hello not in storage

    def test_another_flow_in_its_place_is_refused(
        self, make: MakeWebhook, service: FileService
    ) -> None:
        """Artifacts that were swapped on the service are noticed, pinned or signed."""
        for keys in ({}, {"k": "${FLOW_KEY}"}):
            storage = make(signing_keys=keys)
            storage.add_flow(Flow("one"))
            storage.add_flow(Flow("two"))
            storage.build()
            service.files["/one"] = service.files["/two"]
            with pytest.raises((IntegrityError, SignatureError)):
                storage.get_flow("one")

    def test_an_artifact_can_be_fetched_as_bytes(self, make: MakeWebhook) -> None:
        """What a flow is stored as can be looked at by its key."""
        storage = make()
        storage.add_flow(hello)
        storage.build()
        assert storage.get("hello").startswith(b"\x89WHSTO\n")


class TestTrust:
    """Who vouches for a flow that another process stored."""

    @staticmethod
    def elsewhere(storage: Storage, **changes: Any) -> Storage:
        """Return the storage as another process has it, that got no receipts."""
        return Storage.from_dict({**storage.to_dict(), "receipts": {}, **changes})

    def test_a_signature_vouches_without_a_receipt(self, make: MakeWebhook, call: Call) -> None:
        """Whoever has the key loads what was signed with it."""
        storage = make(signing_keys={"k": "${FLOW_KEY}"})
        storage.add_flow(hello)
        call(storage, "build")
        assert call(self.elsewhere(storage), "get_flow", "hello")() == "hello"

    def test_another_key_does_not(self, make: MakeWebhook) -> None:
        """The twin: the same id with another key, and an id that is not known."""
        storage = make(signing_keys={"k": "${FLOW_KEY}"})
        storage.add_flow(hello)
        storage.build()
        with pytest.raises(SignatureError):
            self.elsewhere(storage, signing_keys={"k": "${NEW_KEY}"}).get_flow("hello")
        with pytest.raises(TrustError, match="signed by no key"):
            self.elsewhere(storage, signing_keys={"other": "${FLOW_KEY}"}).get_flow("hello")

    def test_what_vouches_is_told_without_loading(self, make: MakeWebhook) -> None:
        """A signature or a receipt is named; without either there is nothing to tell."""
        storage = make(signing_keys={"k": "${FLOW_KEY}"})
        storage.add_flow(hello)
        storage.build()
        found = storage.verify_flow("hello")
        assert ("k", "hmac-sha256", True) == (found.key_id, found.algorithm, found.pinned)
        assert found == asyncio.run(storage.averify_flow("hello"))
        with pytest.raises(TrustError):
            self.elsewhere(storage, signing_keys={"other": "${NEW_KEY}"}).verify_flow("hello")
        with pytest.raises(FlowNotFoundError):
            storage.verify_flow("another")

    def test_keys_are_rotated(self, make: MakeWebhook) -> None:
        """The new key signs while both are accepted; then the old one goes."""
        old = make("/${artifact.key}", signing_keys={"1": "${FLOW_KEY}"})
        old.add_flow(Flow("stays"))
        old.build()
        both = Webhook.from_dict(
            {**old.to_dict(), "signing_keys": {"2": "${NEW_KEY}", "1": "${FLOW_KEY}"}}
        )
        both.add_flow(Flow("moves"))
        both.build()
        new = self.elsewhere(both, signing_keys={"2": "${NEW_KEY}"})
        assert self.elsewhere(both).get_flow("stays").run() == "ran stays"
        assert new.get_flow("moves").run() == "ran moves"
        with pytest.raises(TrustError):
            new.get_flow("stays")

    def test_unsigned_code_must_be_asked_for(self, make: MakeWebhook, call: Call) -> None:
        """Without key and receipt nothing is loaded unless the caller says so."""
        storage = make()
        storage.add_flow(hello)
        storage.build()
        bare = self.elsewhere(storage)
        with pytest.raises(TrustError):
            call(bare, "get_flow", "hello")
        assert call(bare, "get_flow", "hello", trust="unsigned")() == "hello"

    @pytest.mark.parametrize(
        "text",
        ["the key itself", "", "${FLOW_KEY} ", "${A}${B}", "${A}x$<B>", "$$", "${flow.name}",
         "${FLOW_KEY:-}", "${FLOW_KEY:-known to all}"],
    )  # fmt: skip
    def test_a_key_is_one_secret(self, make: MakeWebhook, text: str) -> None:
        """A key that stands in the definition, or may be empty, vouches for nothing."""
        with pytest.raises(ConfigurationError, match=r"signing_keys\.k: a key is a placeholder"):
            make(signing_keys={"k": text})

    @pytest.mark.parametrize("text", ["$<FLOW_KEY>", "${FLOW_KEY:?ask Ops}", "${mapping:FLOW_KEY}"])
    def test_a_key_may_be_spelled_in_any_way(self, make: MakeWebhook, text: str) -> None:
        """Every form of a secret's placeholder names a key."""
        storage = make(signing_keys={"k": text})
        storage.add_flow(hello)
        storage.build()
        assert self.elsewhere(storage).get_flow("hello")() == "hello"


SCRIPT = """\
class Flow:
    def __init__(self, name):
        self.name = name

one = Flow("one")
two = Flow("two")

def three():
    return 3
"""


class TestScripts:
    """Flows that are stored as a script."""

    @pytest.fixture
    def script(self, tmp_path: Path) -> str:
        """Write a script with three flows."""
        path = tmp_path / "flows.py"
        path.write_text(SCRIPT)
        return str(path)

    def test_the_script_is_stored_as_it_is(
        self, make: MakeWebhook, service: FileService, script: str, call: Call
    ) -> None:
        """Anybody can read it on the service, and its digest vouches for it here."""
        storage = make(stored_as_script=True, flow_script_path=script)
        storage.add_flow(Flow("one"))
        call(storage, "build")
        assert SCRIPT.encode() == service.files["/one"]
        assert call(storage, "get_flow", "one").name == "one"
        service.files["/one"] += b"# altered"
        with pytest.raises(IntegrityError):
            call(storage, "get_flow", "one")

    def test_several_flows_share_one_script(
        self, make: MakeWebhook, service: FileService, script: str
    ) -> None:
        """A script in a fixed place is stored once for all of its flows."""
        storage = make("/flows.py", stored_as_script=True, flow_script_path=script)
        for name in ("one", "two", "three"):
            storage.add_flow(Flow(name))
        storage.build()
        assert ["PUT /flows.py"] == [f"{r.method} {r.path}" for r in service.requests]
        there = Storage.from_json(storage.to_json())
        assert ["one", "two"] == [there.get_flow(name).name for name in ("one", "two")]
        assert there.get_flow("three")() == 3

    def test_several_flows_have_a_script_each(
        self, make: MakeWebhook, service: FileService, script: str
    ) -> None:
        """Where the URL says the flow, each has its copy."""
        storage = make("/${flow.slug}.py", stored_as_script=True, flow_script_path=script)
        storage.add_flow(Flow("one"))
        storage.add_flow(Flow("two"))
        storage.build()
        assert ["/one.py", "/two.py"] == sorted(service.files)
        assert storage.get_flow("two").name == "two"

    def test_a_script_can_be_signed(
        self, make: MakeWebhook, service: FileService, script: str
    ) -> None:
        """With keys the script goes into an envelope, and a receipt is not needed."""
        storage = make(
            stored_as_script=True, flow_script_path=script, signing_keys={"k": "${FLOW_KEY}"}
        )
        storage.add_flow(Flow("one"))
        storage.build()
        there = TestTrust.elsewhere(storage)
        assert there.get_flow("one").name == "one"
        service.files["/one"] = SCRIPT.encode()
        with pytest.raises(TrustError):
            there.get_flow("one")

    def test_the_entrypoint_travels(self, make: MakeWebhook, script: str) -> None:
        """Which object is the flow is part of the definition."""
        storage = make(stored_as_script=True, flow_script_path=script, entrypoint="two")
        storage.add_flow(Flow("called otherwise"))
        storage.build()
        assert Storage.from_json(storage.to_json()).get_flow("called otherwise").name == "two"

    def test_the_flow_itself_is_not_pickled(self, make: MakeWebhook, script: str) -> None:
        """What cannot be pickled can be stored as a script."""
        storage = make(stored_as_script=True, flow_script_path=script)
        flow = Flow("one")
        vars(flow)["frame"] = iter_nothing()
        storage.add_flow(flow)
        storage.build()
        assert storage.get_flow("one").name == "one"

    @pytest.mark.parametrize("path", [None, "/no/such/script.py"])
    def test_a_missing_script_sends_nothing(
        self, make: MakeWebhook, service: FileService, path: str | None
    ) -> None:
        """It is noticed on build, so that a worker without the script can load the definition."""
        storage = make(stored_as_script=True, flow_script_path=path)
        storage.add_flow(Flow("one"))
        with pytest.raises(ScriptError):
            storage.build()
        assert [] == service.requests

    def test_a_broken_script_is_told(self, make: MakeWebhook, tmp_path: Path) -> None:
        """What fails in a fetched script is our error."""
        path = tmp_path / "broken.py"
        path.write_text("1 / 0\n")
        storage = make(stored_as_script=True, flow_script_path=str(path))
        storage.add_flow(Flow("one"))
        storage.build()
        with pytest.raises(FlowLoadError, match="ZeroDivisionError"):
            storage.get_flow("one")


# --- definition -----------------------------------------------------------------------------------

RECEIPT = Receipt(
    key="etl",
    location="u",
    sha256="0" * 64,
    size=3,
    build_time="t",
    version="v",
    captures={"id": "7"},
)
KWARGS = {
    "url": "https://files.example.com/${artifact.key}",
    "params": [["a", "1"], ["a", "2"]],
    "headers": {"Authorization": "Bearer ${TOKEN}", "X-Meta": {"k": ["${flow.name}"]}},
    "cookies": {"session": "${SESSION}"},
    "auth": None,
    "timeout": [3, 5.5],
    "verify": "/ca.pem",
    "cert": ["/c.pem", "/k.pem"],
    "proxies": {"https": "http://proxy.example.com:3128"},
    "allow_redirects": False,
}
FIELDS: dict[str, Any] = {
    "version": 1,
    "stored_as_script": True,
    "flow_script_path": "flows.py",
    "entrypoint": "main",
    "signing_keys": {"2026": "${FLOW_KEY}", "2025": "$<OLD_KEY>"},
    "expire_after": 86400.0,
    "compression": "zstd",
    "encryption_keys": {"2026": "${ARTIFACT_KEY}"},
    "flows": {"ETL": "etl"},
    "receipts": {"etl": RECEIPT},
    "secrets": ["TOKEN"],
    "labels": ["a", "b"],
    "add_default_labels": False,
    "build_request_kwargs": {**KWARGS, "data": None},
    "build_request_http_method": "POST",
    "get_flow_request_kwargs": {**KWARGS, "json": {"path": "/${artifact.key}"}},
    "get_flow_request_http_method": "POST",
    "exists_request": {**KWARGS, "method": "HEAD"},
    "delete_request": {**KWARGS, "method": "DELETE"},
    "list_request": {**KWARGS, "method": "LIST", "keys": "/*/name"},
    "captures": {"id": "json:/id"},
    "accept_statuses": [200, 302],
    "idempotent": True,
    "redirect_hosts": ["*.example.com"],
    "allow_html": True,
    "allow_http": True,
    "checksum": "Repr-Digest",
    "conditional_writes": True,
    "idempotency_header": "Idempotency-Key",
}


@pytest.fixture
def full() -> Webhook:
    """Return a storage in which every field has another value than its default."""
    return Webhook(**FIELDS)


class TestDefinition:
    """A storage as data."""

    def test_every_field_is_tried(self, full: Webhook) -> None:
        """The definition above has all fields, none of them at its default but the version."""
        assert set(FIELDS) == set(Webhook.model_fields)
        assert set(FIELDS) - {"version"} == set(full.model_dump(exclude_defaults=True))

    def test_json_keeps_every_field(self, full: Webhook) -> None:
        """A definition equals itself after JSON, tuples being lists from the beginning."""
        assert full == Storage.from_json(full.to_json())
        assert full == Storage.from_json(full.to_json(indent=None).encode())
        assert full.to_dict() == json.loads(full.to_json())
        assert RECEIPT == Storage.from_json(full.to_json()).receipts["etl"]

    def test_tuples_are_lists(self) -> None:
        """What requests wants as a tuple may be one, and survives JSON."""
        kwargs = {"url": "https://a.example/x", "auth": ("u", "${P}"), "timeout": (3, 5)}
        storage = Webhook(kwargs, "PUT", kwargs, "GET")
        assert storage.build_request_kwargs["auth"] == ["u", "${P}"]
        assert storage == Storage.from_json(storage.to_json())

    def test_defaults_are_left_out(self) -> None:
        """A small definition is small, and says its type and version."""
        kwargs = {"url": "https://a.example/x"}
        assert Webhook(kwargs, "PUT", kwargs, "GET").to_dict() == {
            "type": "Webhook",
            "version": 1,
            "build_request_kwargs": kwargs,
            "build_request_http_method": "PUT",
            "get_flow_request_kwargs": kwargs,
            "get_flow_request_http_method": "GET",
        }

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_pickling_keeps_every_field(self, full: Webhook, protocol: int) -> None:
        """A storage can be sent to a worker by every protocol."""
        assert full == pickle.loads(pickle.dumps(full, protocol))  # noqa: S301 - our own

    def test_copies_are_equal_and_apart(self, full: Webhook) -> None:
        """A deep copy says the same and can be changed alone."""
        twin = copy.deepcopy(full)
        assert full == twin
        twin.build_request_kwargs["headers"]["X-More"] = "1"
        twin.flows["other"] = "other"
        assert Webhook(**FIELDS) == full

    def test_a_copy_does_not_warn_again(self) -> None:
        """Who was warned of a literal secret is not warned by every copy."""
        kwargs = {"url": "https://a.example/x", "headers": {"X-Api-Key": "literal"}}
        with pytest.warns(UserWarning, match="seems to hold a secret"):
            storage = Webhook(kwargs, "PUT", {"url": "https://a.example/x"}, "GET")
        assert storage == copy.deepcopy(storage)
        assert storage == copy.copy(storage)

    @pytest.mark.parametrize("field", sorted(set(FIELDS) - {"version", "receipts", "flows"}))
    def test_a_storage_that_differs_is_another(self, field: str) -> None:
        """Every field counts in a comparison."""
        with_default = dict(FIELDS)
        model = Webhook.model_fields[field]
        if model.is_required():
            old = with_default[field]
            with_default[field] = (
                "PUT" if isinstance(old, str) else {**old, "url": "https://b.example"}
            )
        else:
            del with_default[field]
        assert Webhook(**FIELDS) != Webhook(**with_default)

    def test_it_is_equal_to_storages_only(self, full: Webhook) -> None:
        """No dictionary is a storage, and a storage has no hash, since it can be changed."""
        assert full != full.to_dict()
        with pytest.raises(TypeError):
            hash(full)

    @pytest.mark.parametrize(
        "dumps", [pickle.dumps, cloudpickle.dumps], ids=["pickle", "cloudpickle"]
    )
    def test_no_flow_travels_in_a_pickle(
        self, full: Webhook, dumps: Callable[[object], bytes]
    ) -> None:
        """A flow that waits to be built stays behind, or it would go wherever the storage goes."""
        flow = Flow("ETL")
        flow.canary = "canary-in-the-flow"  # type: ignore[attr-defined]
        full.add_flow(flow)
        flow.storage = full  # type: ignore[attr-defined]
        data = dumps(full)
        assert b"canary-in-the-flow" not in data
        back = pickle.loads(data)  # noqa: S301 - our own
        assert ({}, {}) == (back._pending, copy.deepcopy(full)._pending)
        assert dumps(flow).count(b"canary-in-the-flow") == 1

    def test_no_value_is_in_any_form(self, make: MakeWebhook, sender: Sender) -> None:
        """After storing and fetching neither JSON nor pickle nor repr has the secret."""
        storage = make()
        storage.add_flow(hello)
        storage.build()
        storage.get_flow("hello")
        forms = [storage.to_json().encode(), pickle.dumps(storage), repr(storage).encode()]
        assert [False] * 3 == [b"correct horse battery" in form for form in forms]

    @pytest.mark.parametrize(
        ("field", "meant"),
        [("signing_key", "signing_keys"), ("captrues", "captures"), ("Flows", "flows")],
    )
    def test_an_unknown_field_names_the_nearest(self, field: str, meant: str) -> None:
        """A misspelt field is an error, in code and in JSON, that names what was meant."""
        with pytest.raises(ConfigurationError, match=f'Did you mean "{meant}"') as caught:
            Webhook(**{**FIELDS, field: {}})
        assert caught.value.path == field
        definition = {**Webhook(**FIELDS).to_dict(), field: {}}
        with pytest.raises(ConfigurationError, match=f'Did you mean "{meant}"'):
            Storage.from_dict(definition)

    def test_a_missing_argument_names_what_stands_in_its_place(self) -> None:
        """A misspelt argument is told together with the one that is missing."""
        definition = Webhook(**FIELDS).to_dict()
        definition["build_request_kwarg"] = definition.pop("build_request_kwargs")
        with pytest.raises(ConfigurationError, match="missing build_request_kwargs") as caught:
            Storage.from_dict(definition)
        assert "'build_request_kwarg' is unknown" in (caught.value.hint or "")

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            ({"version": 2}, "version"),
            ({"stored_as_script": "perhaps"}, "stored_as_script"),
            ({"flows": {"a": 1}}, "flows.a"),
            ({"receipts": {"etl": {"key": "k", "secret": "hunter2"}}}, "receipts.etl"),
            ({"build_request_kwargs": "hunter2"}, "build_request_kwargs"),
            ({"accept_statuses": ["hunter2"]}, "accept_statuses.0"),
        ],
    )
    def test_a_wrong_value_is_told_by_its_place(self, change: dict[str, Any], path: str) -> None:
        """The message says where, and never shows what was given."""
        with pytest.raises(ConfigurationError) as caught:
            Storage.from_dict({**Webhook(**FIELDS).to_dict(), **change})
        assert (caught.value.path or "").startswith(path)
        assert "hunter2" not in f"{caught.value!r} {caught.value}"
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "no JSON"),
            ("{", "line 1, column 2"),
            ('{\n "a": hunter2}', "line 2"),
            (b"\xff\xfe", "no JSON"),
            ("[" * 100_000, "no JSON"),
            ("[]", "a definition is a JSON object"),
            ('"Webhook"', "a definition is a JSON object"),
            ("{}", "with a 'type'"),
            ('{"type": 3}', "with a 'type'"),
        ],
    )
    def test_what_is_no_definition_is_told(self, text: str | bytes, words: str) -> None:
        """Neither JSON nor a type: the message says so, and shows nothing of the text."""
        with pytest.raises(ConfigurationError, match=words) as caught:
            Storage.from_json(text)
        assert "hunter2" not in str(caught.value)

    def test_an_unknown_type_names_the_nearest(self) -> None:
        """A preset that is not installed is told with what there is."""
        with pytest.raises(UnknownPluginError, match='Did you mean "Webhook"'):
            Storage.from_dict({"type": "Webhok"})

    def test_a_preset_that_is_no_storage_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A plug-in of another kind under the name of a preset is told as that."""
        entry = EntryPoint("Odd", "pathlib:Path", "webhook_storage.presets")
        monkeypatch.setattr(registry, "_found", lambda group: {"Odd": (entry,)})
        with pytest.raises(ConfigurationError, match="'Odd' is no storage"):
            Storage.from_dict({"type": "Odd"})

    def test_a_class_needs_no_type(self) -> None:
        """Whoever says which storage it is may leave the type out."""
        definition = Webhook(**FIELDS).to_dict()
        del definition["type"]
        assert Webhook(**FIELDS) == Webhook.from_dict(definition)

    @pytest.mark.parametrize(
        "value",
        [b"bytes", {1, 2}, object(), Path("/x"), Flow("x")],
        ids=lambda value: type(value).__name__,
    )
    def test_only_plain_data_is_taken(self, value: object) -> None:
        """What JSON cannot hold is refused by its place and type."""
        kwargs = {"url": "https://a.example/x", "headers": {"X-A": [value]}}
        with pytest.raises(ConfigurationError, match="plain data only"):
            Webhook(kwargs, "PUT", {"url": "https://a.example/x"}, "GET")


def test_the_default_sender_is_made_when_needed(tmp_path: Path) -> None:
    """Without any set-up a storage works, with the secrets of the environment."""
    kwargs = {"url": f"file://{tmp_path}/${{artifact.key}}"}
    storage = Webhook(kwargs, "PUT", kwargs, "GET")
    with Sender(retry=RetryPolicy(attempts=1)):
        storage.put(b"x", "a")
        assert storage.get("a") == b"x"


def test_an_html_page_in_place_of_a_list_is_an_error(
    make: MakeWebhook, service: FileService
) -> None:
    """A login page, or an error's document, is not an empty list."""
    storage = make(list_request={"url": service.url + "/", "method": "GET", "keys": "/*/name"})
    for answer in (text_answer(200, "<html>"), json_answer(200, "denied")):
        service.inject(answer)
        with pytest.raises(UnexpectedAnswerError):
            storage.list()
    service.inject(json_answer(200, []))
    assert storage.list() == []


def test_put_over_a_remembered_key_replaces_its_receipt(tmp_path: Path) -> None:
    """What a receipt said of the artifact that was replaced does not make the next fetch fail."""
    place = {"url": f"file://{tmp_path}/${{artifact.key}}"}
    storage = Webhook(place, "PUT", place, "GET")
    storage.remember(storage.put(b"old", "k"))
    storage.put(b"new", "k")

    assert b"new" == storage.get("k")


def test_what_the_source_raises_reaches_the_caller_as_it_is(tmp_path: Path) -> None:
    """A fault in the caller's own iterator is the caller's, with its traceback."""

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise ZeroDivisionError

    place = {"url": f"file://{tmp_path}/k"}
    with pytest.raises(ZeroDivisionError):
        Webhook(place, "PUT", place, "GET").put(broken())

    assert [] == list(tmp_path.iterdir())


def test_a_changed_field_is_checked_without_showing_it() -> None:
    """Assigning a wrong value names the field and keeps the value to itself."""
    place = {"url": "https://files.example.com/x"}
    storage = Webhook(place, "PUT", place, "GET")
    with pytest.raises(ConfigurationError, match="captures") as caught:
        storage.captures = "CANARY-value"  # type: ignore[assignment]

    assert "CANARY" not in str(caught.value)
