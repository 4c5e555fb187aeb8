"""Acme's resolver keeps the promises of every resolver."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from company_resolver import AcmeResolver

from webhook_storage.contracts import Deadline, Forbidden, Outcome, Unavailable
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite, canary

if TYPE_CHECKING:
    from pathlib import Path


class TestAcme(ResolverSuite):
    """The contract of resolvers."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResolverCase:
        """Write a file with one entry."""
        value = canary()
        (tmp_path / "acme.json").write_text(json.dumps({"billing/gateway": {"token": value}}))
        monkeypatch.setenv("ACME_SECRETS", str(tmp_path / "acme.json"))
        return ResolverCase(
            resolver=AcmeResolver(),
            present=Reference("billing/gateway", "acme"),
            field="token",
            value=value,
            absent=Reference("billing/gatewy", "acme"),
        )


def ask() -> Outcome:
    """Ask for one entry."""
    reference = Reference("billing/gateway", "acme")
    return AcmeResolver().resolve([reference], Deadline(1))[reference]


@pytest.mark.parametrize("text", ["", "[1]", "no JSON", "7"])
def test_a_file_of_another_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What is no JSON object has no secrets, and is not taken for one that lacks this one."""
    (tmp_path / "acme.json").write_text(text)
    monkeypatch.setenv("ACME_SECRETS", str(tmp_path / "acme.json"))
    assert Unavailable("the file cannot be read, or is no JSON object") == ask()


def test_nobody_said_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable the outcome says what to do."""
    monkeypatch.delenv("ACME_SECRETS", raising=False)
    assert Unavailable("set ACME_SECRETS to the path of the file") == ask()


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no reason to ask somebody else."""

    def refuse(*arguments: object, **named: object) -> str:
        raise PermissionError

    monkeypatch.setenv("ACME_SECRETS", str(tmp_path / "acme.json"))
    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    assert Forbidden("the file may not be read") == ask()
