"""What Prefect 1's Webhook storage did well is kept; what it did wrong is shown not to happen.

Definitions and payloads here have the format of Prefect 1.4.1.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
import pickle
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from tests.fakes.files import FileService
from tests.fakes.http import Answer, Received, json_answer, text_answer
from webhook_storage import LiteralSecretWarning, RetryPolicy, Sender, Storage, Webhook
from webhook_storage.errors import (
    ConfigurationError,
    ConnectError,
    IntegrityError,
    PythonVersionError,
    RedirectRefusedError,
    SecretNotFoundError,
    ServerError,
    TransportError,
    TrustError,
    UnexpectedAnswerError,
    UnsafeValueError,
    WebhookStorageError,
)
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.conftest import MakeWebhook

URL = {"url": "https://files.example.com/x"}
CANARY = "canary-6f1d9c"


def iter_nothing() -> Iterator[None]:
    """Return a generator, which cannot be pickled."""
    yield None


class Flow:
    """A flow as Prefect has it: it knows its storage."""

    def __init__(self, name: str, storage: Webhook | None = None) -> None:
        self.name = name
        self.storage = storage

    def run(self) -> str:
        """Run."""
        return f"ran {self.name}"


def payload(flow: object, python: str = "") -> bytes:
    """Return what Prefect 1 stored: JSON around a pickle, with versions."""
    document = {
        "flow": base64.b64encode(cloudpickle.dumps(flow, protocol=4)).decode(),
        "versions": {
            "cloudpickle": "2.2.0",
            "prefect": "1.4.1",
            "python": python or ".".join(map(str, sys.version_info[:3])),
        },
    }
    return json.dumps(document).encode()


def definition(url: str, **changes: Any) -> dict[str, Any]:
    """Return what Prefect 1 serialized."""
    headers = {"Authorization": "Bearer $TOKEN", "X-Cost": "$$5 or ${TOKEN}"}
    return {
        "flows": {"Nightly Report": "Nightly Report"},
        "secrets": ["TOKEN"],
        "build_request_kwargs": {"url": url, "headers": headers},
        "build_request_http_method": "PUT",
        "get_flow_request_kwargs": {"url": url, "headers": headers},
        "get_flow_request_http_method": "GET",
        "stored_as_script": False,
        "__version__": "1.4.1",
        "type": "Webhook",
        **changes,
    }


# --- what is kept ---------------------------------------------------------------------------------


class TestKept:
    """Changing the import is enough."""

    def test_arguments_by_position(self) -> None:
        """The arguments have Prefect's names and order."""
        script = True
        by_position = Webhook(
            URL,
            "PUT",
            URL,
            "GET",
            script,
            "flow.py",
            secrets=["A"],
            labels=["b"],
        )
        assert by_position == Webhook(
            build_request_kwargs=URL,
            build_request_http_method="PUT",
            get_flow_request_kwargs=URL,
            get_flow_request_http_method="GET",
            stored_as_script=True,
            flow_script_path="flow.py",
            secrets=["A"],
            labels=["b"],
            add_default_labels=None,
        )

    @pytest.mark.parametrize("method", ["GET", "PATCH", "POST", "PUT"])
    def test_the_four_methods(self, make: MakeWebhook, service: FileService, method: str) -> None:
        """Each of the four stores."""
        service.inject(Answer(201))
        make(method=method).put(b"x", "a")
        assert method == service.last.method

    @pytest.mark.parametrize("method", ["post", "DELETE", "get "])
    def test_an_unknown_method_is_a_runtime_error(self, method: str) -> None:
        """Prefect's kind of error, and its words."""
        with pytest.raises(RuntimeError, match=f"HTTP method '{method}' not recognized"):
            Webhook(URL, method, URL, "GET")

    def test_add_flow_returns_the_name(self) -> None:
        """The name is returned, and belongs to the storage from then on."""
        storage = Webhook(URL, "PUT", URL, "GET")
        assert "report" not in storage
        assert storage.add_flow(Flow("report")) == "report"
        assert "report" in storage

    @pytest.mark.parametrize("other", [None, 3, Flow("report")], ids=type)
    def test_only_names_are_in_a_storage(self, other: object) -> None:
        """What is no text is in no storage."""
        storage = Webhook(URL, "PUT", URL, "GET")
        storage.add_flow(Flow("report"))
        assert other not in storage

    @pytest.mark.parametrize("script", [False, True])
    def test_building_nothing_sends_nothing(self, sender: Sender, *, script: bool) -> None:
        """Without flows the storage is returned, and neither a request nor a script is needed."""
        storage = Webhook(URL, "PUT", URL, "GET", stored_as_script=script)
        assert storage.build() is storage
        assert {} == storage.receipts

    def test_building_returns_the_storage(self, make: MakeWebhook) -> None:
        """The storage itself is returned."""
        storage = make()
        storage.add_flow(Flow("report"))
        assert storage.build() is storage

    def test_data_is_warned_of_and_replaced(self, make: MakeWebhook, service: FileService) -> None:
        """The body is the flow; setting ``data`` is a `RuntimeWarning` in Prefect's words."""
        storage = make(build={"data": "mine"})
        storage.add_flow(Flow("report"))
        with pytest.warns(RuntimeWarning, match="flow content and should not be set directly"):
            storage.build()
        assert service.files["/report"].startswith(b"\x89WHSTO")

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            (None, "flow_script_path must be provided if stored_as_script=True"),
            ("/no/such/flow.py", "does not exist"),
        ],
    )
    def test_a_script_is_checked_on_build(
        self, make: MakeWebhook, service: FileService, path: str | None, words: str
    ) -> None:
        """The constructor takes it, so that a definition loads anywhere; `build` refuses."""
        storage = make(stored_as_script=True, flow_script_path=path)
        storage.add_flow(Flow("report"))
        with pytest.raises(RuntimeError, match=words):
            storage.build()
        assert [] == service.requests

    def test_an_unknown_flow_is_a_value_error(self, make: MakeWebhook) -> None:
        """Prefect's kind of error, and its words."""
        with pytest.raises(ValueError, match="is not contained in this storage"):
            make().get_flow("report")

    def test_a_store_that_fails_is_an_error(self, make: MakeWebhook, service: FileService) -> None:
        """A status that is no success is an error of build and of get_flow."""
        service.inject(text_answer(500, "no"), times=None)
        storage = make()
        storage.add_flow(Flow("report"))
        with pytest.raises(ServerError):
            storage.build()
        with pytest.raises(ServerError):
            storage.get_flow("report")

    def test_a_missing_variable_is_a_lookup_error(self, make: MakeWebhook) -> None:
        """It was documented as a `KeyError` and came as a `RuntimeError`; now it is one error."""
        storage = make(fetch={"headers": {"X-A": "${NOWHERE}", "X-B": "${NOWHERE_EITHER}"}})
        with pytest.raises(LookupError, match="NOWHERE") as caught:
            storage.get("a")
        assert isinstance(caught.value, SecretNotFoundError)
        assert caught.value.names == ("NOWHERE", "NOWHERE_EITHER")

    def test_an_id_of_the_server_can_be_put_into_the_definition(
        self, make: MakeWebhook, service: FileService
    ) -> None:
        """Prefect's own recipe still works: build, then change the kwargs of the fetch."""
        storage = make("/fixed")
        storage.add_flow(Flow("report"))
        storage.build()
        service.files["/id-7"] = service.files.pop("/fixed")
        storage.get_flow_request_kwargs["url"] = service.url + "/id-7"
        assert storage.get_flow("report").run() == "ran report"


class TestOldDefinitions:
    """JSON and payloads that Prefect 1 wrote."""

    def test_a_definition_loads(self, service: FileService, sender: Sender) -> None:
        """A bare ``$NAME`` was a placeholder there, so it gets its braces."""
        storage = Storage.from_json(json.dumps(definition(service.url + "/flow")))
        assert isinstance(storage, Webhook)
        headers = {"Authorization": "Bearer ${TOKEN}", "X-Cost": "$$5 or ${TOKEN}"}
        assert headers == storage.build_request_kwargs["headers"]
        assert headers == storage.get_flow_request_kwargs["headers"]
        assert {"Nightly Report": "nightly-report"} == storage.flows
        assert ["TOKEN"] == storage.secrets

    def test_it_stays_loaded(self, service: FileService) -> None:
        """Written by us it is ours, and is read as ours."""
        storage = Storage.from_dict(definition(service.url + "/flow"))
        assert "__version__" not in storage.to_dict()
        assert storage == Storage.from_json(storage.to_json())

    def test_what_prefect_did_not_write_is_not_needed(self) -> None:
        """An old definition may lack what later versions of Prefect had."""
        old = definition("https://a.example/x")
        del old["secrets"], old["flows"], old["stored_as_script"]
        storage = Storage.from_dict(old)
        assert ({}, [], False) == (storage.flows, storage.secrets, storage.stored_as_script)

    def test_lists_were_not_rendered(self) -> None:
        """In a list a bare name was text there too, and it is warned of."""
        old = definition("https://a.example/x")
        old["get_flow_request_kwargs"]["params"] = [["q", "$TOKEN"]]
        with pytest.warns(LiteralSecretWarning):
            storage = Storage.from_dict(old)
        assert isinstance(storage, Webhook)
        assert storage.get_flow_request_kwargs["params"] == [["q", "$TOKEN"]]

    def test_without_the_mark_a_dollar_is_text(self) -> None:
        """The twin: a definition of ours keeps ``$NAME`` as it is, and warns."""
        ours = definition("https://a.example/x")
        del ours["__version__"]
        with pytest.warns(LiteralSecretWarning):
            storage = Storage.from_dict(ours)
        assert isinstance(storage, Webhook)
        assert storage.build_request_kwargs["headers"]["Authorization"] == "Bearer $TOKEN"

    def test_an_old_payload_is_loaded_when_allowed(
        self, service: FileService, sender: Sender
    ) -> None:
        """Nothing vouches for what Prefect stored, so the caller must say so."""
        storage = Storage.from_dict(definition(service.url + "/flow"))
        for stored in (payload(Flow("Nightly Report")), cloudpickle.dumps(Flow("Nightly Report"))):
            service.files["/flow"] = stored
            with pytest.raises(TrustError):
                storage.get_flow("Nightly Report")
            flow = storage.get_flow("Nightly Report", trust="unsigned")
            assert flow.run() == "ran Nightly Report"

    def test_an_old_payload_of_another_python_is_refused(
        self, service: FileService, sender: Sender
    ) -> None:
        """Its versions are looked at before it is unpickled, not after it failed."""
        storage = Storage.from_dict(definition(service.url + "/flow"))
        service.files["/flow"] = payload(Flow("Nightly Report"), "3.8.10")
        with pytest.raises(PythonVersionError, match=r"3\.8\.10"):
            storage.get_flow("Nightly Report", trust="unsigned")

    def test_an_old_script_is_loaded_when_allowed(
        self, service: FileService, sender: Sender
    ) -> None:
        """A script was stored as it is, in UTF-8."""
        storage = Storage.from_dict(definition(service.url + "/flow", stored_as_script=True))
        service.files["/flow"] = b"class F:\n    name = 'Nightly Report'\nf = F()\n"
        with pytest.raises(TrustError):
            storage.get_flow("Nightly Report")
        assert storage.get_flow("Nightly Report", trust="unsigned").name == "Nightly Report"


# --- what is not kept -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
def test_01_a_store_does_not_become_a_get(
    make: MakeWebhook, service: FileService, method: str, status: int
) -> None:
    """A redirect that loses the artifact is an error, and the landing page is not asked for."""
    service.files["/landing"] = b"welcome"
    service.inject(Answer(status, b"", {"Location": "/landing"}))
    with pytest.raises(RedirectRefusedError, match=r"nothing was stored|it may be stored"):
        make(method=method).put(b"x", "a")
    assert [method] == [request.method for request in service.requests]


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_02_another_host_gets_nothing_of_ours(
    make: MakeWebhook, service: FileService, method: str
) -> None:
    """Neither a header nor the body goes to another origin."""
    with FileService() as other:
        service.inject(Answer(307, b"", {"Location": other.url + "/a"}))
        storage = make(
            build={"headers": {"X-Api-Key": "${TOKEN}"}},
            fetch={"headers": {"X-Api-Key": "${TOKEN}"}},
        )
        service.token = None
        with pytest.raises(RedirectRefusedError, match="another host"):
            storage.put(b"x", "a") if method == "PUT" else storage.get("a")
        assert [] == other.requests


def test_03_a_storage_that_built_holds_no_secret(make: MakeWebhook) -> None:
    """Pickled after building, alone or in its flow, it has the template and not the value."""
    storage = make()
    flow = Flow("report", storage)
    storage.add_flow(flow)
    storage.build()
    for data in (pickle.dumps(storage), cloudpickle.dumps(flow), storage.to_json().encode()):
        assert b"${TOKEN}" in data
        assert b"correct horse" not in data


FAILURES: dict[str, Callable[[FileService], object]] = {
    "status": lambda service: service.inject(text_answer(400, "bad"), times=None),
    "echo": lambda service: service.inject(_echo, times=None),
    "no answer": lambda service: service.inject(Answer(0), times=None),
    "redirect": lambda service: service.inject(
        Answer(302, b"", {"Location": f"http://x/?{CANARY}"}), times=None
    ),
}


def _echo(request: Received) -> Answer:
    """Answer with everything that was asked."""
    return text_answer(400, f"{request.target} {dict(request.headers)}")


@pytest.fixture
def leaky(service: FileService) -> Iterator[Webhook]:
    """Return a storage with a canary in its query, and the sender that knows it."""
    service.token = None
    kwargs = {"url": service.url + "/${artifact.key}?sig=${SIG}", "params": {"t": "${SIG}"}}
    policy = RetryPolicy(attempts=2, max_delay=0)
    with Sender(secrets=[MappingResolver({"SIG": CANARY})], retry=policy):
        yield Webhook(kwargs, "PUT", kwargs, "GET")


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("operation", ["put", "get"])
def test_04_an_error_does_not_tell_the_query(
    service: FileService, leaky: Webhook, failure: str, operation: str
) -> None:
    """Text, causes and tracebacks of an error have the template of the URL, not its values."""
    FAILURES[failure](service)
    with pytest.raises(WebhookStorageError) as caught:
        leaky.put(b"x", "a") if operation == "put" else leaky.get("a")
    error = caught.value
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    assert "${SIG}" in str(error)
    assert CANARY not in f"{error!r} {error} {error.hint} {vars(error)} {shown}"
    assert (error.__cause__, error.__context__) == (None, None)


def test_05_no_logger_prints_the_query(leaky: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG the libraries log, and what they log has no value in it."""
    caplog.set_level(logging.DEBUG)
    leaky.put(b"x", "a")
    assert caplog.records
    assert CANARY not in caplog.text


def test_06_tuples_and_lists_are_the_same(make: MakeWebhook, service: FileService) -> None:
    """After JSON basic authentication and a timeout of two still work; bytes are refused."""
    service.token = None
    kwargs = {"headers": {}, "auth": ("me", "${TOKEN}"), "timeout": (3, 5)}
    storage = make(build=kwargs, fetch=kwargs)
    there = Storage.from_json(storage.to_json())
    there.put(b"x", "a")
    assert there.get("a") == b"x"
    assert service.last.headers["authorization"].startswith("Basic ")
    with pytest.raises(ConfigurationError, match="plain data only"):
        make(build={"headers": {"X-A": b"bytes"}})


def test_06_values_in_tuples_are_rendered(make: MakeWebhook, service: FileService) -> None:
    """A placeholder in a list is a placeholder, it is not sent as it is."""
    storage = make(build={"params": [("t", "${TOKEN}")]})
    storage.put(b"x", "a")
    assert {"t": "correct horse battery"} == service.last.query


def test_07_netrc_is_not_read(
    make: MakeWebhook, service: FileService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's netrc does not replace the header that the definition has."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password other\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    make().put(b"x", "a")
    assert service.last.headers["authorization"] == "Bearer correct horse battery"


def test_08_a_form_with_a_file_is_sent(make: MakeWebhook, service: FileService) -> None:
    """Services that want a multipart upload get one."""
    make(method="POST", build={"files": {"file": "x"}}).put(b"content", "a")
    assert service.last.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b"\r\n\r\ncontent\r\n--" in service.files["/a"]


@pytest.mark.parametrize("trust", ["verified", "unsigned"])
@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream"])
def test_09_a_login_page_is_told_as_one(
    make: MakeWebhook,
    service: FileService,
    kind: str,
    trust: Any,
) -> None:
    """A page of status 200 is no broken pickle, whatever its type says."""
    storage = make()
    storage.add_flow(Flow("report"))
    service.inject(text_answer(200, "<!DOCTYPE html><h1>Log in</h1>", {"Content-Type": kind}))
    with pytest.raises(UnexpectedAnswerError):
        storage.get_flow("report", trust=trust)


def test_09_an_error_in_json_is_told_as_one(make: MakeWebhook, service: FileService) -> None:
    """A document of status 200 without a flow is no missing key."""
    storage = make()
    storage.add_flow(Flow("report"))
    service.inject(json_answer(200, {"error": "quota"}), times=None)
    with pytest.raises(TrustError):
        storage.get_flow("report")
    with pytest.raises(UnexpectedAnswerError, match="holds no flow"):
        storage.get_flow("report", trust="unsigned")


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("wrap", [pickle.dumps, payload], ids=["bare", "prefect"])
def test_10_a_pickle_from_the_service_is_not_executed(
    make: MakeWebhook, service: FileService, tmp_path: Path, wrap: Callable[[object], bytes]
) -> None:
    """Neither before nor after building is another pickle run; trusted, it would be."""
    trace = tmp_path / "executed"
    storage = make()
    storage.add_flow(Flow("report"))
    service.files["/report"] = wrap(Trap(trace))
    with pytest.raises(TrustError):
        storage.get_flow("report")
    storage.build()
    service.files["/report"] = wrap(Trap(trace))
    with pytest.raises(IntegrityError):
        storage.get_flow("report")
    assert not trace.exists()
    storage.get_flow("report", trust="unsigned")
    assert trace.exists()


def test_11_a_script_needs_no_pickle(make: MakeWebhook, tmp_path: Path) -> None:
    """A flow that cannot be pickled can be stored as its script."""
    path = tmp_path / "flow.py"
    path.write_text("class F:\n    name = 'report'\nf = F()\n")
    flow = Flow("report")
    vars(flow)["lines"] = iter_nothing()
    storage = make(stored_as_script=True, flow_script_path=str(path))
    storage.add_flow(flow)
    storage.build()
    assert storage.get_flow("report").name == "report"


def test_12_building_twice_uploads_once(make: MakeWebhook, service: FileService) -> None:
    """What is stored is not stored again, so an id of the server stays right."""
    storage = make()
    storage.add_flow(Flow("report"))
    storage.build()
    storage.build()
    assert ["PUT"] == [request.method for request in service.requests]


@pytest.mark.parametrize("operation", ["put", "get"])
def test_13_a_passing_failure_is_tried_again(
    make: MakeWebhook, service: FileService, operation: str
) -> None:
    """A 503 and a lost connection are followed by another attempt, with the whole body."""
    service.files["/a"] = b"content"
    service.inject(text_answer(503, "busy", {"Retry-After": "99999"}))
    service.inject(Answer(0))
    storage = make()
    if operation == "put":
        assert storage.put(b"content", "a").size == 7
    else:
        assert storage.get("a") == b"content"
    assert len(service.requests) == 3
    assert service.files["/a"] == b"content"


def test_13_there_is_always_a_timeout(make: MakeWebhook, service: FileService) -> None:
    """A server that says nothing is not waited for without end."""
    service.hang()
    with (
        Sender(
            secrets=[MappingResolver({"TOKEN": "correct horse battery"})],
            retry=RetryPolicy(attempts=1),
        ),
        pytest.raises(TimeoutError),
    ):
        make(fetch={"timeout": 0.05}).get("a")


def test_14_a_short_answer_is_an_error(make: MakeWebhook, service: FileService) -> None:
    """Fewer bytes than the receipt says are never taken for the artifact."""
    storage = make()
    receipt = storage.put(b"x" * 1000, "a")
    service.files["/a"] = b"x" * 500
    with pytest.raises(IntegrityError):
        storage.get(receipt)
    assert storage.get("a") == b"x" * 500


def test_15_bytes_come_back_as_they_are(make: MakeWebhook, service: FileService) -> None:
    """A content encoding says something about the artifact and is not undone."""
    packed = gzip.compress(b"content")
    service.inject(Answer(200, packed, {"Content-Encoding": "gzip"}))
    assert packed == make().get("a")
    assert service.last.headers["accept-encoding"] == "identity"


def test_16_a_second_flow_is_kept_or_refused(make: MakeWebhook) -> None:
    """No flow is dropped: both are stored, or the second is an error."""
    both = make("/${flow.slug}")
    both.add_flow(Flow("one"))
    both.add_flow(Flow("two"))
    both.build()
    assert ["ran one", "ran two"] == [both.get_flow(name).run() for name in both.flows]
    single = make("/one")
    single.add_flow(Flow("one"))
    with pytest.raises(ConfigurationError, match="one place"):
        single.add_flow(Flow("two"))


def test_17_labels_and_script_path_travel() -> None:
    """JSON has every field."""
    script = True
    storage = Webhook(
        URL, "PUT", URL, "GET", script, "flow.py", labels=["b", "a"], add_default_labels=False
    )
    there = Storage.from_json(storage.to_json())
    assert ("flow.py", ["b", "a"], False) == (
        there.flow_script_path,
        there.labels,
        there.add_default_labels,
    )


def test_17_a_literal_secret_is_warned_of() -> None:
    """A credential in the definition itself would go wherever the definition goes."""
    kwargs = {**URL, "headers": {"Authorization": "Bearer literal"}}
    with pytest.warns(LiteralSecretWarning, match="seems to hold a secret"):
        Webhook(kwargs, "PUT", URL, "GET")


def test_18_no_schema_library_is_needed() -> None:
    """Definitions are read and written without marshmallow, of whatever version."""
    Storage.from_json(Webhook(URL, "PUT", URL, "GET").to_json())
    assert "marshmallow" not in sys.modules


# --- rendering, where Prefect was wrong -----------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["true", "null", "1e5", '{"a": 1}', '"quoted"', "a$TOKEN", "${X}"]
)
def test_a_value_is_text_and_nothing_else(service: FileService, value: str) -> None:
    """No value is decoded as JSON or read as a template."""
    kwargs = {"url": service.url + "/a", "headers": {"X-A": "${V}", "X-B": "${V}$$"}}
    service.token = None
    with Sender(secrets=[MappingResolver({"V": value})]):
        Webhook(kwargs, "PUT", kwargs, "GET").put(b"x")
    assert (value, value + "$") == (service.last.headers["x-a"], service.last.headers["x-b"])


@pytest.mark.parametrize("text", ["$5", "100$", "$select=a", "$filter", "$ "])
def test_a_dollar_without_braces_is_text(
    service: FileService, make: MakeWebhook, text: str
) -> None:
    """URLs of OData and prices in a note need no escaping."""
    make(build={"headers": {"Authorization": "Bearer ${TOKEN}", "X-A": f"a{text}b"}}).put(b"x", "a")
    assert f"a{text}b" == service.last.headers["x-a"]


def test_an_empty_secret_is_an_error(service: FileService) -> None:
    """An empty variable does not become an empty credential."""
    kwargs = {"url": service.url + "/a", "headers": {"Authorization": "Bearer ${V}"}}
    with (
        Sender(secrets=[MappingResolver({"V": ""})]),
        pytest.raises(SecretNotFoundError, match="empty"),
    ):
        Webhook(kwargs, "PUT", kwargs, "GET").put(b"x")
    assert [] == service.requests


def test_a_value_cannot_add_a_header(service: FileService) -> None:
    """A line break in a secret does not reach the wire."""
    kwargs = {"url": service.url + "/a", "headers": {"X-A": "${V}"}}
    with Sender(secrets=[MappingResolver({"V": "a\r\nX-B: b"})]), pytest.raises(UnsafeValueError):
        Webhook(kwargs, "PUT", kwargs, "GET").put(b"x")
    assert [] == service.requests


def test_nobody_there_is_one_of_our_errors(sender: Sender) -> None:
    """A refused connection is a `ConnectionError` and ours."""
    kwargs = {"url": "http://127.0.0.1:1/a"}
    with pytest.raises(ConnectionError) as caught:
        Webhook(kwargs, "PUT", kwargs, "GET").put(b"x")
    assert isinstance(caught.value, ConnectError)
    assert isinstance(caught.value, TransportError)
