"""Mounted directories of secrets."""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.resolvers.places.directory import directory, mount
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
from webhook_storage_resolvers.directory import DirectoryResolver

if TYPE_CHECKING:
    from collections.abc import Iterator


class TestDirectorySuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Start the place."""
        with directory(tmp_path, monkeypatch) as case:
            yield case


def ask(path: Path | DirectoryResolver, name: str, seconds: float = 1) -> Outcome:
    """Ask for one name."""
    resolver = path if isinstance(path, DirectoryResolver) else DirectoryResolver(paths=[path])
    reference = Reference(name)
    return resolver.resolve([reference], Deadline(seconds))[reference]


def found(text: str) -> Found:
    """Return the outcome for a value."""
    return Found(value=SecretValue(text))


@pytest.mark.parametrize("file", ["API_TOKEN", "api_token", "api-token"])
def test_spellings_of_a_name(tmp_path: Path, file: str) -> None:
    """A file may have the name as it is, in lower case, or with hyphens."""
    (tmp_path / file).write_text("value")
    assert ask(tmp_path, "API_TOKEN") == found("value")
    assert ask(tmp_path, "API_TOKENS") == NotFound()


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"value", "value"),
        (b"value\n", "value"),
        (b"value\r\n", "value"),
        (b"value\n\n", "value\n"),
        (b" value ", " value "),
        (b"", ""),
        ("schl\u00fcssel\n".encode(), "schl\u00fcssel"),
    ],
)
def test_one_line_break_is_dropped(tmp_path: Path, content: bytes, value: str) -> None:
    """One line break at the end is the editor's, all else is the secret's."""
    (tmp_path / "A").write_bytes(content)
    assert ask(tmp_path, "A") == found(value)


@pytest.mark.parametrize("name", ["", "../A", "a/b", ".hidden", "..data", "a\0b", "a\\b"])
def test_names_that_are_paths_are_refused(tmp_path: Path, name: str) -> None:
    """A name cannot lead out of the directory, nor to the mount's own files."""
    assert isinstance(ask(tmp_path, name), Invalid)


def test_links_stay_in_the_directory(tmp_path: Path) -> None:
    """A link inside is followed, a link to the outside is refused."""
    mounted = tmp_path / "mounted"
    (mounted / "..2026").mkdir(parents=True)
    (mounted / "..2026" / "A").write_text("inside")
    (mounted / "..data").symlink_to("..2026")
    (mounted / "A").symlink_to("..data/A")
    (tmp_path / "outside").write_text("outside")
    (mounted / "B").symlink_to(tmp_path / "outside")
    (mounted / "C").symlink_to("nowhere")
    assert ask(mounted, "A") == found("inside")
    assert ask(mounted, "B") == Invalid("the file is a link that leads out of the directory")
    assert ask(mounted, "C") == NotFound("the name is a link to nowhere")


def test_directory_may_be_a_link_itself(tmp_path: Path) -> None:
    """It is the directory's real path that files must be below."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "A").write_text("value")
    (tmp_path / "link").symlink_to("real")
    assert ask(tmp_path / "link", "A") == found("value")


def test_kubernetes_renews_a_mount(tmp_path: Path) -> None:
    """Names are links through ..data; when the kubelet swaps that, all secrets are the new ones."""
    mount(tmp_path / "mounted", {"user": "me", "password": "old\n"})
    resolver = DirectoryResolver(paths=[tmp_path / "mounted"])
    assert ask(resolver, "PASSWORD") == found("old")
    mount(tmp_path / "mounted", {"user": "you", "password": "new\n"}, generation=1)
    assert [ask(resolver, name) for name in ("USER", "PASSWORD")] == [found("you"), found("new")]


def test_a_mount_of_kubernetes_hides_its_own_files(tmp_path: Path) -> None:
    """Neither ..data nor the directory behind it is a secret, by whatever name."""
    mount(tmp_path, {"password": "value"})
    assert isinstance(ask(tmp_path, "..data"), Invalid)
    assert isinstance(ask(tmp_path, "..2026_11_20_10_00_00.123456789"), Invalid)


def test_docker_mounts_for_everybody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Secrets of Docker can be read by all users of a container, which nobody is warned of."""
    (tmp_path / "api_token").write_text("value")
    (tmp_path / "api_token").chmod(0o444)
    with caplog.at_level(logging.DEBUG):
        assert ask(tmp_path, "API_TOKEN") == found("value")
    assert caplog.messages == []


def test_without_paths_the_usual_places_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the service manager's directory, if there is one, and that of Docker."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/flows.service")
    resolver = DirectoryResolver()
    assert list(resolver._directories()) == ["/run/credentials/flows.service", "/run/secrets"]
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert list(resolver._directories()) == ["/run/secrets"]


def test_swaps_of_a_mount_are_survived(tmp_path: Path) -> None:
    """While the platform swaps the directory, each answer is an old or a new value in whole."""

    def write(generation: int) -> None:
        directory = tmp_path / f"..{generation}"
        directory.mkdir()
        (directory / "A").write_text(f"value {generation}" * 100)
        (tmp_path / "..tmp").symlink_to(directory.name)
        (tmp_path / "..tmp").replace(tmp_path / "..data")

    write(0)
    (tmp_path / "A").symlink_to("..data/A")
    stop = threading.Event()

    def swap() -> None:
        for generation in range(1, 300):
            write(generation)
            old = tmp_path / f"..{generation - 1}"
            (old / "A").unlink()
            old.rmdir()
        stop.set()

    swapper = threading.Thread(target=swap)
    swapper.start()
    possible = {f"value {generation}" * 100 for generation in range(300)}
    seen = []
    while not stop.is_set():
        seen.append(ask(tmp_path, "A", seconds=30))
    swapper.join()
    seen.append(ask(tmp_path, "A"))
    assert [one for one in seen if not isinstance(one, Found)] == []
    assert {one.value.reveal() for one in seen if isinstance(one, Found)} <= possible
    assert seen[-1] == found("value 299" * 100)


def test_paths_are_asked_in_order(tmp_path: Path) -> None:
    """The first directory that has the name answers; one that is not there has none."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "BOTH").write_text(name)
    (tmp_path / "second" / "ONE").write_text("second")
    paths = [tmp_path / "missing", tmp_path / "first", tmp_path / "second"]
    resolver = DirectoryResolver(paths=paths)
    assert ask(resolver, "BOTH") == found("first")
    assert ask(resolver, "ONE") == found("second")
    assert ask(resolver, "NONE") == NotFound()


def test_credentials_directory_of_the_service_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without paths the service manager's directory is asked, when there is one."""
    for name, text in {"WS_TOKEN": "value", "db.password": "with a dot"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o400)
    tmp_path.chmod(0o500)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert ask(DirectoryResolver(), "WS_TOKEN") == found("value")
    assert ask(DirectoryResolver(), "db.password") == found("with a dot")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert ask(DirectoryResolver(), "WS_TOKEN") == NotFound()


def test_large_files_are_refused(tmp_path: Path) -> None:
    """64 KiB is the most, and that much is still fine."""
    (tmp_path / "A").write_bytes(b"x" * 65536)
    (tmp_path / "B").write_bytes(b"x" * 65537)
    assert ask(tmp_path, "A") == found("x" * 65536)
    assert ask(tmp_path, "B") == Invalid("the file is longer than 64 KiB")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are no secret that can be sent."""
    (tmp_path / "A").write_bytes(b"caf\xe9")
    assert ask(tmp_path, "A") == Invalid("the file is not UTF-8")


def test_directories_are_no_secrets(tmp_path: Path) -> None:
    """A directory of the name is refused."""
    (tmp_path / "A").mkdir()
    assert ask(tmp_path, "A") == Invalid("it is not a file")


def test_refused_open_is_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is not the same as none, so nobody else is asked."""
    (tmp_path / "A").write_text("value")

    def refuse(*arguments: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    assert ask(tmp_path, "A") == Forbidden("the file may not be read")


def test_directory_that_may_not_be_searched_is_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cannot see whether there is a file does not say that there is none."""

    def refuse(*arguments: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "lstat", refuse)
    assert ask(tmp_path, "A") == Forbidden("the directory may not be searched")


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("x" * 300, NotFound()),
        ("\ud800", Invalid("a file cannot have that name")),
    ],
)
def test_names_that_no_file_has(tmp_path: Path, name: str, outcome: Outcome) -> None:
    """A name that the system refuses is answered, not raised."""
    assert ask(tmp_path, name) == outcome


def test_link_that_leads_to_itself_cannot_be_read(tmp_path: Path) -> None:
    """A loop of links is told by the system's own word for it."""
    (tmp_path / "A").symlink_to("A")
    assert ask(tmp_path, "A") == Unavailable("the file cannot be read, ELOOP")


def test_directory_with_too_many_links_cannot_be_read(tmp_path: Path) -> None:
    """The same on the way to the file."""
    (tmp_path / "loop").symlink_to("loop")
    assert ask(tmp_path / "loop", "A") == Unavailable("the file cannot be read, ELOOP")


def test_mount_that_is_swapped_without_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is always gone when it is to be opened is unavailable after the deadline."""
    mount(tmp_path, {"A": "value"})
    generations = itertools.count(1)

    def swap(*arguments: object) -> int:
        mount(tmp_path, {"A": "value"}, generation=next(generations))
        raise FileNotFoundError

    monkeypatch.setattr(os, "open", swap)
    outcome = ask(tmp_path, "A", seconds=0)
    assert outcome == Unavailable("the file is replaced again and again")


def test_pipe_is_read_and_an_idle_one_given_up(tmp_path: Path) -> None:
    """A pipe gives what its writer writes; without a writer the question ends in time."""
    os.mkfifo(tmp_path / "A")
    assert ask(tmp_path, "A", seconds=0.02) == Unavailable("nobody wrote into the pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "A").write_text("value\n"))
    writer.start()
    assert ask(tmp_path, "A", seconds=10) == found("value")
    writer.join()


def test_pipe_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    """Half a secret is none: a writer that stops in the middle is not waited for."""
    os.mkfifo(tmp_path / "A")
    reader = os.open(tmp_path / "A", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "A", os.O_WRONLY)
    try:
        os.write(writer, b"hal")
        assert ask(tmp_path, "A", seconds=0.02) == Unavailable("the pipe did not end")
        os.write(writer, b"x" * 40_000)
        assert ask(tmp_path, "A", seconds=0.02) == Unavailable("the pipe did not end")
    finally:
        os.close(writer)
        os.close(reader)


def test_options_are_refused(tmp_path: Path) -> None:
    """An option that means nothing is not ignored."""
    reference = Reference("A", "directory", options=(("version", "1"),))
    outcome = DirectoryResolver(paths=[tmp_path]).resolve([reference], Deadline(1))[reference]
    assert outcome == Invalid('has no option "version", it takes none')


def test_pickle_is_configuration(tmp_path: Path) -> None:
    """A pickled resolver is equal and holds no value."""
    (tmp_path / "A").write_text("CANARY-directory")
    resolver = DirectoryResolver(paths=[str(tmp_path)])
    ask(resolver, "A")
    pickled = pickle.dumps(resolver)
    assert b"CANARY" not in pickled
    assert pickle.loads(pickled) == resolver  # noqa: S301 - made above


@pytest.mark.parametrize("paths", ["/run/secrets", Path("/run")])
def test_paths_are_a_list(paths: Any) -> None:
    """A single path would be read letter by letter, and its first letter is the root."""
    with pytest.raises(ConfigurationError, match="list of directories") as caught:
        DirectoryResolver(paths=paths)
    assert "paths" == caught.value.path
