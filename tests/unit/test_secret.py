from __future__ import annotations

import ast
import base64
import copy
import dataclasses
import io
import json
import logging
import pickle
import pprint
import sys
import traceback
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import cloudpickle
import pytest
import rich
import rich.pretty
import rich.traceback
from rich.console import Console

from webhook_storage.contracts import Response, WireRequest
from webhook_storage.secret import MASK, Redactor, SecretValue, redacted_logs, silenced_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CANARY = "canary/6f1d 9c+ü\"<&>'\\x"
VALUE = SecretValue(CANARY)
FORMS = (CANARY, "6f1d", base64.b64encode(CANARY.encode()).decode()[4:12])


@dataclasses.dataclass
class Holder:
    value: SecretValue


def rich_text(make: Callable[[Console], object]) -> str:
    """Return what rich prints."""
    console = Console(file=io.StringIO(), width=200)
    make(console)
    file = console.file
    return file.getvalue() if isinstance(file, io.StringIO) else pytest.fail("no text")


def wire() -> WireRequest:
    """Return a request with the secret in it."""
    return WireRequest(method="GET", url=f"https://a.example/{CANARY}", headers=[("x", CANARY)])


def traceback_with_locals() -> str:
    """Return rich's traceback of a frame that holds the secret."""
    value = VALUE
    try:
        1 / int(value == "")
    except ZeroDivisionError:
        return rich_text(lambda console: console.print(rich.traceback.Traceback(show_locals=True)))
    return pytest.fail("nothing was raised")


SHOWN: dict[str, Callable[[], object]] = {
    "repr": lambda: repr(VALUE),
    "str": lambda: str(VALUE),
    "ascii": lambda: ascii(VALUE),
    "f-string": lambda: f"{VALUE}{VALUE!r}{VALUE!s}{VALUE:>40}",
    "format": lambda: "{0} {0!r} {0:x}".format(VALUE),  # noqa: UP032 - the channel under test
    "percent": lambda: "%s %r" % (VALUE, VALUE),  # noqa: UP031 - the channel under test
    "container": lambda: [{"a": (VALUE,)}],
    "dir": lambda: dir(VALUE),
    "pprint": lambda: pprint.pformat({"a": VALUE}),
    "dataclass": lambda: Holder(VALUE),
    "asdict": lambda: dataclasses.asdict(Holder(VALUE)),
    "json default=str": lambda: json.dumps({"a": VALUE}, default=str),
    "json default=repr": lambda: json.dumps({"a": VALUE}, default=repr),
    "exception": lambda: traceback.format_exception(ValueError("no", VALUE)),
    "copy": lambda: copy.copy(VALUE),
    "deepcopy": lambda: copy.deepcopy({"a": [VALUE]}),
    "response": lambda: Response(status=200, headers={"x": CANARY}, body=CANARY.encode()),
    "request": wire,
    "rich print": lambda: rich_text(lambda console: console.print({"a": VALUE})),
    "rich pretty": lambda: rich.pretty.pretty_repr(Holder(VALUE)),
    "rich inspect": lambda: rich_text(
        lambda console: rich.inspect(VALUE, console=console, all=True, private=True)
    ),
    "rich traceback": traceback_with_locals,
}

REFUSED: dict[str, Callable[[], object]] = {
    "json": lambda: json.dumps({"a": VALUE}),
    "json default=vars": lambda: json.dumps({"a": VALUE}, default=vars),
    "vars": lambda: vars(VALUE),
    "hash": lambda: hash(VALUE),
    "iter": lambda: list(VALUE),  # type: ignore[call-overload]
    "len": lambda: len(VALUE),  # type: ignore[arg-type]
    "index": lambda: VALUE[0],  # type: ignore[index]
    "plus": lambda: "Bearer " + VALUE,  # type: ignore[operator]
    "join": lambda: "".join([VALUE]),  # type: ignore[list-item]  # noqa: FLY002 - refused
    "bytes": lambda: bytes(VALUE),  # type: ignore[call-overload]
    "order": lambda: VALUE < VALUE,  # type: ignore[operator]  # noqa: PLR0124 - must be refused
    "set": lambda: setattr(VALUE, "reveal", str),
    "cloudpickle": lambda: cloudpickle.dumps([VALUE]),
    "cloudpickle closure": lambda: cloudpickle.dumps(closure(VALUE)),
    "cloudpickle reveal": lambda: cloudpickle.dumps(VALUE.reveal),
    "pickle reveal": lambda: pickle.dumps(VALUE.reveal),
    "response": lambda: pickle.dumps(Response(status=200, headers={"x": CANARY})),
    "request": lambda: cloudpickle.dumps(wire()),
    "redactor": lambda: cloudpickle.dumps(Redactor([VALUE])),
    "redactor copy": lambda: copy.deepcopy(Redactor([VALUE])),
}


def closure(value: SecretValue) -> Callable[[], SecretValue]:
    """Return a function that carries the secret along."""
    return lambda: value


@pytest.mark.parametrize("channel", SHOWN)
def test_what_shows_an_object_shows_no_secret(channel: str) -> None:
    """A secret in an object, a container or a frame leaves no trace in text."""
    text = str(SHOWN[channel]())
    assert text
    assert [] == [form for form in FORMS if form in text]


@pytest.mark.parametrize("channel", REFUSED)
def test_what_would_take_the_text_is_refused(channel: str) -> None:
    """Whatever would serialize a secret, or read it as text, fails and says nothing of it."""
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)) as caught:
        REFUSED[channel]()
    assert [] == [form for form in FORMS if form in str(caught.value)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    """No protocol pickles a secret, alone or inside of something."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(VALUE, protocol)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(Holder(VALUE), protocol)


@pytest.mark.parametrize("dump", ["dump", "safe_dump"])
def test_a_secret_is_not_written_as_yaml(dump: str) -> None:
    """YAML, which can write any object, cannot write this one."""
    yaml: Any = pytest.importorskip("yaml")
    with pytest.raises((TypeError, yaml.YAMLError)) as caught:
        getattr(yaml, dump)({"a": VALUE})
    assert [] == [form for form in FORMS if form in str(caught.value)]


def test_a_copy_is_the_secret_itself() -> None:
    """Copying duplicates no text."""
    assert VALUE is copy.copy(VALUE)
    assert VALUE is copy.deepcopy([VALUE])[0]


def test_secrets_are_equal_by_their_text() -> None:
    """Two secrets of one text are equal, and no secret equals a string."""
    assert SecretValue("a") == SecretValue("a")
    assert SecretValue("a") != SecretValue("b")
    assert SecretValue("a") != "a"
    assert SecretValue("\ud800") != SecretValue("\ud801")


def test_reveal_returns_the_text() -> None:
    """The one door leads to the text, also when it is empty."""
    assert CANARY == VALUE.reveal()
    assert SecretValue("").reveal() == ""


# --- who calls reveal -----------------------------------------------------------------------------

PACKAGES = ("webhook_storage", "webhook_storage_resolvers", "webhook_storage_presets")
MAY_REVEAL = {
    "webhook_storage.asking:_is_text",
    "webhook_storage.auth.digest:_Signer.answer",
    "webhook_storage.auth.hmac_url:HmacUrl.sign",
    "webhook_storage.auth.oauth2:_OAuth2.sign",
    "webhook_storage.document:pick",
    "webhook_storage.signing:_read",
    "webhook_storage.stages.keys:_master_key",
    "webhook_storage.secret:Redactor._all_forms",
    "webhook_storage.secret:Redactor._is_escaped_in",
    "webhook_storage.secret:Redactor.found_in",
    "webhook_storage.secret:Redactor.redact",
    "webhook_storage.secret:SecretValue.__eq__",
    "webhook_storage.secret:SecretValue.forms",
    "webhook_storage.values:Values.lookup",
    "webhook_storage.values:_mark",
    "webhook_storage.values:ask",
    "webhook_storage_presets.azure.connection:locate",
    "webhook_storage_presets.azure.connection:read",
    "webhook_storage_presets.azure.entra:Entra.sign",
    "webhook_storage_presets.azure.sas:access_by",
    "webhook_storage_presets.azure.sas:with_sas",
    "webhook_storage_presets.azure.signing:AzureSharedKey.sign",
    "webhook_storage_presets.azure.signing:_is_key",
    "webhook_storage_presets.gcs.auth:Google.sign",
    "webhook_storage_presets.gcs.auth:_own",
    "webhook_storage_presets.s3.signing:_credentials",
    "webhook_storage_presets.swift.auth:_Token.sign",
    "webhook_storage_resolvers.azure:AzureResolver._ask",
    "webhook_storage_resolvers.http.credentials:fill_headers",
    "webhook_storage_resolvers.infisical.api:Api._send",
    "webhook_storage_resolvers.naming:field_of",
    "webhook_storage_resolvers.vault.client:VaultClient._client",
    "webhook_storage_resolvers.vault.login:Login._question",
}


def uses_of_reveal() -> Iterator[str]:
    """Yield module and function of every place in the packages that opens a secret."""
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None
        for root in spec.submodule_search_locations or ():
            for path in sorted(Path(root).rglob("*.py")):
                parts = path.relative_to(Path(root).parent).with_suffix("").parts
                name = ".".join(parts).removesuffix(".__init__")
                yield from within(ast.parse(path.read_bytes()), name, "")


def within(node: ast.AST, module: str, scope: str) -> Iterator[str]:
    """Yield the places inside of one node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Attribute) and child.attr == "reveal":
            yield f"{module}:{scope or '(module)'}"
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from within(child, module, f"{scope}.{child.name}".removeprefix("."))
        else:
            yield from within(child, module, scope)


def test_only_known_places_reveal_a_secret() -> None:
    """Every place that opens a secret is known; a new one must be judged before it is listed."""
    assert set(uses_of_reveal()) == MAY_REVEAL


# --- redaction ------------------------------------------------------------------------------------


def escaped_slashes(text: str) -> str:
    """Return a JSON string as PHP writes it."""
    return json.dumps(text)[1:-1].replace("/", "\\/")


def escaped_for_html(text: str) -> str:
    """Return a JSON string as Go writes it."""
    encoded = json.dumps(text, ensure_ascii=False)[1:-1]
    return encoded.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def lower_escapes(text: str) -> str:
    """Return a percent-encoded text with its hex digits in lower case."""
    pieces = text.split("%")
    return "%".join([pieces[0], *(piece[:2].lower() + piece[2:] for piece in pieces[1:])])


SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "path": quote,
    "query": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "lower-case path": lambda text: lower_escapes(quote(text)),
    "lower-case query": lambda text: lower_escapes(quote(text, safe="")),
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "json in Unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json of PHP": escaped_slashes,
    "json of Go": escaped_for_html,
    "repr": lambda text: repr(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "without control characters": lambda text: text.replace("\t", " "),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "secret", [CANARY, "two words & more/of them", "tab\tinside/of it", "päß→wörd"]
)
def test_every_spelling_is_masked(spelling: str, secret: str) -> None:
    """A secret is masked in each form in which it travels, and the rest of the text stays."""
    text = f"before {SPELLINGS[spelling](secret)} after"
    assert f"before {MASK} after" == Redactor([SecretValue(secret)]).redact(text)


def escaped_for_net(text: str) -> str:
    """Return a JSON string as System.Text.Json writes it."""
    units = memoryview(text.encode("utf-16-le")).cast("H")
    plain = (chr(unit) if unit < 128 and chr(unit).isalnum() else "" for unit in units)
    return "".join(char or f"\\u{unit:04X}" for char, unit in zip(plain, units, strict=True))


def references(form: str) -> Callable[[str], str]:
    """Return what writes all but letters and digits as character references."""
    return lambda text: "".join(c if c.isalnum() else form.format(ord(c)) for c in text)


FRAMEWORKS: dict[str, Callable[[str], str]] = {
    "System.Text.Json": escaped_for_net,
    "System.Text.Json in a log": lambda text: escaped_for_net(text).replace("\\", "\\" * 4),
    "slashes of PHP and plus of .NET": lambda text: text.replace("+", "\\u002B").replace(
        "/", "\\/"
    ),
    "encodeURIComponent": lambda text: quote(text, safe="!'()*~"),
    "URLSearchParams": lambda text: quote_plus(text, safe="*").replace("~", "%7E"),
    "html/template of Go": lambda text: text.replace("+", "&#43;").replace("/", "&#47;"),
    "decimal references": references("&#{};"),
    "padded references": references("&#{:07};"),
    "hexadecimal references": references("&#x{:02X};"),
    "named references": lambda text: text.replace("+", "&plus;").replace("/", "&sol;"),
    "references in JSON": lambda text: references("&#{};")(text).replace("&", "\\u0026"),
}


@pytest.mark.parametrize("spelling", FRAMEWORKS)
@pytest.mark.parametrize("secret", ["q7+Zk/9dPw!x0==tail", "two words! + ä/\U0001f600~"])
def test_what_a_framework_escapes_is_masked(spelling: str, secret: str) -> None:
    """Frameworks escape characters that need it not, each others; all of such a text goes."""
    redactor = Redactor([SecretValue(secret)])
    text = f"before {FRAMEWORKS[spelling](secret)} after"
    assert secret not in text
    assert MASK in redactor.redact(text)
    assert FRAMEWORKS[spelling](secret) not in redactor.redact(text)
    assert redactor.found_in(text)
    other = f"before {FRAMEWORKS[spelling](secret[:-1])} after"
    assert other == redactor.redact(other)


@pytest.mark.parametrize(
    "text", ["&#" + "9" * 5000 + ";", "&#xFFFFFFFF;", "%", "%zz%FF", "\\u", "\\uD800", "&&#;&x"]
)
def test_escapes_that_are_none_are_text(text: str) -> None:
    """No server breaks redaction by escapes of nothing, nor hides a secret by them."""
    redactor = Redactor([SecretValue("q7+Zk/9dPw")])
    assert text == redactor.redact(text)
    assert MASK == redactor.redact(f"{text} q7&#43;Zk/9dPw")


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("prefix", ["", "u", "us", "user:"])
@pytest.mark.parametrize("secret", ["s3cret-\xfe\xff value?", "sixsix", "four", "abc"])
def test_base64_is_masked_wherever_it_begins(
    encode: Callable[[bytes], bytes], prefix: str, secret: str
) -> None:
    """Base64 of something that holds a secret, as in basic authentication, is masked."""
    encoded = encode(f"{prefix}{secret}!".encode()).decode()
    shown = Redactor([SecretValue(secret)]).redact(f"Basic {encoded}")
    assert MASK in shown
    assert encoded not in shown


@pytest.mark.parametrize("secret", ["a", "ab", "abcde", "*"])
def test_a_short_secret_takes_the_whole_text_away(secret: str) -> None:
    """Masking a few characters would show where they stood, so nothing is left."""
    assert MASK == Redactor([SecretValue(secret)]).redact(f"1-{secret}-2")


def test_a_text_without_secrets_stays() -> None:
    """Redaction changes nothing where there is nothing to take out."""
    redactor = Redactor([SecretValue("not in there"), SecretValue("")])
    assert redactor.redact("innocent text") == "innocent text"
    assert redactor.found_in("innocent text") is False


def test_found_in_sees_every_spelling() -> None:
    """A text that holds a secret is told from one that does not, even one that is the mask."""
    redactor = Redactor([SecretValue("s3cret/value"), SecretValue(MASK)])
    assert redactor.found_in("id-s3cret%2Fvalue") is True
    assert redactor.found_in(MASK) is True


def test_lines_of_a_secret_are_masked() -> None:
    """A line of a key file is as secret as the whole, unless it is too short to be."""
    key = "-----BEGIN-----\n  MIIEpAIBAAKCAQEA\r\nab\n-----END-----\n"
    redactor = Redactor([SecretValue(key)])
    assert f"x {MASK} y" == redactor.redact("x MIIEpAIBAAKCAQEA y")
    assert f"x {MASK} y" == redactor.redact(f"x {key.strip()} y")
    assert redactor.redact("x ab y") == "x ab y"


@pytest.mark.parametrize("space", ["", "\n  "])
def test_strings_in_a_json_secret_are_masked(space: str) -> None:
    """Of a JSON secret every text that is long enough is a secret, and no name."""
    document = {
        "password": "hunter2hunter2",
        "list": [{"deep": "deeper-secret"}],
        "n": 1,
        "s": "ab",
    }
    redactor = Redactor([SecretValue(space + json.dumps(document))])
    shown = redactor.redact("password=hunter2hunter2, deeper-secret, ab")
    assert f"password={MASK}, {MASK}, ab" == shown


@pytest.mark.parametrize("text", ["{not json", "[" * 100_000])
def test_a_secret_that_only_begins_like_json_is_masked(text: str) -> None:
    """What looks like JSON and is none is a text like any other."""
    assert f"a {MASK} b" == Redactor([SecretValue(text)]).redact(f"a {text} b")


def test_the_longer_of_two_secrets_goes_first() -> None:
    """A secret that holds another leaves no rest."""
    redactor = Redactor([SecretValue("secret"), SecretValue("secret-and-more")])
    assert f"({MASK})" == redactor.redact("(secret-and-more)")


def test_a_secret_that_is_no_unicode_is_masked() -> None:
    """A lone surrogate, as in an undecodable environment variable, does not break redaction."""
    redactor = Redactor([SecretValue("bytes \udcff here")])
    assert f"a {MASK} b" == redactor.redact("a bytes \udcff here b")


def test_a_redactor_shows_no_secret() -> None:
    """Neither a redactor nor the forms it computed show anything."""
    redactor = Redactor([VALUE])
    redactor.redact("x")
    assert CANARY not in repr(redactor) + repr(redactor._forms) + pprint.pformat(redactor)


# --- logs of other libraries ----------------------------------------------------------------------


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Collect what is logged, formatted with everything that a formatter may use."""
    written: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            extra = {key: value for key, value in vars(record).items() if key == "extra_field"}
            written.append(f"{logging.Formatter().format(record)} {extra} {record.args}")

    handler = Collect()
    logging.root.addHandler(handler)
    yield written
    logging.root.removeHandler(handler)


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "urllib3.connectionpool", "hvac.x.y"])
def test_records_of_a_library_are_redacted_in_flight(name: str, lines: list[str]) -> None:
    """Message, arguments, extras and traceback of a library's record hold no secret in flight."""
    logger = logging.getLogger(name)
    with redacted_logs(Redactor([VALUE])):
        try:
            raise ValueError(CANARY)  # noqa: TRY301 - to have a traceback
        except ValueError:
            extra = {"extra_field": {"token": CANARY}}
            logger.warning("GET %s", quote(CANARY), exc_info=True, stack_info=True, extra=extra)
    assert len(lines) == 1
    assert f"GET {MASK}" in lines[0]
    assert [] == [form for form in (*FORMS, quote(CANARY)) if form in lines[0]]


def test_records_of_others_and_other_times_are_untouched(lines: list[str]) -> None:
    """The user's own records are theirs, and so are a library's when nothing is under way."""
    with redacted_logs(Redactor([SecretValue("s3cret value")])):
        logging.getLogger("my.program").warning("s3cret value")
    logging.getLogger("httpx").warning("s3cret value")
    assert ["s3cret value {} ()", "s3cret value {} ()"] == lines


def test_a_record_that_cannot_be_formatted_passes_without_its_arguments(lines: list[str]) -> None:
    """A broken record is named as such and takes nothing along."""
    with redacted_logs(Redactor([VALUE])):
        logging.getLogger("httpx").warning("%d", CANARY)
    assert ["(a log record that could not be formatted) {} ()"] == lines


def test_an_extra_that_cannot_be_shown_does_not_break_the_library(lines: list[str]) -> None:
    """A field of a record whose text cannot be had is left out."""

    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError(CANARY)

    with redacted_logs(Redactor([VALUE])):
        logging.getLogger("httpx").warning("fine", extra={"extra_field": Unprintable()})
    assert [f"fine {{'extra_field': '{MASK}'}} ()"] == lines


def test_silenced_logs_let_nothing_pass(lines: list[str]) -> None:
    """While a resolver asks its store no library logs, afterwards it does again."""
    with silenced_logs():
        logging.getLogger("hvac").warning("the answer")
    logging.getLogger("hvac").warning("later")
    assert ["later {} ()"] == lines


def test_a_logger_made_in_flight_is_covered(lines: list[str]) -> None:
    """A library that is loaded by its first use makes its loggers late."""
    with redacted_logs(Redactor([VALUE])):
        logging.getLogger("botocore.made.late").warning(CANARY)
    with silenced_logs():
        logging.getLogger("botocore.made.later").warning(CANARY)
    assert [f"{MASK} {{}} ()"] == lines


def test_a_programs_own_record_factory_stays(lines: list[str]) -> None:
    """Who makes records in a way of their own keeps it, and it is covered as well."""
    before = logging.getLogRecordFactory()

    def own(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.extra_field = "own"
        return record

    logging.setLogRecordFactory(own)
    try:
        with redacted_logs(Redactor([VALUE])):
            logging.getLogger("botocore.made.latest").warning(CANARY)
        logging.getLogger("my.program").warning("fine")
    finally:
        logging.setLogRecordFactory(before)
    own_field = "{'extra_field': 'own'} ()"
    assert [f"{MASK} {own_field}", f"fine {own_field}"] == lines


def test_silence_and_redaction_nest(lines: list[str]) -> None:
    """A resolver asked in the middle of a request is silent, and then redaction goes on."""
    with redacted_logs(Redactor([VALUE])):
        with silenced_logs():
            logging.getLogger("httpx").warning("nothing")
        logging.getLogger("httpx").warning(CANARY)
    assert [f"{MASK} {{}} ()"] == lines


def test_no_frame_of_a_redactor_is_left_behind() -> None:
    """Leaving the block in an exception changes nothing about the exception."""
    with pytest.raises(KeyError, match="mine") as caught, redacted_logs(Redactor([VALUE])):
        raise KeyError("mine")
    assert caught.value.__context__ is None
    assert sys.exception() is None


def test_any_name_may_hold_a_secret() -> None:
    """A mapping with secrets compares by them, as when a newer value is asked for."""
    old: dict[str, Any] = {"TOKEN": SecretValue("a")}
    assert old == {"TOKEN": SecretValue("a")}
    assert old != {"TOKEN": SecretValue("b")}
