"""Secrets that programs print: known ones, one's own, and such as do not behave."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet.fixtures import required
from tests.fleet.process import find_program
from tests.resolvers.command_programs import (
    Witness,
    encrypt_with_age,
    password_store,
    write_program,
)
from tests.resolvers.places.command import command
from webhook_storage.config import DEFAULT_CHAIN
from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.errors import ConfigurationError
from webhook_storage.resolution import Resolution
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite, canary
from webhook_storage_resolvers.command import CommandResolver
from webhook_storage_resolvers.command.presets import PRESETS
from webhook_storage_resolvers.command.process import Ended

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CODE_1 = (
    "the program ended with code 1: run it in a terminal to see why, and list the code in "
    "not_found if it says that there is no such secret"
)
PASS_1 = Forbidden(
    "the program ended with code 1: its store may not be there, or the entry", maybe_missing=True
)
NOT_A_NAME = Invalid("a name is words between single slashes, none of which begins with '-'")

# Leaves a process behind which holds everything open, and waits for it.
HANGS = """#!/bin/sh
exec 9>"{witness}"
sleep 600 &
echo $! >&9
echo $$ >&9
wait
"""


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    """A pipe that tells when all programs that hold it are gone."""
    with Witness(tmp_path / "witness") as pipe:
        yield pipe


def ask(resolver: Resolver, name: str, *, seconds: float = 20.0, **parts: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, "command", **parts)
    return resolver.resolve([reference], Deadline(seconds))[reference]


def shell(script: str, **options: Any) -> CommandResolver:
    """Return a resolver that runs a script, in which ``$0`` is the name."""
    return CommandResolver(argv=["sh", "-c", script, "{name}"], **options)


def text(outcome: Outcome) -> str:
    """Return the secret that was found."""
    assert isinstance(outcome, Found), outcome
    return outcome.value.reveal()


# --- the contract ---


class TestCommandSuite(ResolverSuite):
    """A program of a company."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """A program on the path."""
        with command(tmp_path, monkeypatch) as case:
            yield case


@pytest.fixture(scope="module")
def store_value() -> str:
    """What the password store holds."""
    return canary()


@pytest.fixture(scope="module")
def store(store_value: str) -> Iterator[dict[str, str]]:
    """A password store with a key of its own; what leads there."""
    secrets = {
        "team/app": f"{store_value}\n",
        "team/json": json.dumps({"token": store_value}),
        "team/lines": "first\nsecond\n\n",
    }
    with required(), password_store(secrets) as variables:
        yield variables


class TestPassSuite(ResolverSuite):
    """The real pass, with the real gpg."""

    @pytest.fixture
    def case(
        self, store: dict[str, str], store_value: str, monkeypatch: pytest.MonkeyPatch
    ) -> ResolverCase:
        """A store with a few entries."""
        for name, value in store.items():
            monkeypatch.setenv(name, value)
        return ResolverCase(
            resolver=CommandResolver(preset="pass"),
            present=Reference("team/app", "command"),
            value=store_value,
            absent=Reference("team/other", "command"),
        )


class TestAgeSuite(ResolverSuite):
    """The real age, which ends with 1 whatever is wrong."""

    @pytest.fixture
    def case(self, tmp_path: Path) -> ResolverCase:
        """A file for one secret, and its key."""
        value = canary()
        with required():
            key = encrypt_with_age(tmp_path, "app", value)
        argv = ["age", "-d", "-i", str(key), str(tmp_path / "{name}.age")]
        return ResolverCase(
            resolver=CommandResolver(argv=argv, not_found=[1]),
            present=Reference("app", "command"),
            value=value,
            absent=Reference("other", "command"),
            unreachable=CommandResolver(argv=["age-that-nobody-installed", *argv[1:]]),
        )


# --- real programs ---


@pytest.fixture
def pass_(store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> CommandResolver:
    """Ask the password store."""
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    return CommandResolver(preset="pass")


def test_pass_prints_an_entry(pass_: CommandResolver) -> None:
    """All of an entry is the secret, but for the one line break at its end."""
    assert "first\nsecond\n" == text(ask(pass_, "team/lines"))


def test_a_field_of_an_entry_that_is_json(pass_: CommandResolver, store_value: str) -> None:
    """An entry that is JSON has fields, as any secret has."""
    reference = Reference("team/json", "command", field="token")
    assert store_value == text(Resolution([pass_]).resolve([reference])[reference].outcome)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_folder_of_pass_is_no_secret(
    pass_: CommandResolver, locale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program lists a folder and says that all is well; that listing is no secret."""
    monkeypatch.setenv("LC_ALL", locale)
    assert Invalid("is a folder, name an entry in it") == ask(pass_, "team")


def test_an_empty_folder_of_pass_is_no_secret(
    pass_: CommandResolver, store: dict[str, str]
) -> None:
    """Of an empty folder pass prints the name alone."""
    Path(store["PASSWORD_STORE_DIR"], "empty").mkdir(exist_ok=True)
    assert Invalid("is a folder, name an entry in it") == ask(pass_, "empty")


def test_pass_without_the_key(
    pass_: CommandResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lacks the key gets nothing, and that is not the same as "not found"."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("GNUPGHOME", str(tmp_path))
    assert Unavailable(CODE_1.replace("1", "2", 1)) == ask(pass_, "team/app")
    assert PASS_1 == ask(pass_, "team/other")


def test_age_with_the_wrong_key(tmp_path: Path) -> None:
    """Another key opens nothing."""
    with required():
        key = encrypt_with_age(tmp_path, "app", "open sesame")
        foreign = encrypt_with_age(tmp_path, "foreign", "something else")
    argv = ["age", "-d", "-i", str(key), str(tmp_path / "{name}.age")]
    assert "open sesame" == text(ask(CommandResolver(argv=argv), "app"))
    argv[3] = str(foreign)
    assert Unavailable(CODE_1) == ask(CommandResolver(argv=argv), "app")


def test_secret_tool_and_a_real_keyring(tmp_path: Path) -> None:
    """It ends with 1 for what is not there, as it does when nobody answers, so it is not told."""
    with required():
        session = find_program("dbus-run-session", "dbus-daemon")
        find_program("gnome-keyring-daemon", "gnome-keyring")
        find_program("secret-tool", "libsecret-tools")
    value, result = canary(), tmp_path / "result"
    program = Path(__file__).with_name("command_keyring.py")
    arguments = ["--", sys.executable, str(program), value, str(result)]
    subprocess.run([session, *arguments], check=True, capture_output=True)
    assert [value, repr(Unavailable(CODE_1))] == result.read_text().splitlines()


# --- presets ---

# Writes down how it was called, and prints a value.
RECORDS = """#!{python} -IS
import json, os, sys
with open("{record}", "w") as file:
    json.dump([sys.argv[1:], dict(os.environ), sys.stdin.read()], file)
print("value of " + sys.argv[-1])
"""
ALWAYS = {
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "LOGNAME": "me",
    "TMPDIR": "/tmp",  # noqa: S108 - nothing is written there
    "TZ": "UTC",
    "USER": "me",
    "XDG_CONFIG_HOME": "/home/me/.config",
    "XDG_RUNTIME_DIR": "/run/user/1",
}
FOREIGN = {"AWSTATS": "no", "DISPLAY": ":0", "EDITOR": "vi", "LD_PRELOAD": "", "OTHER_TOKEN": "no"}
PROXY = {"HTTPS_PROXY": "http://proxy.test:1", "no_proxy": "localhost"}
ITEM = "01234567-89ab-cdef-0123-456789abcdef"

CALLS: dict[str, tuple[Sequence[str], str, Sequence[str], dict[str, str]]] = {
    "op": (
        ["--account=team"],
        "vault/item/field",
        ["read", "--no-newline", "--account=team", "op://vault/item/field"],
        {"OP_SERVICE_ACCOUNT_TOKEN": "ops_1", "OP_SESSION_team": "s", **PROXY},
    ),
    "pass": (
        [],
        "team/app",
        ["show", "--", "team/app"],
        {"GNUPGHOME": "/gpg", "PASSWORD_STORE_DIR": "/store"},
    ),
    "gopass": (
        [],
        "team/app",
        ["show", "-o", "--", "team/app"],
        {"GOPASS_HOMEDIR": "/gopass", "GNUPGHOME": "/gpg"},
    ),
    "sops": (
        ["secrets.enc.yaml"],
        "db/password",
        ["-d", "--extract", '["db"]["password"]', "secrets.enc.yaml"],
        {"SOPS_AGE_KEY_FILE": "/key", "AWS_PROFILE": "team", **PROXY},
    ),
    "gcloud": (
        ["--project=team"],
        "app-token",
        (
            "secrets", "versions", "access", "latest", "--quiet", "--project=team",
            "--secret=app-token",
        ),
        {"CLOUDSDK_CONFIG": "/gcloud", "GOOGLE_APPLICATION_CREDENTIALS": "/adc.json", **PROXY},
    ),
    "az": (
        ["--vault-name=team"],
        "app-token",
        (
            "keyvault", "secret", "show", "--query=value", "--output=tsv", "--vault-name=team",
            "--name=app-token",
        ),
        {"AZURE_CONFIG_DIR": "/azure", "REQUESTS_CA_BUNDLE": "/ca.pem", **PROXY},
    ),
    "bw": (
        [],
        ITEM,
        ["--nointeraction", "get", "password", "--", ITEM],
        {"BW_SESSION": "key", **PROXY},
    ),
    "vault": (
        ["-mount=secret"],
        "team/app/token",
        ["kv", "get", "-field=token", "-mount=secret", "--", "team/app"],
        {"VAULT_ADDR": "https://vault.test", "VAULT_TOKEN": "hvs.1", **PROXY},
    ),
    "secret-tool": (
        [],
        "flows/deploy",
        ["lookup", "service", "flows", "username", "deploy"],
        {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/bus"},
    ),
    "security": (
        [],
        "flows/deploy",
        ["find-generic-password", "-w", "-s", "flows", "-a", "deploy"],
        {},
    ),
}  # fmt: skip


def test_every_preset_has_a_call() -> None:
    """No preset is left out below."""
    assert set(PRESETS) == set(CALLS)


@pytest.mark.parametrize("preset", CALLS)
def test_what_a_preset_runs(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program gets exactly these arguments and variables, and nothing to read."""
    arguments, name, expected, variables = CALLS[preset]
    record = tmp_path / "record"
    script = RECORDS.format(python=sys.executable, record=record)
    write_program(tmp_path / "bin" / preset, script)
    for variable in list(os.environ):
        monkeypatch.delenv(variable)
    environment = {**ALWAYS, **variables, "PATH": str(tmp_path / "bin")}
    for variable, value in {**environment, **FOREIGN}.items():
        monkeypatch.setenv(variable, value)
    found = ask(CommandResolver(preset=preset, arguments=arguments), name)
    assert f"value of {expected[-1]}" == text(found)
    assert [list(expected), environment, ""] == json.loads(record.read_text())


@pytest.mark.parametrize(
    ("preset", "arguments", "name", "form"),
    [
        ("op", [], "item/field", "vault/item/field"),
        ("op", [], "a/b/c/d/e", "vault/item/field"),
        ("bw", [], "github", "the id of an item, as 'bw list items' shows it"),
        ("vault", [], "app", "path/field"),
        ("secret-tool", [], "app", "service/user"),
        ("security", [], "app", "service/account"),
        ("sops", ["f.yaml"], 'a"]["b', "key/key, without brackets or quotes"),
    ],
)
def test_names_that_a_program_would_misunderstand(
    preset: str, arguments: list[str], name: str, form: str
) -> None:
    """A name of another form is refused before the program is looked for."""
    resolver = CommandResolver(preset=preset, arguments=arguments)
    assert Invalid(f"a name for {preset} is {form}") == ask(resolver, name)


@pytest.mark.parametrize(
    ("preset", "code", "outcome"),
    [
        ("pass", 1, PASS_1),
        ("pass", 2, Unavailable(CODE_1.replace("1", "2", 1))),
        ("az", 3, NotFound()),
        ("az", 1, Unavailable(CODE_1)),
        ("security", 44, NotFound()),
        ("op", 1, Unavailable(CODE_1)),
        ("gopass", 11, Unavailable(CODE_1.replace("1", "11", 1))),
        ("vault", 2, Unavailable(CODE_1.replace("1", "2", 1))),
    ],
)
def test_exit_codes_of_presets(
    preset: str, code: int, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the documented code of a program says that there is no such secret."""
    write_program(tmp_path / preset, f"#!/bin/sh\necho half a secret\nexit {code}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments, name, _, _ = CALLS[preset]
    assert outcome == ask(CommandResolver(preset=preset, arguments=arguments), name)


def test_exit_codes_of_a_preset_can_be_replaced() -> None:
    """What the configuration says of exit codes counts alone."""
    assert ((), (1,)) == (PRESETS["pass"].not_found, PRESETS["pass"].unclear)
    assert (7,) == CommandResolver(preset="pass", not_found=[7]).not_found


# --- one's own program ---


@pytest.mark.parametrize(
    ("argv", "stdin", "expected"),
    [
        (["echo", "{name}"], False, "team/app"),
        (["/bin/echo", "--name={name}", "{name}"], False, "--name=team/app team/app"),
        (["echo", "{last} {name}{name}"], False, "{last} team/appteam/app"),
        (["cat"], True, "team/app"),
        (["sh", "-c", "cat; echo $0", "{name}"], False, "team/app"),
        (["sh", "-c", 'read -r name; echo "<$name> $0"', "{name}"], True, "<team/app> team/app"),
    ],
)
def test_where_the_name_goes(argv: list[str], stdin: bool, expected: str) -> None:  # noqa: FBT001
    """It goes into arguments, as a whole or in part, or to the standard input."""
    assert expected == text(ask(CommandResolver(argv=argv, stdin=stdin), "team/app"))


@pytest.mark.parametrize("name", ["a;id", "$(id)", "`id`", "a b", "*", "{name}", "päss", "a&&b"])
def test_no_shell_reads_a_name(name: str) -> None:
    """A name arrives as it is, whatever a shell would make of it."""
    assert name == text(ask(CommandResolver(argv=["echo", "{name}"]), name))


@pytest.mark.parametrize(
    "name",
    [
        *("", "-x", "a/-x", "--", "a/../b", "..", "./a", "/etc/passwd", "a//b", "a/", "%2e%2e/a"),
        *("a\nb", "a\0b", "a\x1b[2J", "a\ud800", "a?b", "a#b", "a\\b"),
    ],
)
def test_names_that_are_no_argument(name: str, witness: Witness) -> None:
    """Options, ways out of a directory and control characters are refused; nothing is run."""
    assert NOT_A_NAME == ask(shell(f"echo $$ >{witness.path}"), name)
    assert witness.saw_nobody()


def test_a_long_name_is_refused() -> None:
    """A name has at most 1024 characters."""
    resolver = CommandResolver(argv=["cat"], stdin=True)
    assert "x" * 1024 == text(ask(resolver, "x" * 1024))
    assert Invalid("the name has more than 1024 characters") == ask(resolver, "x" * 1025)


def test_an_option_of_a_reference_is_refused() -> None:
    """A template cannot add arguments."""
    options = (("attribute", "otp"),)
    assert Invalid('has no option "attribute", it takes none') == ask(
        CommandResolver(preset="op"), "vault/item/field", options=options
    )


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("value", "value"),
        (r"value\n", "value"),
        (r"value\r\n", "value"),
        (r"value\n\n", "value\n"),
        (r"\n", ""),
        ("", ""),
        (r" value ", " value "),
        (r"p\303\244ss\n", "päss"),
    ],
)
def test_one_line_break_is_not_part_of_it(printed: str, expected: str) -> None:
    """Exactly one line break at the end goes, everything else stays."""
    assert expected == text(ask(shell(f"printf '{printed}'"), "app"))


def test_what_is_not_utf_8_is_invalid() -> None:
    """Bytes that are no text are no secret that could be sent."""
    expected = Invalid("what the program prints is not UTF-8")
    assert expected == ask(shell(r"printf 'caf\351'"), "app")


def test_lifetime() -> None:
    """The configuration says how long a secret may be kept."""
    found = ask(shell("echo 123456", lifetime=0), "otp")
    assert isinstance(found, Found)
    assert (0, None, False) == (found.lifetime, found.version, found.structured)


def test_bare_names() -> None:
    """They are not asked for unless the configuration says where they lie."""
    bare = Reference("TOKEN")

    def ask_bare(names: str | None) -> Outcome:
        resolver = shell('printf \'{"TOKEN": "%s"}\' "$0"', names=names)
        return resolver.resolve([bare], Deadline(20))[bare]

    assert NotFound("bare names are not looked for, as `names` is not set") == ask_bare(None)
    assert '{"TOKEN": "flows/TOKEN"}' == text(ask_bare("flows/{name}"))
    assert "flows" == text(ask_bare("flows#{name}"))
    assert NotFound("the secret has no such field") == ask_bare("flows#x{name}")


def test_a_default_chain_runs_no_program() -> None:
    """Only who constructs it, or lists it in a configuration, permits programs."""
    assert CommandResolver.scheme not in DEFAULT_CHAIN


def test_each_name_is_asked_once(tmp_path: Path) -> None:
    """References to the same secret are one question."""
    asked = tmp_path / "asked"
    resolver = shell(f"echo $0 >>{asked}; echo value", names="{name}")
    references = [Reference("a", "command"), Reference("a"), Reference("b", "command")]
    outcomes = resolver.resolve(references, Deadline(20))
    assert ["value"] * 3 == [text(outcomes[reference]) for reference in references]
    assert "a\nb\n" == asked.read_text()


def test_what_fails_for_one_is_asked_for_the_next(tmp_path: Path) -> None:
    """A program may end with 1 for an absent secret; the others of a batch are there."""
    resolver = shell('test "$0" != a && echo "$0"')
    references = [Reference("a", "command"), Reference("b", "command")]
    outcomes = resolver.resolve(references, Deadline(20))
    assert Unavailable(CODE_1) == outcomes[references[0]]
    assert "b" == text(outcomes[references[1]])


# --- configurations ---

NO_LIST = 'argv: this is a list of texts, for example ["show", "-o"], since there is no shell'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a command is either a preset or an argv of its own"),
        (
            {"preset": "op", "argv": ["echo", "{name}"]},
            "a command is either a preset or an argv of its own",
        ),
        (
            {"preset": "lastpass"},
            f"preset: there is no such preset, there are {', '.join(PRESETS)}",
        ),
        ({"preset": "op", "stdin": True}, "stdin: a preset passes the name as an argument"),
        (
            {"preset": "az"},
            'arguments: az needs an argument, for example ["--vault-name=team"]',
        ),
        (
            {"preset": "sops"},
            'arguments: sops needs an argument, for example ["secrets.enc.yaml"]',
        ),
        (
            {"argv": "pass show {name}"},
            NO_LIST,
        ),
        (
            {"preset": "az", "arguments": "--vault-name=team"},
            NO_LIST.replace("argv", "arguments"),
        ),
        (
            {"argv": ["echo", 1, "{name}"]},
            NO_LIST,
        ),
        ({"argv": []}, "argv: it names no program"),
        ({"argv": ["echo", "a\0", "{name}"]}, "argv: an argument cannot hold a NUL character"),
        ({"argv": ["echo"]}, "argv: no argument holds {name}, and stdin is not set"),
        (
            {"argv": ["{name}", "{name}"]},
            "argv: a program is a name without slashes, or an absolute path",
        ),
        (
            {"argv": ["bin/echo", "{name}"]},
            "argv: a program is a name without slashes, or an absolute path",
        ),
        (
            {"argv": ["echo", "{name}"], "arguments": ["-n"]},
            "arguments: these are for a preset; what belongs to an argv stands in it",
        ),
        (
            {"preset": "op", "environment": ["SAFE_TOKEN=x"]},
            "environment: these are names of environment variables, or patterns such as SAFE_*",
        ),
        ({"preset": "op", "timeout": 0}, "timeout: this is a number of seconds above 0"),
        ({"preset": "op", "timeout": True}, "timeout: this is a number of seconds above 0"),
        ({"preset": "op", "timeout": "10"}, "timeout: this is a number of seconds above 0"),
        ({"preset": "op", "lifetime": -1}, "lifetime: this is a number of seconds"),
        (
            {"preset": "op", "not_found": [0]},
            "not_found: these are exit codes from 1 to 255, for example [1]",
        ),
        (
            {"preset": "op", "not_found": ["1"]},
            "not_found: these are exit codes from 1 to 255, for example [1]",
        ),
        (
            {"preset": "op", "names": "flows"},
            "names: names must hold {name}, for example team/flows#{name}",
        ),
        ({"preset": "op", "names": "{name}"}, "names: a name for op is vault/item/field"),
        ({"preset": "pass", "names": "../{name}"}, f"names: {NOT_A_NAME.detail}"),
    ],
)
def test_configurations_that_are_refused(options: dict[str, Any], message: str) -> None:
    """What cannot work is refused when it is written, in words that say what is wanted."""
    with pytest.raises(ConfigurationError) as caught:
        CommandResolver(**options)
    assert message == str(caught.value)


def test_a_configuration_does_not_change() -> None:
    """Lists are kept as tuples, so that two of the same settings are equal, also from a pickle."""
    argv = ["age", "-d", "{name}"]
    resolver = CommandResolver(argv=argv, environment=["A"], not_found=[1])
    argv.append("-x")
    assert (("age", "-d", "{name}"), ("A",), (1,)) == (
        resolver.argv,
        resolver.environment,
        resolver.not_found,
    )
    assert resolver == pickle.loads(pickle.dumps(resolver))  # noqa: S301 - pickled just before
    assert hash(resolver) == hash(CommandResolver(argv=argv[:3], environment=["A"], not_found=[1]))


# --- programs that are not there ---


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        (
            {"preset": "op"},
            'there is no program "op" on the path: install the 1Password command line',
        ),
        (
            {"argv": ["safe", "{name}"]},
            'there is no program "safe" on the path: install it, or give its full path in argv',
        ),
        ({"argv": ["/no/safe", "{name}"]}, 'there is no program "/no/safe"'),
    ],
)
def test_missing_programs(
    options: dict[str, Any], detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said what is missing, and what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    resolver = CommandResolver(**options)
    assert (Unavailable(detail), detail) == (ask(resolver, "a/b/c"), resolver.health())


def test_health_of_a_program_that_is_there() -> None:
    """A program that is found is well; it is not run."""
    assert CommandResolver(argv=["sh", "-c", "exit 1", "{name}"]).health() is None


@pytest.mark.parametrize("path", ["", ".", ":.:", "bin"])
def test_relative_directories_of_the_path_are_passed_over(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that happens to lie in the current directory is not run."""
    write_program(tmp_path / "safe", "#!/bin/sh\necho not me\n")
    write_program(tmp_path / "bin" / "safe", "#!/bin/sh\necho nor me\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path)
    assert isinstance(ask(CommandResolver(argv=["safe", "{name}"]), "app"), Unavailable)
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{tmp_path}")
    assert "not me" == text(ask(CommandResolver(argv=["safe", "{name}"]), "app"))


def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    """What cannot be started is told by the system's word for it."""
    program = write_program(tmp_path / "safe", "\x7fELF is what I am not\n")
    outcome = ask(CommandResolver(argv=[program, "{name}"]), "app")
    assert Unavailable("the program cannot be run, ENOEXEC") == outcome


def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no process groups no program is run."""
    monkeypatch.delattr(os, "killpg")
    resolver = CommandResolver(argv=["echo", "{name}"])
    assert Unavailable("programs are run on POSIX systems only") == ask(resolver, "app")


def test_a_process_that_ignores_the_ends_of_its_children() -> None:
    """An exit code that nobody knows is not taken for success."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        outcome = ask(shell("echo half; exit 1"), "app")
    finally:
        signal.signal(signal.SIGCHLD, before)
    detail = "exit codes are not known here, as this process ignores SIGCHLD"
    assert Unavailable(detail) == outcome


def test_systems_that_cannot_look_at_an_ended_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waitid, as on older macOS, the exit code is known all the same."""
    monkeypatch.delattr(os, "waitid")
    assert "app" == text(ask(shell("sleep 600 & echo $0"), "app"))
    assert Unavailable(CODE_1) == ask(shell("exit 1"), "app")


# --- programs that do not behave ---


def test_a_program_that_hangs_is_killed(tmp_path: Path, witness: Witness) -> None:
    """After its time a program is killed with all that it started, whoever holds the pipe."""
    program = write_program(tmp_path / "safe", HANGS.format(witness=witness.path))
    outcome = ask(CommandResolver(argv=[program, "{name}"], timeout=0.3), "app")
    assert Unavailable("the program did not end in 0.3 s and was killed") == outcome
    assert 2 == len(witness.pids(2))
    assert [] == witness.survivors()


def test_the_deadline_counts_if_it_is_earlier(tmp_path: Path, witness: Witness) -> None:
    """A program has no more time than the caller."""
    program = write_program(tmp_path / "safe", HANGS.format(witness=witness.path))
    outcome = ask(CommandResolver(argv=[program, "{name}"]), "app", seconds=0.3)
    assert Unavailable("the program did not end in 0.3 s and was killed") == outcome
    assert [] == witness.survivors()


def test_without_time_nothing_is_run(witness: Witness) -> None:
    """A deadline that has passed starts no program."""
    outcome = ask(shell(f"echo $$ >{witness.path}"), "app", seconds=0)
    assert Unavailable("there was no time left to ask") == outcome
    assert witness.saw_nobody()


def test_a_program_that_hangs_is_not_run_for_the_next(tmp_path: Path) -> None:
    """What cannot be asked for one name is not asked for another."""
    asked = tmp_path / "asked"
    resolver = shell(f"echo $0 >>{asked}; exec sleep 600", timeout=0.3)
    references = [Reference(name, "command") for name in ("a", "b")]
    outcomes = resolver.resolve(references, Deadline(20))
    assert 1 == len({repr(outcome) for outcome in outcomes.values()})
    assert "a\n" == asked.read_text()


def test_what_a_program_leaves_behind_is_not_waited_for(witness: Witness) -> None:
    """A program that has ended has answered, even if a child of its holds the pipe."""
    resolver = shell(f"exec 9>{witness.path}; sleep 600 & echo $! >&9; echo value")
    assert "value" == text(ask(resolver, "app"))
    assert [] == witness.survivors()


def test_a_program_that_closes_its_output_is_waited_for() -> None:
    """An end of the output is no end of the program: its exit code counts."""
    outcome = ask(shell("echo value; exec >&-; sleep 0.1; exit 1"), "app")
    assert Unavailable(CODE_1) == outcome


def test_a_program_that_closes_its_output_and_hangs(witness: Witness) -> None:
    """It has no more time than others."""
    script = f"exec 9>{witness.path}; exec >&-; sleep 600 & echo $! >&9; echo $$ >&9; wait"
    outcome = ask(shell(script, timeout=0.3), "app")
    assert Unavailable("the program did not end in 0.3 s and was killed") == outcome
    assert [] == witness.survivors()


@pytest.mark.parametrize("size", [65536, 65537])
def test_a_flood_is_cut_off(size: int, witness: Witness) -> None:
    """64 KiB are a secret, one byte more is none, and the program that prints on is killed."""
    on = "" if size == 65536 else "; sleep 600"
    resolver = shell(f"exec 9>{witness.path}; echo $$ >&9; head -c {size} /dev/zero{on}")
    outcome = ask(resolver, "app")
    if size == 65536:
        assert "\0" * size == text(outcome)
    else:
        assert Invalid("the program prints more than 64 KiB") == outcome
    assert [] == witness.survivors()


def test_a_program_that_is_killed() -> None:
    """A signal is told by its number."""
    expected = Unavailable("the program was ended by signal 9")
    assert expected == ask(shell("echo half; kill -9 $$"), "app")


def test_a_prompt_gets_no_answer() -> None:
    """There is neither input nor a terminal to ask somebody at."""
    script = "if (: </dev/tty) 2>/dev/null; then echo tty; elif read -r x; then echo $x; fi; exit 5"
    assert NotFound() == ask(shell(script, not_found=[5]), "app")


def test_what_a_program_writes_to_its_standard_error_is_not_shown() -> None:
    """It is neither part of a secret nor of an outcome."""
    assert "value" == text(ask(shell("echo careful >&2; echo value; echo done >&2"), "app"))
    assert Unavailable(CODE_1) == ask(shell("echo a secret >&2; exit 1"), "app")
    assert "<Ended 0>" == repr(Ended(0, b"a secret"))


def test_a_name_that_nobody_reads() -> None:
    """A program that does not care for its input is no fault."""
    assert "value" == text(ask(CommandResolver(argv=["echo", "value"], stdin=True), "app"))


def descriptors() -> list[str]:
    """Return the open descriptors of this process."""
    return sorted(each.name for each in Path("/dev/fd").iterdir())


def test_no_descriptor_is_inherited_or_lost() -> None:
    """The program has three, and this process has as many as before, whatever happened."""
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)  # noqa: FBT003 - a positional-only argument
    script = "import os; print(sorted(map(int, os.listdir('/dev/fd')))[:-1])"
    listing = CommandResolver(argv=[sys.executable, "-ISc", script, "{name}"])
    try:
        assert "[0, 1, 2]" == text(ask(listing, "app"))
        before = descriptors()
        for _ in range(3):
            ask(shell("exit 1"), "app")
            ask(shell("sleep 600", timeout=0.05), "app")
            ask(shell("yes"), "app")
            ask(CommandResolver(argv=["/dev/null", "{name}"]), "app")
            ask(CommandResolver(argv=["cat"], stdin=True), "app")
        assert before == descriptors()
    finally:
        os.close(reader)
        os.close(writer)


# --- nobody waits any more ---


async def test_a_cancelled_task_kills_the_program(tmp_path: Path, witness: Witness) -> None:
    """The program ends with the task that waits for it."""
    program = write_program(tmp_path / "safe", HANGS.format(witness=witness.path))
    reference = Reference("app", "command")
    resolver = CommandResolver(argv=[program, "{name}"], timeout=600)
    task = asyncio.create_task(resolver.aresolve([reference], Deadline(600)))
    await asyncio.to_thread(witness.pids, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [] == await asyncio.to_thread(witness.survivors)


def test_an_interrupt_kills_the_program(tmp_path: Path, witness: Witness) -> None:
    """Ctrl-C ends the program, too, which is in another session and gets no signal itself."""
    program = write_program(tmp_path / "safe", HANGS.format(witness=witness.path))
    resolver = CommandResolver(argv=[program, "{name}"], timeout=600)

    def interrupt() -> None:
        witness.pids(2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        ask(resolver, "app", seconds=600)
    thread.join()
    assert [] == witness.survivors()


LEAVES = """
import sys, threading
from webhook_storage.contracts import Deadline
from webhook_storage.template import Reference
from webhook_storage_resolvers.command import CommandResolver

resolver = CommandResolver(argv=[sys.argv[1], "{name}"], timeout=600)
asked = [Reference("app", "command")], Deadline(600)
threading.Thread(target=resolver.resolve, args=asked, daemon=True).start()
sys.stdin.read()
"""


STARTS = f"""
import atexit, subprocess, threading

leaving = threading.Event()

class Slow(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        leaving.wait(10)

subprocess.Popen = Slow
{LEAVES}
atexit.register(leaving.set)
"""


@pytest.mark.parametrize("script", [LEAVES, STARTS], ids=["runs", "is being started"])
def test_no_program_outlives_this_process(tmp_path: Path, witness: Witness, script: str) -> None:
    """A process that ends while a thread of its waits for a program takes it along."""
    program = write_program(tmp_path / "safe", HANGS.format(witness=witness.path))
    process = subprocess.Popen([sys.executable, "-c", script, program], stdin=subprocess.PIPE)
    with process:
        witness.pids(2)
        process.communicate()
    assert [] == witness.survivors()
    assert 0 == process.returncode


LATE = """
import atexit
from webhook_storage.contracts import Deadline
from webhook_storage.template import Reference
from webhook_storage_resolvers.command import CommandResolver

def ask(program):
    resolver = CommandResolver(argv=[program, "{name}"], timeout=600)
    print(*resolver.resolve([Reference("600", "command")], Deadline(600)).values())

atexit.register(ask, "sleep")
ask("true")
"""


def test_a_process_that_ends_runs_no_more_programs() -> None:
    """A program that is started too late is killed at once."""
    command = [sys.executable, "-c", LATE]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    killed = Unavailable("the program was ended by signal 9")
    assert repr(killed) == printed.splitlines()[1]


def test_a_forked_child_leaves_the_programs_of_its_parent_alone(
    tmp_path: Path, witness: Witness
) -> None:
    """The end of a child is no end of what its parent waits for."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    resolver = shell(f"echo $$ >{witness.path}; cat {gate}")
    script = f"""
import os, sys, threading
from webhook_storage.contracts import Deadline
from webhook_storage.template import Reference
from webhook_storage_resolvers.command import CommandResolver

resolver = CommandResolver(argv={list(resolver.argv or ())!r}, timeout=600)
reference = Reference("app", "command")
found = []
ask = lambda: found.append(resolver.resolve([reference], Deadline(600))[reference])
thread = threading.Thread(target=ask)
thread.start()
with open({str(tmp_path / "started")!r}) as started:
    started.read()
if not (child := os.fork()):
    sys.exit(0)
os.waitpid(child, 0)
with open({str(gate)!r}, "w") as file:
    file.write("value")
thread.join()
print(found[0].value.reveal())
"""
    os.mkfifo(tmp_path / "started")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script], stdout=subprocess.PIPE, text=True
    )
    with process:
        witness.pids(1)
        (tmp_path / "started").write_text("")
        assert "value\n" == process.communicate()[0]


def test_threads_run_programs_beside_each_other() -> None:
    """Each thread gets the answer to its own question."""
    resolver = CommandResolver(argv=["cat"], stdin=True)
    names = [f"name-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert names == list(pool.map(lambda name: text(ask(resolver, name)), names))


@pytest.mark.parametrize("name", ["@/etc/passwd", "a/@b"])
def test_a_file_is_no_name(name: str) -> None:
    """Programs that read an argument ``@file`` get none."""
    assert isinstance(ask(CommandResolver(argv=["true", "{name}"]), name), Invalid)


@pytest.mark.parametrize(
    ("preset", "name"), [("az", "a_b"), ("az", "x=y"), ("gcloud", "projects/other/secrets/x")]
)
def test_names_of_the_clouds(preset: str, name: str) -> None:
    """A name is one of the vault or project that was configured, and leads to no other."""
    arguments = ["--vault-name=team"] if preset == "az" else []
    resolver = CommandResolver(preset=preset, arguments=arguments)
    assert isinstance(ask(resolver, name), Invalid)


def test_a_store_of_pass_that_is_not_there(
    pass_: CommandResolver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Pass says the same of an entry and of its whole store, so nobody else is asked."""
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "not-mounted"))
    assert PASS_1 == ask(pass_, "team/app")
