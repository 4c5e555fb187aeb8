from __future__ import annotations

import importlib.util
import sys
import warnings

import pytest

from tests.fuzz import __main__ as program
from tests.fuzz import kit
from tests.fuzz.targets import NAMES, load
from webhook_storage.errors import IntegrityError, ProtocolError, UnexpectedError


def test_our_errors_pass_and_are_kept() -> None:
    """A refusal is what a parser may answer with."""
    error = IntegrityError("broken")
    with kit.refusals() as refused:
        raise error

    assert [error] == refused


@pytest.mark.parametrize("error", [UnexpectedError("ValueError in here"), ValueError("from us")])
def test_a_fault_of_ours_does_not_pass(error: Exception) -> None:
    """What stands for a foreign exception is one, and so is a builtin that is no error of ours."""
    with pytest.raises(type(error)), kit.refusals():
        raise error


def test_warnings_are_no_faults() -> None:
    """A definition may be odd."""
    with kit.refusals():
        warnings.warn("it seems to hold a secret", UserWarning, stacklevel=1)


def test_much_memory_for_little_input_is_told() -> None:
    """The limit grows with the input, and by no more."""

    def greedy(data: bytes) -> None:
        bytearray(kit.BYTES_ALWAYS + kit.BYTES_PER_BYTE * 10)

    with pytest.raises(kit.MemoryLimitError, match="9 bytes of input"):
        kit.measure(greedy, b"123456789")
    kit.measure(greedy, b"1234567890123")
    kit.measure(greedy, b"", always=2 * kit.BYTES_ALWAYS)


def test_an_input_has_as_many_parts_as_are_wanted() -> None:
    """What is not there is empty, and the last part takes the rest."""
    assert [b"a", b"", b""] == kit.parts(b"a", 3)
    assert ["a", f"\udcff{kit.SEPARATOR.decode()}c"] == kit.texts(kit.joined("a", b"\xff", "c"), 2)


def test_an_answer_without_its_end_breaks_off() -> None:
    """Status, headers and body are those of the input."""
    whole, broken = kit.Answer(b'206\nETag: "v" \nx\n\nbody'), kit.Answer(b"nonsense")

    assert (206, [("etag", '"v"'), ("x", "")]) == (whole.status, whole.headers)
    assert b"body" == b"".join(whole.chunks())
    assert 200 == broken.status
    with pytest.raises(ProtocolError):
        list(broken.chunks())


@pytest.mark.parametrize("name", NAMES)
def test_a_target_has_seeds_and_words(name: str) -> None:
    """Without them fuzzing finds little."""
    target = load(name)

    assert len(target.SEEDS) >= 5
    assert all(target.WORDS)


def test_without_atheris_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no part of the development environment."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["tests.fuzz"])

    assert 2 == program.main()
    assert "pip install atheris" in capsys.readouterr().err


TOLD = b"""INFO: Instrumenting webhook_storage
#2\tINITED cov: 10 ft: 20 corp: 5/1b exec/s: 0 rss: 60Mb
#99\tNEW    cov: 12 ft: 24 corp: 7/9b lim: 4 exec/s: 0 rss: 60Mb L: 2/2 MS: 1 EraseBytes-
 === Uncaught Python exception: ===
ValueError: too long
Traceback (most recent call last):
  in here

stat::number_of_executed_units: 123
"""


def test_what_the_fuzzer_says_is_read() -> None:
    """Figures come from its lines, and of a fault the traceback is told."""
    result = program.read("origin", 61.0, TOLD, b"input")

    assert (123, 12, 7, b"input") == (
        result.executions,
        result.coverage,
        result.corpus,
        result.crash,
    )
    assert result.log.startswith(" === Uncaught")
    assert result.log.endswith("  in here")
    assert "FOUND" in result.row
    assert "none" in program.read("origin", 61.0, TOLD, None).row


def test_a_process_that_ended_early_is_told_by_its_last_words() -> None:
    """Also where nothing was counted yet."""
    result = program.read("origin", 1.0, b"killed\n", b"")

    assert (0, 0, "killed") == (result.executions, result.coverage, result.log)
