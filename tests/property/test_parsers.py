"""What no input can do to a parser: break it, or make it take much more memory than it has bytes.

The targets are those of `tests.fuzz`, which feeds them for longer, and by coverage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.kit import Canned
from tests.fuzz.targets import NAMES, load, run
from tests.sending.raw import RawServer, always
from webhook_storage import RetryPolicy, Sender, Storage, Webhook, config
from webhook_storage.errors import (
    ConfigurationError,
    IntegrityError,
    ProtocolError,
    RedirectRefusedError,
    TemplateError,
    UnsafeValueError,
)
from webhook_storage.receipt import Receipt
from webhook_storage.template import parse
from webhook_storage.transport.requests import RequestsTransport

if TYPE_CHECKING:
    from pathlib import Path

BRACKETS = [(b"[", b"]"), (b'{"a":', b"}"), (b"{a=", b"}"), (b"${A:-", b"}"), (b"(", b")")]
SEEDED = [(name, number) for name in NAMES for number in range(len(load(name).SEEDS))]


@st.composite
def changed(draw: st.DrawFn, seeds: tuple[bytes, ...], words: tuple[bytes, ...]) -> bytes:
    """Return a seed in which some bytes are others, and some words stand once or very often."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 5))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.integers(0, 12)))
        times = draw(st.just(1) | st.integers(0, 3000))
        middle = draw(st.sampled_from(words) | st.binary(max_size=8) | st.just(data[begin:end]))
        data = data[:begin] + middle[:64] * times + data[end:]
    if draw(st.booleans()):
        data = nested(data, *draw(st.sampled_from(BRACKETS)), draw(st.integers(1, 3000)))
    return data


def nested(data: bytes, left: bytes, right: bytes, depth: int) -> bytes:
    """Return the input with its last text, which is a value or a name, in many brackets."""
    head, quote, rest = data.rpartition(b'"')
    head, other, text = head.rpartition(b'"')
    return head + left * depth + other + text + quote + right * depth + rest


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, database=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_input_is_taken_or_refused(name: str, data: st.DataObject) -> None:
    """Whatever comes in, there is a result or an error of ours, and little memory is taken."""
    module = load(name)
    for seed in module.SEEDS[:1]:
        module.target(seed)  # what is imported late, or kept for ever, belongs to nobody's input
    words = module.WORDS
    given_ = data.draw(st.binary(max_size=200) | changed(module.SEEDS, words), label=name)
    run(name, given_)


@pytest.mark.parametrize(("name", "number"), SEEDED)
def test_inputs_from_which_fuzzing_begins_pass(name: str, number: int) -> None:
    """A seed is valid, or was found to break something that no longer does."""
    seed = load(name).SEEDS[number]
    run(name, seed, measured=False)
    run(name, seed)


# --- what was found, in its shortest form ---------------------------------------------------------

PLACE = {"url": "https://h.test/${artifact.key}"}


def webhook(**options: Any) -> Webhook:
    """Return a storage with options of its own, which may be kwargs of its request that fetches."""
    kwargs = {
        **PLACE,
        **{name: options.pop(name) for name in ("timeout", "params") & options.keys()},
    }
    return Webhook(PLACE, "PUT", kwargs, "GET", **options)


def lists(depth: int) -> list[Any]:
    """Return a list in a list in a list."""
    found: list[Any] = []
    for _ in range(depth - 1):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"captures": {"a": "regex:(a{9999999999})"}}, "captures.a"),
        ({"captures": {"a": f"regex:{'(' * 5000}{')' * 5000}"}}, "captures.a"),
        ({"params": {"a": lists(300)}}, "get_flow_request_kwargs"),
        ({"params": {"a": lists(900)}}, "get_flow_request_kwargs"),
        ({"timeout": 10**400}, "get_flow_request_kwargs.timeout"),
        ({"timeout": float("inf")}, "get_flow_request_kwargs.timeout"),
        ({"exists_request": {"url": "https://[x/", "method": "GET"}}, "exists_request.url"),
        ({"exists_request": {"url": "https://\u2100/", "method": "GET"}}, "exists_request.url"),
        ({"exists_request": {"url": "https://h:99999/", "method": "GET"}}, "exists_request.url"),
    ],
)
def test_a_definition_that_cannot_be_is_refused(options: dict[str, Any], path: str) -> None:
    """It is refused when it is made, with its place, and not when it is used."""
    with pytest.raises(ConfigurationError) as caught:
        webhook(**options)

    assert path == caught.value.path


def test_a_definition_may_be_nested_as_people_nest() -> None:
    """Fifty lists in one another are read, written and compared."""
    storage = webhook(params={"a": lists(50)})

    assert storage == Storage.from_json(storage.to_json())


@pytest.mark.parametrize(
    "text",
    [
        f"a = {'9' * 4400}",
        f"[retry]\nattempts = {'9' * 4400}",
        f"a = {'[' * 5000}{']' * 5000}",
        f"a = {'{a=' * 5000}1{'}' * 5000}",
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused(text: str, tmp_path: Path) -> None:
    """Numbers of thousands of digits and endless brackets are no fault of the library."""
    path = tmp_path / "config.toml"
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        config.load(path)


def test_a_number_of_thousands_of_digits_in_the_environment_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is no number that can be read is text, and text is no number of seconds."""
    monkeypatch.setenv("WEBHOOK_STORAGE_SECRETS__TTL", "9" * 4400)

    with pytest.raises(ConfigurationError, match="a number of seconds"):
        config.load()


@pytest.mark.parametrize("name", ["base64", "json"])
def test_filters_do_not_swell_a_value_without_end(name: str) -> None:
    """A template of a few hundred letters does not become gigabytes."""
    assert "${A" in parse("${A" + f"|{name}" * 8 + "}").text
    with pytest.raises(TemplateError, match="at most 8 filters"):
        parse("${A" + f"|{name}" * 9 + "}")


@pytest.mark.parametrize("name", ["\udcff", "a\ud800b"])
def test_a_name_that_is_no_unicode_is_refused(name: str) -> None:
    """Arguments of a command may hold any bytes; no URL can."""
    place = {"url": "https://h.test/${flow.name}/${flow.slug}"}
    storage = Webhook(place, "PUT", place, "GET")

    with pytest.raises(UnsafeValueError, match="not valid Unicode"):
        Sender(secrets=[]).preview(storage.exchange("fetch", name))


@pytest.mark.parametrize("attempt", [2000, 10**9])
def test_a_pause_after_very_many_attempts_is_a_number(attempt: int) -> None:
    """Who tries without end is not ended by an overflow."""
    policy = RetryPolicy(attempts=10**10, max_delay=3.0)
    pause = policy.delay(attempt=attempt, elapsed=0.0)

    assert pause is not None
    assert 0 <= pause <= 3


def test_a_digest_that_is_no_ascii_is_another_digest() -> None:
    """A receipt that was altered is refused, whatever stands in it."""
    receipt = Receipt(key="k", location="", sha256="\u00e9", size=1, build_time="")

    with Sender(secrets=[], transport=Canned([b"200\n\nx"])), pytest.raises(IntegrityError):
        webhook().get(receipt)


@pytest.mark.parametrize("size", ["\u00b2", "9" * 4400, "-1", "+1", "1_0"])
def test_a_size_that_is_none_is_not_told(size: str) -> None:
    """What a server says of the size is a number, or nothing is known."""
    answer = f"200\ncontent-length: {size}\n\n".encode("latin-1")

    with Sender(secrets=[], transport=Canned([answer])):
        stat = webhook().stat("k")

    assert stat is not None
    assert stat.size is None


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example\\.cdn.example/",
        "http://evil.example\\@files.cdn.example/",
        "http://evil.example .cdn.example/",
    ],
)
def test_a_redirect_to_a_host_that_can_be_read_in_two_ways_is_refused(location: str) -> None:
    """To some libraries a backslash ends the host, and to others it is a part of it."""
    storage = Webhook(PLACE, "PUT", PLACE, "GET", redirect_hosts=["*.cdn.example"])
    answer = f"307\nlocation: {location.replace('http:', 'https:')}\n\n".encode()

    with (
        Sender(secrets=[], transport=Canned([answer])),
        pytest.raises(RedirectRefusedError),
    ):
        storage.get("k")


def test_a_chunk_of_a_negative_length_is_a_broken_answer() -> None:
    """No fault of the server is told as one of the library."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\ncontent"
    with (
        RawServer(always(answer)).serving() as server,
        Sender(secrets=[], transport=RequestsTransport(), retry=RetryPolicy(attempts=1)),
        pytest.raises(ProtocolError),
    ):
        Webhook({"url": server.url}, "PUT", {"url": server.url}, "GET").get()
