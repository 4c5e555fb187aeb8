"""A process decides which secrets a definition can name, and where each of them can go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.stores import Local, Store, found, one
from webhook_storage import Sender, Webhook
from webhook_storage.artifact import MemorySink
from webhook_storage.contracts import Exchange, Forbidden, Found, Request, Wanted
from webhook_storage.errors import ConfigurationError, SecretForbiddenError
from webhook_storage.policy import Policy
from webhook_storage.resolution import Resolution
from webhook_storage.template import Reference, parse
from webhook_storage.testing import FakeTransport, SentRequest


def reference(text: str) -> Reference:
    """Return the reference between the braces."""
    return parse(f"${{{text}}}").references()[0]


# --- which secrets can be named ---


@pytest.mark.parametrize(
    ("pattern", "text", "allowed"),
    [
        ("TOKEN", "TOKEN", True),
        ("TOKEN", "TOKEN#field", True),
        ("TOKEN", "OTHER", False),
        ("TOKEN", "TOKENS", False),
        ("APP_*", "APP_TOKEN", True),
        ("APP_*", "app_token", False),
        ("*", "ANYTHING", True),
        # A pattern of bare names is none for references to a resolver, which may have others.
        ("*", "vault:secret/app#token", False),
        ("TOKEN", "env:TOKEN", False),
        ("env:TOKEN", "env:TOKEN", True),
        ("env:TOKEN", "TOKEN", False),
        ("vault:secret/app", "vault:secret/app#token", True),
        ("vault:secret/app", "vault:secret/app?version=3#token", True),
        ("vault:secret/app#token", "vault:secret/app?version=3#token", True),
        ("vault:secret/app#token", "vault:secret/app#other", False),
        ("vault:secret/app", "vault://prod/secret/app#token", False),
        ("vault:*", "vault:secret/app#token", True),
        ("vault:secret/my app", "vault:'secret/my app'#x", True),
        # The end of a name is not to be had from a field or an option.
        ("*_TOKEN", "ADMIN#X_TOKEN", False),
        ("vault:*/public", "vault:secret/admin#/a/public", False),
        ("vault:*/public", "vault:secret/admin?x=/public", False),
        ("vault:secret/app#token", "vault:secret/app", False),
    ],
)
def test_allow(pattern: str, text: str, allowed: bool) -> None:  # noqa: FBT001
    """A name is allowed by a pattern of its own spelling, with field and options or without."""
    assert allowed is (Policy(allow=[pattern]).forbids(reference(text)) is None)


def test_forbidden_names_are_asked_of_nobody() -> None:
    """What may not be named is forbidden, by a rule that is told, and no store hears of it."""
    store = Store(default=found("value"))
    resolution = Resolution([store], policy=Policy(allow=["FILES_*", "store:shared"]))
    said = Forbidden("the allow list of this process names FILES_*, store:shared only")
    assert said == one(resolution, reference("AWS_SECRET_ACCESS_KEY"))
    assert said == one(resolution, reference("store:AWS_SECRET_ACCESS_KEY"))
    assert [] == store.calls
    assert isinstance(one(resolution, reference("FILES_TOKEN")), Found)
    assert isinstance(one(resolution, reference("store:shared")), Found)


def test_a_default_does_not_hide_the_rule() -> None:
    """A placeholder with a default is refused as well: it is not absent."""
    sender, transport = sending(Policy(allow=[]))
    storage = at("https://files.test/f", {"X-Key": "${TOKEN:-none}"})
    with sender, pytest.raises(SecretForbiddenError, match="names nothing"):
        storage.get()
    assert [] == transport.requests


def test_a_long_list_is_shortened() -> None:
    """A message names the first few patterns."""
    forbidden = Policy(allow=list("ABCDEFG")).forbids(reference("X"))
    assert Forbidden("the allow list of this process names A, B, C, D, E, ... only") == forbidden


# --- where they can go ---

HOSTS = {"DROPBOX_*": ["*.dropboxapi.com", "localhost:8080"], "vault:secret/home": []}


def goes(policy: Policy, text: str, url: str) -> bool:
    """Tell whether a request may take a secret to a URL."""
    try:
        policy.check([reference(text)], url, "GET https://x")
    except SecretForbiddenError:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://content.dropboxapi.com/2/files", True),
        ("https://CONTENT.DropboxApi.com/2/files", True),
        ("https://content.dropboxapi.com:443/", True),
        ("https://content.dropboxapi.com", True),
        ("http://localhost:8080/x", True),
        ("http://localhost/x", False),
        ("https://content.dropboxapi.com:0/", False),
        ("https://content.dropboxapi.com:65536/", False),
        ("https://me\\:you@content.dropboxapi.com/", False),
        ("https://content.dropboxapi.com\\/", False),
        ("https://localhost:80801/x", False),
        ("https://dropboxapi.com/", False),
        ("https://evil.com/content.dropboxapi.com", False),
        ("https://evil.com?.dropboxapi.com", False),
        ("https://evil.com#.dropboxapi.com", False),
        ("https://evil.com\\.dropboxapi.com", False),
        ("https://a.dropboxapi.com@evil.com/", False),
        ("https://me:you@a.dropboxapi.com/", True),
        ("https://evil.com%2f.dropboxapi.com/", False),
        ("https://a.dropboxapi.com./", False),
        ("file:///tmp/a.dropboxapi.com", False),
        ("//a.dropboxapi.com/", False),
        ("", False),
    ],
)
def test_hosts(url: str, allowed: bool) -> None:  # noqa: FBT001
    """Only the host of a URL counts, and what is none of a server's is no host."""
    assert allowed is goes(Policy(hosts=HOSTS), "DROPBOX_TOKEN", url)


def test_hosts_of_addresses() -> None:
    """An address in brackets is a host, with a port or without."""
    policy = Policy(hosts={"A": ["[::1]"], "B": ["[::1]:8080"]})
    assert goes(policy, "A", "http://[::1]:8080/")
    assert goes(policy, "B", "http://[::1]:8080/")
    assert not goes(policy, "B", "http://[::1]/")


@pytest.mark.parametrize(
    "text",
    [
        "DROPBOX_TOKEN",
        "env:DROPBOX_TOKEN",
        "directory:dropbox-token",
        "directory:dropbox_token",
        "vault:secret/flows#DROPBOX_TOKEN",
        "vault://prod/team/DROPBOX_TOKEN#value",
        "aws:prod/app#/nested/dropbox_token",
        "vault:secret/home#x",
        "vault:secret/home",
    ],
)
def test_other_spellings_do_not_get_around_a_rule(text: str) -> None:
    """A rule of a name holds whoever is asked for it, and however that store spells it."""
    assert not goes(Policy(hosts=HOSTS), text, "https://evil.com/")


def test_what_no_rule_fits_goes_nowhere() -> None:
    """Once there are rules, a name that somebody forgot, or spelled anew, stays at home."""
    assert not goes(Policy(hosts=HOSTS), "OTHER", "https://example.com/")
    with pytest.raises(SecretForbiddenError, match="nowhere, as no rule fits it"):
        Policy(hosts=HOSTS).check([Reference("OTHER")], "https://example.com/", "it")


@pytest.mark.parametrize("url", ["https://example.com/", "file:///tmp/a"])
def test_others_can_be_let_go(url: str) -> None:
    """A last rule lets everything else go anywhere, to files too."""
    assert goes(Policy(hosts={**HOSTS, "*": ["*"]}), "OTHER", url)
    assert not goes(Policy(hosts={**HOSTS, "*": ["*"]}), "DROPBOX_TOKEN", url)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("vault:secret/my app", "vault:'secret/my app'#x"),
        ("vault:secret/my*", "vault:'secret/my app'"),
        ("op://Private/My*", "op://Private/'My Login/password'"),
        ("vault:secret/app", "vault://prod/secret/app#x"),
        ("vault:secret/app#token", "vault:secret/app#/token"),
        ("vault:secret/app#token", "vault:secret/app"),  # the whole secret holds the field
        ("TOKEN_?", "TOKEN_5"),
    ],
)
def test_a_rule_fits_however_a_name_is_spelled(pattern: str, text: str) -> None:
    """Quotes, instances, pointers and whole secrets do not get around a rule."""
    policy = Policy(hosts={pattern: [], "*": ["*"]})
    assert not goes(policy, text, "https://evil.com/")


def test_brackets_are_characters() -> None:
    """Nothing but the star and the question mark is special in a pattern."""
    assert None is Policy(allow=["A[0-9]"]).forbids(Reference("A[0-9]"))
    assert isinstance(Policy(allow=["A[0-9]"]).forbids(Reference("A5")), Forbidden)


def test_the_first_pattern_decides() -> None:
    """Rules are read in order, so that one for all the others can stand last."""
    policy = Policy(hosts={"A_*": ["a.com"], "*": []})
    assert goes(policy, "A_KEY", "https://a.com/")
    assert not goes(policy, "B_KEY", "https://a.com/")
    assert not goes(policy, "vault:secret/b", "https://a.com/")


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"allow": "TOKEN"}, "allow"),
        ({"allow": [1]}, "allow"),
        ({"hosts": {"TOKEN": "files.test"}}, "hosts.TOKEN"),
        ({"hosts": {"TOKEN": 1}}, "hosts.TOKEN"),
    ],
)
def test_a_single_text_is_no_list(arguments: Any, path: str) -> None:
    """A text in place of a list would be read letter by letter, so it is refused."""
    with pytest.raises(ConfigurationError, match="list of patterns") as caught:
        Policy(**arguments)
    assert path == caught.value.path


# --- in requests ---


def at(url: str, headers: dict[str, str], **kwargs: Any) -> Webhook:
    """Return a storage that fetches from there."""
    fetch = {"url": url, "headers": headers, **kwargs}
    return Webhook(fetch, "PUT", fetch, "GET")


def sending(policy: Policy) -> tuple[Sender, FakeTransport]:
    """Return a sender with this policy, and who gets its requests."""

    def serve(_: SentRequest) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, b"content"

    transport = FakeTransport(serve)
    values = {"TOKEN": found("of-this-test"), "BASE": found("https://evil.test")}
    values["PROXY"] = found("http://u:of-this-test@proxy.test:3128")
    secrets = Resolution([Local(values)], policy=policy)
    return Sender(secrets=secrets, transport=transport), transport


LIMITED = Policy(hosts={"TOKEN": ["files.test"], "PROXY": ["proxy.test"], "BASE": ["*.test"]})


def test_a_request_to_the_right_host_is_sent() -> None:
    """A secret goes where it may."""
    sender, transport = sending(LIMITED)
    with sender:
        assert b"content" == at("https://files.test/f", {"X-Key": "${TOKEN}"}).get()
    assert "of-this-test" == transport.requests[0].headers["x-key"]


@pytest.mark.parametrize("url", ["https://evil.test/f", "${BASE}/f"])
def test_a_request_to_another_host_is_not_sent(url: str) -> None:
    """A definition that was edited takes no secret elsewhere; the error names the rule."""
    sender, transport = sending(LIMITED)
    with sender, pytest.raises(SecretForbiddenError) as caught:
        at(url, {"X-Key": "${TOKEN}"}).get()
    assert (
        f"GET {url} would take ${{TOKEN}} elsewhere, which may go to files.test only, "
        'by the rule for "TOKEN"'
    ) == str(caught.value)
    assert ("TOKEN",) == caught.value.names
    assert [] == transport.requests


def test_a_preview_is_refused_as_well() -> None:
    """What cannot be sent is not shown as if it could."""
    sender, _ = sending(LIMITED)
    secret = {"X-Key": "${TOKEN}"}
    with pytest.raises(SecretForbiddenError):
        sender.preview(at("https://evil.test/f", secret).fetch_exchange({}, MemorySink()))


def test_the_secret_of_a_proxy_goes_to_the_proxy() -> None:
    """A proxy's password is for the proxy; in a header it would go to the server."""
    sender, transport = sending(LIMITED)
    with sender:
        at("https://files.test/f", {}, proxies={"https": "${PROXY}"}).get()
        with pytest.raises(SecretForbiddenError, match=r"to proxy\.test only"):
            at("https://files.test/f", {"X": "${PROXY}"}).get()
        with pytest.raises(SecretForbiddenError, match="the proxy of GET https"):
            at("https://files.test/f", {}, proxies={"https": "http://x:${TOKEN}@evil.test"}).get()
    assert 1 == len(transport.requests)


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("http://files.test/f", {}),
        ("https://files.test/f", {"verify": False}),
        ("https://files.test/f", {"verify": "/the/definition/s/own/ca.pem"}),
    ],
)
def test_a_proxy_that_could_read_gets_no_secret(url: str, settings: dict[str, Any]) -> None:
    """What goes through a proxy in the clear, or to whom the definition trusts, is its as well."""
    sender, transport = sending(LIMITED)
    proxies = dict.fromkeys(("http", "https"), "http://evil.test:3128")
    with sender, pytest.raises(SecretForbiddenError, match="the proxy of GET"):
        at(url, {"X": "${TOKEN}"}, proxies=proxies, **settings).get()
    assert [] == transport.requests


def test_a_host_header_is_a_host() -> None:
    """Behind a shared front it, and not the address, says who gets the request."""
    sender, transport = sending(LIMITED)
    with sender, pytest.raises(SecretForbiddenError):
        at("https://files.test/f", {"X": "${TOKEN}", "Host": "evil.test"}).get()
    assert [] == transport.requests
    with sender:
        at("https://files.test/f", {"X": "${TOKEN}", "Host": "files.test"}).get()


@pytest.mark.parametrize(("host", "allowed"), [("files.test", True), ("evil.test", False)])
def test_what_an_exchange_wants_for_itself_is_limited_too(
    host: str,
    allowed: bool,  # noqa: FBT001
) -> None:
    """A key with which an exchange signs goes, in any form, only where the key may go."""
    sender, transport = sending(LIMITED)

    def signed() -> Exchange[None]:
        keys = yield Wanted({"key": "${TOKEN}"})
        yield Request(method="GET", url=f"https://{host}/", headers={"X": keys["key"].reveal()})

    if allowed:
        sender.run(signed())
    else:
        with pytest.raises(SecretForbiddenError):
            sender.run(signed())
    assert allowed is bool(transport.requests)


async def test_an_event_loop_is_no_way_around() -> None:
    """The asynchronous twin refuses too."""
    sender, transport = sending(LIMITED)
    with sender, pytest.raises(SecretForbiddenError):
        await at("https://evil.test/f", {"X-Key": "${TOKEN}"}).aget()
    assert [] == transport.requests
