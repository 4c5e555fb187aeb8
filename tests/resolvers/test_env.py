"""Environment variables as secrets."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.resolvers.places.directory import mount
from tests.resolvers.places.env import env
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Unavailable,
)
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite
from webhook_storage_resolvers.env import EnvResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestEnvSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Start the place."""
        with env(tmp_path, monkeypatch) as case:
            yield case


class TestFilesSuite(ResolverSuite):
    """The same promises where a variable names the file that holds the secret."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Name a file that ends with a line break, and a pipe that nobody writes into."""
        with env(tmp_path, monkeypatch) as case:
            (tmp_path / "token").write_text(f"{case.value}\n")
            os.mkfifo(tmp_path / "silent")
            monkeypatch.delenv("API_TOKEN")
            monkeypatch.setenv("API_TOKEN_FILE", str(tmp_path / "token"))
            monkeypatch.setenv("SILENT_API_TOKEN_FILE", str(tmp_path / "silent"))
            hanging = EnvResolver(files=True, prefix="SILENT_")
            yield replace(case, resolver=EnvResolver(files=True), hanging=hanging)


def ask(resolver: EnvResolver, reference: Reference) -> Outcome:
    """Ask for one reference."""
    return resolver.resolve([reference], Deadline(1))[reference]


def test_variable_is_read_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the environment is seen at once."""
    resolver = EnvResolver()
    monkeypatch.setenv("WS_TOKEN", "first")
    assert ask(resolver, Reference("WS_TOKEN")) == Found(value=SecretValue("first"))
    monkeypatch.setenv("WS_TOKEN", "second")
    assert ask(resolver, Reference("WS_TOKEN")) == Found(value=SecretValue("second"))
    monkeypatch.delenv("WS_TOKEN")
    assert ask(resolver, Reference("WS_TOKEN")) == NotFound()


def test_empty_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set and empty is something else than not set."""
    monkeypatch.setenv("WS_TOKEN", "")
    assert ask(EnvResolver(), Reference("WS_TOKEN")) == Found(value=SecretValue(""))


def test_prefix_stands_before_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a prefix only names that have it are reached."""
    monkeypatch.setenv("APP_TOKEN", "with prefix")
    monkeypatch.setenv("OTHER", "without")
    resolver = EnvResolver(prefix="APP_")
    assert ask(resolver, Reference("TOKEN")) == Found(value=SecretValue("with prefix"))
    assert ask(resolver, Reference("OTHER")) == NotFound()


def test_names_that_are_not_allowed_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that matches no pattern is not read, though it is set."""
    monkeypatch.setenv("APP_TOKEN", "allowed")
    monkeypatch.setenv("CLOUD_KEY", "not allowed")
    resolver = EnvResolver(allow=["APP_*"])
    assert ask(resolver, Reference("APP_TOKEN")) == Found(value=SecretValue("allowed"))
    refused = ask(resolver, Reference("CLOUD_KEY", "env"))
    assert refused == NotFound("the name is not one of those allowed")


def test_allowing_nothing_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list of patterns is no absent list."""
    monkeypatch.setenv("WS_TOKEN", "value")
    assert isinstance(ask(EnvResolver(allow=[]), Reference("WS_TOKEN")), NotFound)


@pytest.mark.skipif(os.name != "posix", reason="other systems have text in their environment")
def test_bytes_that_are_no_text_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be sent is invalid, not a crash later on."""
    monkeypatch.setitem(os.environb, b"WS_TOKEN", b"caf\xe9")
    assert ask(EnvResolver(), Reference("WS_TOKEN")) == Invalid(
        "the name or its value is not UTF-8"
    )


@pytest.mark.parametrize("name", ["", "A=B", "A\0B", "\ud800"])
def test_impossible_names_are_answered(name: str) -> None:
    """No name makes the resolver raise."""
    assert isinstance(ask(EnvResolver(), Reference(name, "env")), NotFound | Invalid)


def test_options_are_refused() -> None:
    """An option that means nothing is not ignored."""
    reference = Reference("A", "env", options=(("version", "1"),))
    assert ask(EnvResolver(), reference) == Invalid('has no option "version", it takes none')


def test_pickle_is_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickled resolver is equal and holds no value."""
    monkeypatch.setenv("WS_TOKEN", "CANARY-env")
    resolver = EnvResolver(prefix="WS_", allow=["WS_*"])
    ask(resolver, Reference("TOKEN"))
    pickled = pickle.dumps(resolver)
    assert b"CANARY" not in pickled
    assert pickle.loads(pickled) == resolver  # noqa: S301 - made above


# --- variables that name files --------------------------------------------------------------------

FILES = EnvResolver(files=True)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that WS_TOKEN_FILE names."""
    monkeypatch.setenv("WS_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text("of the file\n")
    return tmp_path / "token"


def test_variable_may_name_a_file(file: Path) -> None:
    """The file's text is the secret, without one line break; of the next content too."""
    assert ask(FILES, Reference("WS_TOKEN")) == Found(value=SecretValue("of the file"))
    file.write_text("changed\n\n")
    assert ask(FILES, Reference("WS_TOKEN", "env")) == Found(value=SecretValue("changed\n"))


@pytest.mark.usefixtures("file")
def test_files_are_not_read_unless_wanted() -> None:
    """By default a variable that names a file is a variable like any other."""
    assert ask(EnvResolver(), Reference("WS_TOKEN")) == NotFound()


def test_variable_alone_is_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files are wanted and none is named, the variable counts, an empty one too."""
    monkeypatch.setenv("WS_TOKEN", "of the variable")
    assert ask(FILES, Reference("WS_TOKEN")) == Found(value=SecretValue("of the variable"))
    monkeypatch.setenv("WS_TOKEN_FILE", "")
    monkeypatch.setenv("WS_TOKEN", "")
    assert ask(FILES, Reference("WS_TOKEN")) == Found(value=SecretValue(""))
    monkeypatch.delenv("WS_TOKEN")
    assert ask(FILES, Reference("WS_TOKEN")) == NotFound()


@pytest.mark.usefixtures("file")
def test_empty_variable_does_not_hide_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is set and empty, as Compose passes on what is not set, is no value."""
    monkeypatch.setenv("WS_TOKEN", "")
    assert ask(FILES, Reference("WS_TOKEN")) == Found(value=SecretValue("of the file"))


@pytest.mark.usefixtures("file")
def test_both_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable and its file may differ, and nobody guesses which is meant."""
    monkeypatch.setenv("WS_TOKEN", "of the variable")
    refused = Invalid("both WS_TOKEN and WS_TOKEN_FILE are set; unset one of them")
    assert ask(FILES, Reference("WS_TOKEN")) == refused


def test_a_named_file_that_is_not_there_stops_the_chain(file: Path) -> None:
    """Who was told where the secret is asks nobody else for it."""
    file.unlink()
    gone = Unavailable("WS_TOKEN_FILE names a file that is not there")
    assert ask(FILES, Reference("WS_TOKEN")) == gone
    file.symlink_to("nowhere")
    assert ask(FILES, Reference("WS_TOKEN")) == gone


def test_trouble_with_the_file_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the file is said of the variable that names it, without its bytes."""
    file.write_bytes(b"caf\xe9")
    assert ask(FILES, Reference("WS_TOKEN")) == Invalid("WS_TOKEN_FILE: the file is not UTF-8")
    file.write_bytes(b"x" * 65537)
    too_long = Invalid("WS_TOKEN_FILE: the file is longer than 64 KiB")
    assert ask(FILES, Reference("WS_TOKEN")) == too_long

    def refuse(*arguments: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    forbidden = Forbidden("WS_TOKEN_FILE: the file may not be read")
    assert ask(FILES, Reference("WS_TOKEN")) == forbidden


@pytest.mark.usefixtures("file")
def test_prefix_and_patterns_count_for_files_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name without its ending is what may be asked for, and what the prefix stands before."""
    found = Found(value=SecretValue("of the file"))
    assert ask(EnvResolver(files=True, prefix="WS_"), Reference("TOKEN")) == found
    assert ask(EnvResolver(files=True, allow=["WS_TOKEN"]), Reference("WS_TOKEN")) == found
    refused = ask(EnvResolver(files=True, allow=["APP_*"]), Reference("WS_TOKEN"))
    assert refused == NotFound("the name is not one of those allowed")


def test_swapped_mounts_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link may lead anywhere, and leads to the new content once the platform swapped it."""
    mount(tmp_path / "mounted", {"token": "old\n"})
    monkeypatch.setenv("WS_TOKEN_FILE", str(tmp_path / "mounted" / "token"))
    assert ask(FILES, Reference("WS_TOKEN")) == Found(value=SecretValue("old"))
    mount(tmp_path / "mounted", {"token": "new\n"}, generation=1)
    assert ask(FILES, Reference("WS_TOKEN")) == Found(value=SecretValue("new"))


@pytest.mark.parametrize("allow", ["APP_*", b"A", 1])
def test_patterns_are_a_list(allow: Any) -> None:
    """A single text would be read letter by letter, and one of its letters is the star."""
    with pytest.raises(ConfigurationError, match="list of patterns") as caught:
        EnvResolver(allow=allow)
    assert "allow" == caught.value.path
