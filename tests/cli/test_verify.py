from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.cli.conftest import assert_two_lines, write_definition
from webhook_storage.envelope import unseal
from webhook_storage.flows import pack
from webhook_storage.secret import SecretValue
from webhook_storage.sender import Sender
from webhook_storage.storage import Storage
from webhook_storage.testing import find_leaks

if TYPE_CHECKING:
    from tests.cli.conftest import Outcome, Run, Service

SECRET = "the key of these tests"
PRIVATE = Ed25519PrivateKey.generate()
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def report() -> str:
    """Be stored."""
    return "31 rows"


class Canary:
    """A flow that would leave a trace if it were loaded."""

    name = "canary"

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the keys in the environment."""
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("PEM", PEM)
    monkeypatch.setenv("PUBLIC", PUBLIC)
    monkeypatch.setenv("OTHER", "another key of these tests")


def build(definition: Path, *flows: object) -> Storage:
    """Store flows, and return the storage with its receipts."""
    storage = Storage.from_json(definition.read_bytes())
    for flow in flows:
        storage.add_flow(flow)
    with Sender():
        return storage.build()


def defined(service: Service, tmp_path: Path, **more: Any) -> Path:
    """Write a definition."""
    return write_definition(tmp_path / "storage.json", service.url, **more)


def told(outcome: Outcome) -> dict[str, Any]:
    """Return what was printed when all is well."""
    assert (0, "") == (outcome.code, outcome.err)
    document: dict[str, Any] = json.loads(outcome.out)
    return document


def refused(outcome: Outcome, code: int, words: str) -> None:
    """Check that nothing was printed but one error."""
    assert (code, "") == (outcome.code, outcome.out)
    assert words in outcome.err
    assert_two_lines(outcome.err, SECRET)


# --- flows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("storing", "fetching", "algorithm"),
    [("SECRET", "SECRET", "hmac-sha256"), ("PEM", "PEM", "ed25519"), ("PEM", "PUBLIC", "ed25519")],
)
def test_a_signature_is_told(
    run: Run, service: Service, tmp_path: Path, storing: str, fetching: str, algorithm: str
) -> None:
    """Key, algorithm and what the header says are printed, and neither key nor password."""
    build(defined(service, tmp_path, signing_keys={"k": f"${{{storing}}}"}), report)
    data = (service.directory / "report").read_bytes()
    definition = defined(
        service, tmp_path, signing_keys={"k": f"${{{fetching}}}"}, flows={"report": "report"}
    )
    outcome = run("verify", definition)
    found, envelope = told(outcome), unseal(data)
    assert envelope is not None
    header = envelope.header
    expected = {
        "name": "report", "kind": "pickle", "size": len(data), "key_id": "k",
        "algorithm": algorithm, "created": header.created, "expires": None,
        "python": header.python, "encoding": None, "receipt": None,
    }  # fmt: skip
    assert expected == {name: value for name, value in found.items() if name != "sha256"}
    for secret in (SECRET, PEM.split("\n")[1], service.password):
        assert [] == find_leaks(outcome.out, secret)


def test_a_wrong_key_is_an_error(run: Run, service: Service, tmp_path: Path) -> None:
    """The twins: another key of the same id, a key of another id, none at all."""
    build(defined(service, tmp_path, signing_keys={"k": "${SECRET}"}), report)
    for keys, words in (
        ({"k": "${OTHER}"}, "by key 'k' does not hold"),
        ({"k": "${PUBLIC}"}, "by key 'k' does not hold"),
        ({"j": "${SECRET}"}, "signed by no key"),
        ({}, "signed by no key"),
    ):
        definition = defined(service, tmp_path, signing_keys=keys, flows={"report": "report"})
        refused(run("verify", definition, "--key", "report"), 1, words)
    definition = defined(
        service, tmp_path, signing_keys={"k": "${ABSENT}"}, flows={"report": "report"}
    )
    refused(run("verify", definition), 3, "ABSENT")


def test_nothing_is_loaded(run: Run, service: Service, tmp_path: Path) -> None:
    """A flow that is good in all ways is not unpickled."""
    trace = tmp_path / "loaded"
    storage = build(defined(service, tmp_path), Canary(trace))
    definition = tmp_path / "built.json"
    definition.write_text(storage.to_json())
    assert told(run("verify", definition))["receipt"] is True
    assert not trace.exists()
    with Sender():
        storage.get_flow("canary")
    assert trace.exists()


def test_a_receipt_in_the_definition_is_told(run: Run, service: Service, tmp_path: Path) -> None:
    """Its digest vouches; beside a signature it is only compared."""
    signed = build(defined(service, tmp_path, signing_keys={"k": "${SECRET}"}), report)
    definition = tmp_path / "built.json"
    definition.write_text(signed.to_json())
    found = told(run("verify", definition, "--key", "report"))
    assert (True, "k") == (found["receipt"], found["key_id"])
    assert signed.receipts["report"].sha256 == found["sha256"]

    build(defined(service, tmp_path, signing_keys={"k": "${SECRET}"}), other_report())
    found = told(run("verify", definition))
    assert (False, "k") == (found["receipt"], found["key_id"])

    build(defined(service, tmp_path), other_report())
    refused(run("verify", definition), 1, "'report' is not what this storage stored")


def other_report() -> object:
    """Return another flow of the same name."""

    def report() -> str:
        return "32 rows"

    return report


def test_a_receipt_in_a_file_must_be_right(run: Run, service: Service, tmp_path: Path) -> None:
    """Who gives a receipt wants that artifact, and no later one that is signed as well."""
    keys = {"k": "${SECRET}"}
    storage = build(defined(service, tmp_path, signing_keys=keys), report)
    receipt = tmp_path / "receipt.json"
    receipt.write_text(storage.receipts["report"].model_dump_json())
    definition = defined(service, tmp_path, signing_keys=keys, flows={"report": "report"})
    for key in ([], ["--key", "report"]):
        found = told(run("verify", definition, "--receipt", receipt, *key))
        assert (True, "k", "report") == (found["receipt"], found["key_id"], found["name"])
    build(defined(service, tmp_path, signing_keys=keys), other_report())
    definition = defined(service, tmp_path, signing_keys=keys, flows={"report": "report"})
    refused(run("verify", definition, "--receipt", receipt), 1, "report: what came back has")
    assert told(run("verify", definition))["key_id"] == "k"
    refused(run("verify", definition, "--receipt", receipt, "--key", "x"), 2, "is of 'report'")


def test_a_flow_goes_by_its_name_or_key(run: Run, service: Service, tmp_path: Path) -> None:
    """Of several flows one must be named, by the name or as it is called on the service."""
    storage = build(defined(service, tmp_path), report)
    storage.flows["Nightly load"] = "nightly-load"
    definition = tmp_path / "built.json"
    definition.write_text(storage.to_json())
    refused(run("verify", definition), 2, "the definition has 2 flows")
    assert "'report', 'Nightly load'" in run("verify", definition).err
    assert told(run("verify", definition, "--key", "report"))["name"] == "report"
    for key in ("Nightly load", "nightly-load"):
        refused(run("verify", definition, "--key", key), 4, "404")
    (service.directory / "nightly-load").write_bytes((service.directory / "report").read_bytes())
    for key in ("Nightly load", "nightly-load"):
        refused(run("verify", definition, "--key", key), 1, "'Nightly load' is not signed")


def test_flows_of_one_script_share_its_receipt(run: Run, service: Service, tmp_path: Path) -> None:
    """A script in one place vouches for each of its flows; without keys it is a plain file."""
    script = tmp_path / "flows.py"
    script.write_text("raise SystemExit('executed')\n")
    place = {"url": f"{service.url}/flows.py", "auth": ["user", "${PASSWORD}"]}
    definition = defined(
        service, tmp_path, build_request_kwargs=place, get_flow_request_kwargs=place,
        stored_as_script=True, flow_script_path=str(script),
    )  # fmt: skip
    storage = build(definition, report, other())
    definition.write_text(storage.to_json())
    for name in ("report", "other"):
        found = told(run("verify", definition, "--key", name))
        assert (name, "script", True) == (found["name"], found["kind"], found["receipt"])
        assert (None, None) == (found["created"], found["key_id"])
    (service.directory / "flows.py").write_text("raise SystemExit('altered')\n")
    refused(run("verify", definition, "--key", "other"), 1, "is not what this storage stored")


def other() -> object:
    """Return one more flow."""

    def other() -> None:
        """Do nothing."""

    return other


def test_what_would_not_be_loaded_is_an_error(run: Run, service: Service, tmp_path: Path) -> None:
    """A flow that is signed and cut, expired, or another one, is told as `get_flow` tells it."""
    keys = {"k": SecretValue(SECRET)}
    packed = pack(report, "report", expires="2026-01-02T03:04:05+00:00")
    swapped = pack(report, "drop all").seal(keys)
    definition = defined(
        service, tmp_path, signing_keys={"k": "${SECRET}"}, flows={"report": "report"}
    )
    for data, words in (
        (pack(report, "report").seal(keys)[:-1], "another digest than its header says"),
        (packed.seal(keys), "expired at 2026-01-02T03:04:05"),
        (swapped, "the service has 'drop all' in its place"),
        (b"<!doctype html><title>Log in</title>", "a page instead of"),
    ):
        (service.directory / "report").write_bytes(data)
        refused(run("verify", definition), 1, words)


def test_a_flow_that_must_be_encrypted_is_an_error(
    run: Run, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encrypted it is vouched for without the key to read it; in the clear it is not."""
    stages = {"signing_keys": {"k": "${SECRET}"}, "encryption_keys": {"e": "${AES}"}}
    monkeypatch.setenv("AES", base64.b64encode(bytes(range(32))).decode())
    build(defined(service, tmp_path, **stages), report)
    monkeypatch.delenv("AES")
    definition = defined(service, tmp_path, **stages, flows={"report": "report"})
    assert told(run("verify", definition))["encoding"] == "stages-1"
    build(defined(service, tmp_path, signing_keys={"k": "${SECRET}"}), report)
    definition = defined(service, tmp_path, **stages, flows={"report": "report"})
    refused(run("verify", definition), 1, "'report' is not encrypted")


# --- artifacts ------------------------------------------------------------------------------------


def test_an_artifact_is_vouched_for_by_its_receipt(
    run: Run, definition: Path, service: Service, tmp_path: Path
) -> None:
    """The digest of a file, an envelope or not, is compared with the receipt that is given."""
    file, receipt = tmp_path / "model.bin", tmp_path / "receipt.json"
    file.write_bytes(b"weights" * 1000)
    receipt.write_text(run("put", definition, file).out)
    found = told(run("verify", definition, "--key", "model.bin", "--receipt", receipt))
    digest = json.loads(receipt.read_text())["sha256"]
    expected = {
        "name": "model.bin", "kind": "artifact", "size": 7000, "sha256": digest, "receipt": True,
        "key_id": None, "algorithm": None, "created": None, "expires": None, "python": None,
        "encoding": None,
    }  # fmt: skip
    assert expected == found
    (service.directory / "model.bin").write_bytes(b"Weights" * 1000)
    refused(run("verify", definition, "--receipt", receipt), 1, "model.bin: what came back has")


def test_a_remembered_receipt_vouches(
    run: Run, definition: Path, service: Service, tmp_path: Path
) -> None:
    """A receipt in the definition does as well as one in a file."""
    file = tmp_path / "a"
    file.write_bytes(b"")
    run("put", "--remember", definition, file)
    assert told(run("verify", definition, "--key", "a"))["size"] == 0
    (service.directory / "a").write_bytes(b"altered")
    refused(run("verify", definition, "--key", "a"), 1, "a: what came back has another SHA-256")


def test_without_a_receipt_nothing_vouches(
    run: Run, definition: Path, service: Service, tmp_path: Path
) -> None:
    """Nothing is fetched in vain, and the hint says what is missing."""
    (service.directory / "a").write_bytes(b"x")
    for arguments in (["--key", "a"], []):
        outcome = run("verify", definition, *arguments)
        refused(outcome, 1, "there is no receipt")
        assert "give its receipt by --receipt" in outcome.err
    refused(run("verify", definition, "--receipt", tmp_path), 2, "holds no receipt")


def test_one_artifact_needs_no_key(run: Run, service: Service, tmp_path: Path) -> None:
    """A definition with a fixed URL has one artifact, which has no name."""
    place = {"url": f"{service.url}/fixed", "auth": ["user", "${PASSWORD}"]}
    definition = defined(
        service, tmp_path, build_request_kwargs=place, get_flow_request_kwargs=place
    )
    file, receipt = tmp_path / "in", tmp_path / "receipt.json"
    file.write_bytes(b"x")
    receipt.write_text(run("put", definition, file).out)
    found = told(run("verify", definition, "--receipt", receipt))
    assert (None, "artifact", 1) == (found["name"], found["kind"], found["size"])
    (service.directory / "fixed").write_bytes(b"y")
    refused(run("verify", definition, "--receipt", receipt), 1, "the artifact: what came back")


def test_a_missing_artifact_is_told_as_such(run: Run, definition: Path, tmp_path: Path) -> None:
    """What is not there is neither right nor wrong."""
    file = tmp_path / "a"
    file.write_bytes(b"x")
    run("put", "--remember", definition, file)
    run("delete", definition, "--key", "a")
    refused(run("verify", definition, "--key", "a"), 4, "404")


def test_the_help_says_what_it_does(run: Run) -> None:
    """The help names the exit codes and that nothing is loaded."""
    outcome = run("verify", "--help")
    assert outcome.code == 0
    assert "nothing of it is loaded" in " ".join(outcome.out.split())
