from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
import linecache
import pickle
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import cloudpickle
import pytest

from webhook_storage import flows
from webhook_storage.envelope import Header, seal
from webhook_storage.errors import (
    ConfigurationError,
    ExpiredArtifactError,
    FlowLoadError,
    FlowNotFoundError,
    IntegrityError,
    PythonVersionError,
    ScriptError,
    SignatureError,
    TrustError,
    UnexpectedAnswerError,
    WebhookStorageError,
)
from webhook_storage.flows import (
    Admitted,
    Trust,
    admit,
    check_python,
    load,
    name_of,
    pack,
    pack_script,
    slugify,
    this_python,
)
from webhook_storage.secret import Keys, SecretValue

KEY, OTHER = SecretValue("the key of the tests"), SecretValue("another key of them")
KEYS = {"k": KEY}


def hello() -> str:
    """Greet."""
    return "hello"


@dataclasses.dataclass
class Pipeline:
    """A flow as many engines have it: an object with a name."""

    name: str

    def run(self) -> str:
        """Run."""
        return f"ran {self.name}"


class Canary:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self._path,)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return the file that is there when a canary was unpickled."""
    return tmp_path / "executed"


@pytest.fixture
def canary(trace: Path) -> bytes:
    """Return a pickle that leaves a trace when it is loaded."""
    return pickle.dumps(Canary(trace))


def head(payload: bytes, **changes: Any) -> Header:
    """Describe a payload as flow ``etl`` of this Python."""
    header = Header(
        kind="pickle",
        names=("etl",),
        sha256=hashlib.sha256(payload).hexdigest(),
        size=len(payload),
        created="2026-01-02T03:04:05+00:00",
        python=this_python(),
    )
    return dataclasses.replace(header, **changes)


def digest(data: bytes) -> str:
    """Return the SHA-256."""
    return hashlib.sha256(data).hexdigest()


def fetched(
    data: bytes,
    *,
    name: str = "etl",
    script: bool = False,
    pinned: str | None = None,
    keys: Keys = KEYS,
    trust: Trust = "verified",
) -> Any:
    """Admit and load what came from a service."""
    return load(admit(data, name=name, script=script, pinned=pinned, keys=keys, trust=trust), name)


def prefect_1(payload: bytes, python: str = "") -> bytes:
    """Wrap a pickle as Prefect 1 did."""
    versions = {"cloudpickle": "2.2.0", "prefect": "1.4.1", "python": python}
    document: dict[str, Any] = {"flow": base64.b64encode(payload).decode()}
    if python:
        document["versions"] = versions
    return json.dumps(document).encode()


def other_minor() -> str:
    """Return this Python with another minor version."""
    return f"CPython {sys.version_info.major}.{sys.version_info.minor + 1}.0"


# --- what is refused, and never executed ----------------------------------------------------------

Case = tuple[Callable[[bytes], bytes], dict[str, Any], type[WebhookStorageError]]

REFUSED: dict[str, Case] = {
    "unsigned": (lambda p: seal(head(p), p, {}), {}, TrustError),
    "unsigned, no keys": (lambda p: seal(head(p), p, {}), {"keys": {}}, TrustError),
    "unsigned, other pin": (lambda p: seal(head(p), p, {}), {"pinned": "0" * 64}, IntegrityError),
    "unknown key id": (lambda p: seal(head(p), p, {"x": KEY}), {}, TrustError),
    "wrong key": (lambda p: seal(head(p), p, {"k": OTHER}), {}, SignatureError),
    "wrong key, unsigned allowed": (
        lambda p: seal(head(p), p, {"k": OTHER}), {"trust": "unsigned"}, SignatureError,
    ),
    "signed, keys not here": (lambda p: seal(head(p), p, KEYS), {"keys": {}}, TrustError),
    "another name": (lambda p: seal(head(p, names=("other",)), p, KEYS), {}, SignatureError),
    "no name": (lambda p: seal(head(p, names=()), p, KEYS), {}, SignatureError),
    "expired": (
        lambda p: seal(head(p, expires="2020-01-01T00:00:00+00:00"), p, KEYS),
        {}, ExpiredArtifactError,
    ),
    "expired at no zone": (
        lambda p: seal(head(p, expires="2999-01-01T00:00:00"), p, KEYS), {}, IntegrityError,
    ),
    "expired at no time": (lambda p: seal(head(p, expires="soon"), p, KEYS), {}, IntegrityError),
    "other digest": (lambda p: seal(head(p, sha256="0" * 64), p, KEYS), {}, IntegrityError),
    "other size": (lambda p: seal(head(p, size=len(p) + 1), p, KEYS), {}, IntegrityError),
    "longer": (lambda p: seal(head(p), p, KEYS) + b"!", {}, IntegrityError),
    "shorter": (lambda p: seal(head(p), p, KEYS)[:-1], {}, IntegrityError),
    "another payload": (
        lambda p: seal(head(b"x" * len(p)), p, KEYS), {"trust": "unsigned"}, IntegrityError,
    ),
    "another kind": (lambda p: seal(head(p, kind="archive"), p, KEYS), {}, FlowLoadError),
    "another minor": (
        lambda p: seal(head(p, python=other_minor()), p, KEYS), {}, PythonVersionError,
    ),
    "another major": (
        lambda p: seal(head(p, python="CPython 2.7.18"), p, KEYS), {}, PythonVersionError,
    ),
    "another implementation": (
        lambda p: seal(head(p, python=this_python().replace("CPython", "PyPy")), p, KEYS),
        {}, PythonVersionError,
    ),
    "no Python": (lambda p: seal(head(p, python=""), p, KEYS), {}, PythonVersionError),
    "another minor, unsigned allowed": (
        lambda p: seal(head(p, python=other_minor()), p, {}), {"trust": "unsigned"},
        PythonVersionError,
    ),
    "bare": (lambda p: p, {}, TrustError),
    "bare, other pin": (lambda p: p, {"pinned": "0" * 64}, IntegrityError),
    "bare, pin that is none": (lambda p: p, {"pinned": "é"}, IntegrityError),
    "prefect": (prefect_1, {}, TrustError),
    "prefect, other pin": (prefect_1, {"pinned": "0" * 64}, IntegrityError),
    "prefect, another minor": (
        lambda p: prefect_1(p, "2.7.18"), {"trust": "unsigned"}, PythonVersionError,
    ),
    "script, bare": (lambda p: p, {"script": True}, TrustError),
    "unknown trust": (lambda p: seal(head(p), p, KEYS), {"trust": "yes"}, ConfigurationError),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_not_executed(case: str, canary: bytes, trace: Path) -> None:
    """Nothing is unpickled unless all about it was found good; the error says what is not."""
    make, options, expected = REFUSED[case]
    with pytest.raises(WebhookStorageError) as caught:
        fetched(make(canary), **options)
    assert expected is type(caught.value)
    assert not trace.exists()


def test_what_is_admitted_is_executed(canary: bytes, trace: Path) -> None:
    """The canary of the test above does leave its trace when it is trusted."""
    fetched(seal(head(canary), canary, KEYS))
    assert trace.exists()


ADMITTED: dict[str, tuple[Callable[[bytes], bytes], dict[str, Any]]] = {
    "signed": (lambda p: seal(head(p), p, KEYS), {}),
    "signed, other pin": (lambda p: seal(head(p), p, KEYS), {"pinned": "0" * 64}),
    "signed, several keys here": (
        lambda p: seal(head(p), p, KEYS), {"keys": {"new": OTHER, "k": KEY}},
    ),
    "signed, keys not here, allowed": (
        lambda p: seal(head(p), p, KEYS), {"keys": {}, "trust": "unsigned"},
    ),
    "unsigned, allowed": (lambda p: seal(head(p), p, {}), {"trust": "unsigned"}),
    "several names": (lambda p: seal(head(p, names=("a", "etl")), p, KEYS), {}),
    "not yet expired": (lambda p: seal(head(p, expires="2999-01-01T00:00:00Z"), p, KEYS), {}),
    "another patch": (
        lambda p: seal(head(p, python=this_python().rpartition(".")[0] + ".99"), p, KEYS), {},
    ),
    "bare, allowed": (lambda p: p, {"trust": "unsigned"}),
    "prefect, allowed": (prefect_1, {"trust": "unsigned"}),
    "prefect of this Python": (
        lambda p: prefect_1(p, this_python().partition(" ")[2]), {"trust": "unsigned"},
    ),
    "prefect with a space": (lambda p: b"\n " + prefect_1(p), {"trust": "unsigned"}),
}  # fmt: skip


@pytest.mark.parametrize("case", ADMITTED)
def test_what_somebody_vouches_for_is_loaded(case: str) -> None:
    """A signature, a name, a time and a version that are right let a flow through."""
    make, options = ADMITTED[case]
    assert fetched(make(cloudpickle.dumps(hello)), **options)() == "hello"


@pytest.mark.parametrize(
    "make", [bytes, prefect_1, lambda p: seal(head(p), p, {})], ids=["bare", "prefect", "envelope"]
)
def test_a_pinned_digest_vouches(make: Callable[[bytes], bytes]) -> None:
    """What has the digest of the receipt is what was stored, in whatever form and case."""
    data = make(cloudpickle.dumps(hello))
    assert fetched(data, pinned=digest(data))() == "hello"
    assert fetched(data, pinned=digest(data).upper())() == "hello"


def test_a_bad_signature_is_worse_than_none(canary: bytes, trace: Path) -> None:
    """Not even the right digest helps when a signature of one of our keys does not hold."""
    data = seal(head(canary), canary, {"k": OTHER})
    with pytest.raises(SignatureError):
        fetched(data, pinned=digest(data))
    assert not trace.exists()


def test_checks_come_in_order(canary: bytes) -> None:
    """Signature, name, expiry, digest, kind, version: the first fault is told."""
    faults: list[tuple[dict[str, Any], type[WebhookStorageError]]] = [
        ({"python": other_minor()}, PythonVersionError),
        ({"kind": "archive"}, FlowLoadError),
        ({"sha256": "0" * 64}, IntegrityError),
        ({"expires": "2020-01-01T00:00:00Z"}, ExpiredArtifactError),
        ({"names": ("other",)}, SignatureError),
    ]
    changes: dict[str, Any] = {}
    for change, expected in faults:
        changes |= change
        with pytest.raises(expected):
            fetched(seal(head(canary, **changes), canary, KEYS))
    with pytest.raises(TrustError, match="signed by no key of this storage"):
        fetched(seal(head(canary, **changes), canary, {"x": OTHER}))


def test_an_untrusted_key_id_is_not_told(canary: bytes) -> None:
    """A service that writes what it knows into an envelope does not get it into our messages."""
    with pytest.raises(TrustError) as caught:
        fetched(seal(head(canary), canary, {"Bearer echoed\x1b[2J": OTHER}))
    assert "echoed" not in f"{caught.value}{caught.value.hint}"
    assert "'k'" in str(caught.value)


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><title>Log in</title>",
        b"\n\n  <html>",
        b"<?xml version='1.0'?><Error/>",
        b"<!doctype HTML>",
    ],
)
@pytest.mark.parametrize("trust", ["verified", "unsigned"])
def test_a_page_is_no_flow(page: bytes, trust: Trust) -> None:
    """A login page is told as what it is, not as a broken pickle."""
    with pytest.raises(UnexpectedAnswerError, match="a page instead of a flow") as caught:
        fetched(page, trust=trust)
    assert "login" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "document",
    [
        b'{"error": "no such file"}',
        b"{}",
        b'{"flow": null}',
        b'{"flow": ""}',
        b'{"flow": 3}',
        b'{"flow": ["AAAA"]}',
        b'{"flow": "AAAA", "versions": 3}',
        b'{"flow": "AAAA", "versions": [1]}',
        b'{"flow": "A"}',
        b'{"flow": "\\u00fc"}',
        b"{not json",
        b'{"a":' + b"[" * 100_000,
    ],
)
def test_a_json_document_without_a_flow_is_no_flow(document: bytes) -> None:
    """An error of the service in JSON is told as that, and as no pickle's fault."""
    with pytest.raises(UnexpectedAnswerError, match="JSON document that holds no flow"):
        fetched(document, trust="unsigned")


@pytest.mark.parametrize("document", [b'{"error": "no such file"}', b""])
def test_an_answer_that_nobody_vouches_for_is_refused(document: bytes) -> None:
    """Without a signature and a receipt the first thing missing is trust."""
    with pytest.raises(TrustError):
        fetched(document)


def test_a_payload_that_cannot_be_loaded_keeps_its_cause() -> None:
    """A trusted pickle that breaks says by what it was stored and what went wrong."""
    payload = b"cno_such_module\nthing\n."
    with pytest.raises(FlowLoadError, match=r"\(ModuleNotFoundError; stored by CPython") as caught:
        fetched(seal(head(payload), payload, KEYS))
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    with pytest.raises(FlowLoadError, match="stored by an unknown Python"):
        fetched(payload, trust="unsigned")


def test_check_python_names_both_versions() -> None:
    """The error says who stored it and who is here."""
    check_python(this_python())
    with pytest.raises(PythonVersionError) as caught:
        check_python("CPython 3.8.1")
    assert "CPython 3.8.1" in str(caught.value)
    assert this_python() in str(caught.value)


# --- pickled flows --------------------------------------------------------------------------------


class Callme:
    """A callable object with a name of its own."""

    name = "by attribute"

    def __call__(self) -> str:
        """Run."""
        return "called"


def local() -> Callable[[], int]:
    """Return a function that only this module's memory has."""
    number = 41

    def add() -> int:
        return number + 1

    return add


@pytest.mark.parametrize(
    ("flow", "name", "result"),
    [
        (hello, "hello", "hello"),
        (Callme(), "by attribute", "called"),
        (local(), "add", 42),
    ],
)
def test_functions_and_objects_are_flows(
    flow: Callable[[], object], name: str, result: object
) -> None:
    """A function goes by its own name, an object by its attribute, and both come back."""
    packed = pack(flow, name_of(flow))
    assert (name, (name,), "pickle") == (name_of(flow), packed.header.names, packed.header.kind)
    assert result == fetched(packed.seal(KEYS), name=name)()


def test_an_object_with_a_name_is_a_flow() -> None:
    """What any engine calls a flow has a name and comes back as it was."""
    flow = Pipeline("nightly report")
    back = fetched(pack(flow, name_of(flow)).seal(KEYS), name="nightly report")
    assert back.run() == "ran nightly report"


@pytest.mark.parametrize(
    "flow",
    [lambda: 1, functools.partial(hello), object(), 3, Pipeline(""), Pipeline(cast("str", None))],
)
def test_what_has_no_name_is_no_flow(flow: object) -> None:
    """A lambda, a partial or an empty name cannot be told from others, so none is taken."""
    with pytest.raises(ConfigurationError, match="has no name to store it under") as caught:
        name_of(flow)
    assert "give it an attribute 'name'" in (caught.value.hint or "")


def test_a_name_is_text() -> None:
    """A name that no header could hold is refused before anything is stored."""
    with pytest.raises(ConfigurationError, match=r"the name 'a\\ud800' is no Unicode text"):
        name_of(Pipeline("a\ud800"))
    assert name_of(Pipeline("größe")) == "größe"


def test_packing_raises_what_pickling_raises() -> None:
    """What cannot be pickled is told by who knows why."""
    with pytest.raises(TypeError, match="cannot pickle"):
        pack(sys._getframe(), "frame")


def test_a_header_says_what_was_stored() -> None:
    """Digest, size, versions and time are those of here and now."""
    packed = pack(hello, "hello")
    header = packed.header
    payload, version = packed.payload, cloudpickle.__version__
    assert (digest(payload), len(payload), this_python(), version) == (
        header.sha256, header.size, header.python, header.cloudpickle,
    )  # fmt: skip
    assert header.created.endswith("+00:00")
    assert header.expires == ""


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("etl", "etl"),
        ("My Flow (v2)", "my-flow-v2"),
        ("  --a__b..c/d\\e  ", "a-b-c-d-e"),
        ("Größe", "groe-" + digest("Größe".encode())[:8]),
        ("café", "cafe"),
        ("поток", digest("поток".encode())[:8]),
        ("../../etc/passwd", "etc-passwd"),
        ("...", digest(b"...")[:8]),
        ("a\x00b\nc", "a-b-c"),
    ],
)
def test_a_slug_is_safe_everywhere(name: str, slug: str) -> None:
    """Letters, digits and dashes of ASCII remain; what loses more gets a digest."""
    assert slug == slugify(name)


# --- scripts --------------------------------------------------------------------------------------

SCRIPT = """\
import dataclasses
import sys

@dataclasses.dataclass
class Flow:
    name: str
    retries: int = 3

    def run(self):
        return f"{self.name} by object, {self.retries} retries"

def report(day: int) -> str:
    return f"report of {day}"

nightly = Flow("nightly load")
renamed = report
where = __file__
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Write a script with several flows."""
    path = tmp_path / "flows.py"
    path.write_text(SCRIPT)
    return path


def from_script(source: str, name: str, entrypoint: str | None = None) -> Any:
    """Load a flow of a trusted script."""
    return load(Admitted("script", source.encode()), name, entrypoint)


class TestScripts:
    """Flows that are stored as source."""

    def test_an_object_goes_by_its_name(self) -> None:
        """Of several flows the one with the name is returned, with a working dataclass."""
        assert from_script(SCRIPT, "nightly load").run() == "nightly load by object, 3 retries"

    def test_a_function_goes_by_its_name(self) -> None:
        """A function is found by its own name."""
        assert from_script(SCRIPT, "report")(3) == "report of 3"

    def test_an_entrypoint_says_which_object(self) -> None:
        """The entrypoint is the name of a variable, whatever the flow is called."""
        assert from_script(SCRIPT, "any name", "renamed")(4) == "report of 4"

    def test_a_class_with_such_a_name_is_no_flow(self) -> None:
        """Only an object is found by its attribute."""
        with pytest.raises(FlowNotFoundError):
            from_script("class Flow:\n    name = 'etl'\n", "etl")

    def test_an_unknown_entrypoint_is_told(self) -> None:
        """The error lists what the script has, imported modules left out."""
        with pytest.raises(FlowNotFoundError, match="has no 'nigthly'") as caught:
            from_script(SCRIPT, "nightly load", "nigthly")
        assert caught.value.hint == "it has: Flow, report, nightly, renamed, where"

    @pytest.mark.parametrize(
        ("source", "listed"), [(SCRIPT, "nightly"), ("import os\n", "nothing")]
    )
    def test_a_missing_flow_is_told(self, source: str, listed: str) -> None:
        """A name that the script does not have is an error that is a `ValueError` too."""
        with pytest.raises(ValueError, match="has no flow 'monthly'") as caught:
            from_script(source, "monthly")
        assert isinstance(caught.value, FlowNotFoundError)
        assert listed in (caught.value.hint or "")

    def test_annotations_are_those_of_the_script(self) -> None:
        """The script is compiled by its own rules, not by those of the module that runs it."""
        assert from_script(SCRIPT, "report").__annotations__ == {"day": int, "return": str}

    def test_it_has_a_file_and_a_module(self) -> None:
        """A script that asks for its file gets a name, and it is not run as the main program."""
        file = from_script(SCRIPT, "any", "where")
        assert file.startswith("<flow any ")
        main = from_script("def f(): return __name__\nif __name__ == '__main__': 1 / 0\n", "f")
        assert main().startswith("webhook_storage_script_")

    def test_a_traceback_shows_its_lines(self) -> None:
        """An error in a fetched flow is as readable as in a file."""
        flow = from_script(
            "def fail():\n    raise ValueError('at run time')  # this line\n", "fail"
        )
        with pytest.raises(ValueError, match="at run time") as caught:
            flow()
        assert "# this line" in "".join(traceback.format_exception(caught.value))
        linecache.checkcache()
        assert "# this line" in "".join(traceback.format_exception(caught.value))

    def test_its_objects_can_be_pickled_here(self) -> None:
        """The module of a script is known to this process, so its classes are found."""
        flow = from_script(SCRIPT, "nightly load")
        assert flow == pickle.loads(pickle.dumps(flow))  # noqa: S301 - our own

    def test_an_encoding_cookie_is_obeyed(self) -> None:
        """A script is bytes, as Python reads it, not text in the locale's encoding."""
        source = "# -*- coding: latin-1 -*-\ndef name(): return 'ü'\n".encode("latin-1")
        assert load(Admitted("script", source), "name")() == "ü"

    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            ("def broken(:\n", "SyntaxError"),
            ("import no_such_module\n", "ModuleNotFoundError"),
            ("1 / 0\n", "ZeroDivisionError"),
            ("import sys; sys.exit(3)\n", "SystemExit"),
            ("x = '\0'\n", "SyntaxError"),
        ],
    )
    def test_a_broken_script_is_told(self, source: str, kind: str) -> None:
        """What goes wrong in a script is our error with its cause, and no module stays behind."""
        before = set(sys.modules)
        with pytest.raises(FlowLoadError, match=rf"cannot be executed \({kind}\)") as caught:
            from_script(source, "etl")
        assert caught.value.__cause__ is not None
        assert set() == {name for name in set(sys.modules) - before if "script" in name}

    @pytest.mark.parametrize("path", [None, ""])
    def test_a_path_must_be_given(self, path: str | None) -> None:
        """The words are those of Prefect 1, and so is the kind of error."""
        with pytest.raises(RuntimeError, match="flow_script_path must be provided if") as caught:
            flows.read_script(path)
        assert isinstance(caught.value, ScriptError)

    @pytest.mark.parametrize("name", ["missing.py", "."])
    def test_the_path_must_be_a_file(self, name: str, tmp_path: Path) -> None:
        """A script that is not there is told as Prefect 1 did."""
        with pytest.raises(RuntimeError, match="does not exist") as caught:
            flows.read_script(str(tmp_path / name))
        assert isinstance(caught.value, ScriptError)

    def test_a_home_directory_is_found(self, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tilde stands for the home directory."""
        monkeypatch.setenv("HOME", str(script.parent))
        assert SCRIPT.encode() == flows.read_script("~/flows.py")

    def test_a_script_without_keys_stays_the_file_that_it_is(self, script: Path) -> None:
        """Whoever opens it on the service reads source."""
        assert SCRIPT.encode() == pack_script(str(script), ["report"]).seal({})

    def test_a_script_with_keys_is_signed_for_all_its_flows(self, script: Path) -> None:
        """An envelope around a script holds every flow of it, and no other."""
        data = pack_script(str(script), ["report", "nightly load"]).seal(KEYS)
        assert fetched(data, name="report", script=True)(1) == "report of 1"
        assert fetched(data, name="nightly load", script=True).retries == 3
        with pytest.raises(SignatureError):
            fetched(data, name="where", script=True)

    def test_a_signed_script_of_another_python_is_loaded(self, script: Path) -> None:
        """Source has no byte code, so the version does not matter."""
        packed = pack_script(str(script), ["report"])
        header = dataclasses.replace(packed.header, python="CPython 2.7.18")
        data = seal(header, packed.payload, KEYS)
        assert fetched(data, name="report", script=True)(1) == "report of 1"

    def test_a_plain_script_is_loaded_when_pinned(self, script: Path) -> None:
        """The digest of the receipt vouches for a plain script, another one does not."""
        data = pack_script(str(script), ["report"]).seal({})
        assert fetched(data, name="report", script=True, pinned=digest(data))(1) == "report of 1"
        with pytest.raises(IntegrityError):
            fetched(data, name="report", script=True, pinned=digest(data + b"#"))
