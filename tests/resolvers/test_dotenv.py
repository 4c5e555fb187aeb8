"""A .env file as a place of secrets."""

from __future__ import annotations

import logging
import os
import pickle
import re
import threading
from typing import TYPE_CHECKING

import pytest

from tests.resolvers.places.dotenv import dotenv
from webhook_storage import Sender, Webhook
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.errors import SecretNotFoundError
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite
from webhook_storage_resolvers.dotenv import DotenvResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestDotenvSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Start the place."""
        with dotenv(tmp_path, monkeypatch) as case:
            yield case


def ask(resolver: DotenvResolver, name: str) -> Outcome:
    """Ask for one name."""
    reference = Reference(name)
    return resolver.resolve([reference], Deadline(1))[reference]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a private .env file in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED", raising=False)
    path = tmp_path / ".env"
    path.touch(mode=0o600)
    return path


def test_dollars_are_text(file: Path) -> None:
    """A password with dollars comes as it stands in the file."""
    file.write_text("WS_USER=me\nWS_PASSWORD='a$b${WS_USER}'\nWS_OTHER=pa$$word\n")
    assert ask(DotenvResolver(), "WS_PASSWORD") == Found(value=SecretValue("a$b${WS_USER}"))
    assert ask(DotenvResolver(), "WS_OTHER") == Found(value=SecretValue("pa$$word"))


def test_nothing_is_exported(file: Path) -> None:
    """Child processes do not get the values."""
    file.write_text("WS_ONLY_HERE=value")
    ask(DotenvResolver(), "WS_ONLY_HERE")
    assert "WS_ONLY_HERE" not in os.environ


def test_file_is_read_again_when_it_changes(file: Path) -> None:
    """A new content counts from the next question on."""
    resolver = DotenvResolver()
    file.write_text("WS_TOKEN=first")
    assert ask(resolver, "WS_TOKEN") == Found(value=SecretValue("first"))
    assert ask(resolver, "WS_TOKEN") == Found(value=SecretValue("first"))
    newer = file.with_name("newer")
    newer.touch(mode=0o600)
    newer.write_text("WS_TOKEN=other")
    newer.replace(file)
    assert ask(resolver, "WS_TOKEN") == Found(value=SecretValue("other"))
    file.unlink()
    assert ask(resolver, "WS_TOKEN") == NotFound()


def test_unchanged_file_is_parsed_once(file: Path) -> None:
    """As long as the file is the same, what was parsed is used again."""
    file.write_text("WS_TOKEN=value")
    resolver = DotenvResolver()
    parsed = []
    for _ in range(2):
        ask(resolver, "WS_TOKEN")
        kept = resolver._kept.peek()
        parsed.append(kept and kept.values)
    assert parsed[0] is parsed[1] is not None


def test_missing_name_empty_value_and_name_alone(file: Path) -> None:
    """An empty value is found; a name without a value is not."""
    file.write_text("WS_EMPTY=\nWS_ALONE\n")
    assert ask(DotenvResolver(), "WS_EMPTY") == Found(value=SecretValue(""))
    assert ask(DotenvResolver(), "WS_ALONE") == NotFound()
    assert ask(DotenvResolver(), "WS_MISSING") == NotFound()


def test_byte_order_mark_is_no_part_of_a_name(file: Path) -> None:
    """A file saved with a byte order mark is read like any other."""
    file.write_bytes(b"\xef\xbb\xbfWS_TOKEN=value")
    assert ask(DotenvResolver(), "WS_TOKEN") == Found(value=SecretValue("value"))


def test_other_encodings_are_refused(file: Path) -> None:
    """A file that is not UTF-8 is invalid, and its bytes are not shown."""
    file.write_bytes(b"WS_TOKEN=caf\xe9")
    assert ask(DotenvResolver(), "WS_TOKEN") == Invalid("the file is not UTF-8")


def test_directories_above_are_not_searched(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the current directory counts."""
    file.write_text("WS_TOKEN=value")
    (file.parent / "below").mkdir()
    monkeypatch.chdir(file.parent / "below")
    assert ask(DotenvResolver(), "WS_TOKEN") == NotFound()


def test_a_missing_file_is_told_when_it_was_named(file: Path) -> None:
    """Most do without a .env, so nothing is said of it; of a file of one's own choice it is."""
    file.unlink()
    assert ask(DotenvResolver(), "WS_TOKEN") == NotFound()
    named = DotenvResolver(path=file.with_name("prod.env"))
    assert ask(named, "WS_TOKEN") == NotFound("there is no such file")
    message = re.escape("${WS_TOKEN} is missing (asked: dotenv)") + "$"
    with Sender(secrets=[DotenvResolver()]), pytest.raises(SecretNotFoundError, match=message):
        Webhook({"url": "${WS_TOKEN}"}, "PUT", {"url": "${WS_TOKEN}"}, "GET").get()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file_is_forbidden(file: Path) -> None:
    """A file that is there and cannot be read is not the same as none."""
    file.chmod(0)
    assert ask(DotenvResolver(), "WS_TOKEN") == Forbidden("the file may not be read")


def test_refused_open_is_forbidden(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's refusal is told as forbidden, for root too."""

    def refuse(*arguments: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert ask(DotenvResolver(), "WS_TOKEN") == Forbidden("the file may not be read")


def test_directory_is_no_file(tmp_path: Path) -> None:
    """A directory in the file's place is answered, not raised."""
    assert ask(DotenvResolver(path=tmp_path), "WS_TOKEN") == Invalid("it is not a file")


def test_file_below_a_file_cannot_be_read(file: Path) -> None:
    """A path that leads through a file is answered by the system's own word for it."""
    outcome = ask(DotenvResolver(path=file / "below"), "WS_TOKEN")
    assert outcome == Unavailable("the file cannot be read, ENOTDIR")


def test_large_files_are_refused(file: Path) -> None:
    """1 MiB is the most, and that much is still fine."""
    start = "WS_TOKEN=value\n#"
    file.write_text(start.ljust(1024 * 1024, "x"))
    assert ask(DotenvResolver(), "WS_TOKEN") == Found(value=SecretValue("value"))
    file.write_text(start.ljust(1024 * 1024 + 1, "x"))
    assert ask(DotenvResolver(), "WS_TOKEN") == Invalid("the file is longer than 1024 KiB")


def test_pipe_is_read_each_time(tmp_path: Path) -> None:
    """A pipe, as 1Password mounts one, gives at each question what its writer writes then."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, mode=0o600)
    resolver = DotenvResolver(path=pipe)
    for text in ("first", "second"):
        writer = threading.Thread(target=pipe.write_text, args=(f"WS_TOKEN={text}\n",))
        writer.start()
        reference = Reference("WS_TOKEN")
        outcome = resolver.resolve([reference], Deadline(10))[reference]
        assert outcome == Found(value=SecretValue(text))
        writer.join()


def test_idle_pipe_is_given_up(tmp_path: Path) -> None:
    """A pipe that nobody writes to is unavailable, after the deadline at the latest."""
    os.mkfifo(tmp_path / "pipe")
    reference = Reference("WS_TOKEN")
    outcome = DotenvResolver(path=tmp_path / "pipe").resolve([reference], Deadline(0.02))
    assert outcome[reference] == Unavailable("nobody wrote into the pipe")


@pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
def test_exposed_file_is_told_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that others can read is warned of once, without a value; a private one is not."""
    file.write_text("WS_TOKEN=CANARY-dotenv")
    resolver = DotenvResolver()
    with caplog.at_level(logging.WARNING):
        ask(resolver, "WS_TOKEN")
        assert caplog.messages == []
        file.chmod(0o644)
        exposed = DotenvResolver()
        ask(exposed, "WS_TOKEN")
        file.write_text("WS_TOKEN=CANARY-dotenv-of-another-length")
        ask(exposed, "WS_TOKEN")
        exposed.close()
        ask(exposed, "WS_TOKEN")
    assert caplog.messages == [".env can be read by other users; chmod 600 it"]


def test_it_can_be_switched_off(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that switches python-dotenv off switches this off too."""
    file.write_text("WS_TOKEN=value")
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "true")
    outcome = ask(DotenvResolver(), "WS_TOKEN")
    assert outcome == NotFound("switched off by PYTHON_DOTENV_DISABLED")
    monkeypatch.setenv("PYTHON_DOTENV_DISABLED", "0")
    assert ask(DotenvResolver(), "WS_TOKEN") == Found(value=SecretValue("value"))


def test_options_are_refused(file: Path) -> None:
    """An option that means nothing is not ignored."""
    reference = Reference("A", "dotenv", options=(("version", "1"),))
    outcome = DotenvResolver().resolve([reference], Deadline(1))[reference]
    assert outcome == Invalid('has no option "version", it takes none')


def test_values_stay_here(file: Path) -> None:
    """Neither pickle nor representation holds what was read, and closing forgets it."""
    file.write_text("WS_TOKEN=CANARY-dotenv")
    resolver = DotenvResolver()
    ask(resolver, "WS_TOKEN")
    pickled = pickle.dumps(resolver)
    assert b"CANARY" not in pickled
    assert repr(resolver) == "DotenvResolver(path='.env')"
    other = pickle.loads(pickled)  # noqa: S301 - made above
    assert other == resolver
    assert ask(other, "WS_TOKEN") == Found(value=SecretValue("CANARY-dotenv"))
    resolver.close()
    kept = resolver._kept.peek()
    assert kept is not None
    assert kept.values == {}
