"""Who one is for Google: every kind of default credentials, each right and wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.gcp import FakeGcp
from tests.fakes.gcp_login import POOL, SUBJECT_TYPE
from tests.fakes.http import Answer, json_answer
from tests.rerouting import ReroutingTransport
from tests.resolvers.places import without_proxies
from tests.resolvers.places.gcp import PREFIXES
from tests.sending.raw import RawServer, always, reply
from webhook_storage.contracts import Deadline, Forbidden, Found, Outcome, Unavailable
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage_resolvers.gcp import GcpResolver

if TYPE_CHECKING:
    from pathlib import Path

FOUND = Found(value=SecretValue("CANARY-gcp-7a"), version="1")
NO_TOKEN = Forbidden("the credentials are wrong or were revoked: renew the key, or log in again")
REFUSED = Forbidden("the token is not accepted, though it is new: check the endpoint")
NOWHERE = Unavailable(
    "no credentials: set GOOGLE_APPLICATION_CREDENTIALS, "
    "or log in with 'gcloud auth application-default login'"
)
GOOGLE = ("https://oauth2.googleapis.com", "https://iamcredentials.googleapis.com")

Make = Callable[..., GcpResolver]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGcp]:
    """Start Google with one secret, for a user of a machine without credentials."""
    without_proxies(monkeypatch, *PREFIXES)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:1")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme-flows")
    with FakeGcp() as place:
        place.add("app", "CANARY-gcp-7a")
        yield place


@pytest.fixture
def make(fake: FakeGcp) -> Iterator[Make]:
    """Return a maker of resolvers that ask the fake, also where they ask Google."""
    made: list[GcpResolver] = []

    def build(**options: Any) -> GcpResolver:
        resolver = GcpResolver(endpoint=fake.url, **options)
        routes = ReroutingTransport({**dict.fromkeys(GOOGLE, fake.url), fake.url: fake.url})
        resolver._client._transports.get(lambda: {"http": routes, "https": routes})
        made.append(resolver)
        return resolver

    yield build
    for resolver in made:
        resolver.close()


@pytest.fixture
def key(fake: FakeGcp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the right key file, which is in the environment."""
    path = fake.write_key(tmp_path / "key.json", fake.add_account("flows"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return path


def ask(resolver: GcpResolver, name: str = "app", seconds: float = 5.0) -> Outcome:
    """Ask for one secret."""
    reference = Reference(name, "gcp")
    return resolver.resolve([reference], Deadline(seconds))[reference]


# --- a service account's key ---


def test_key_of_the_environment(
    make: Make, fake: FakeGcp, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key file gives a token, and its project is that of short names."""
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    assert FOUND == ask(make())
    fake.tokens.accounts.clear()
    assert NO_TOKEN == ask(make())
    assert NO_TOKEN.detail == make().health()


def test_key_of_the_resolver(make: Make, fake: FakeGcp, key: Path, tmp_path: Path) -> None:
    """A named file counts instead of the environment's, right or wrong."""
    stranger = fake.write_key(tmp_path / "other.json", fake.add_account("other", reader=False))
    (tmp_path / "home").mkdir()
    key.rename(tmp_path / "home" / "key.json")
    assert FOUND == ask(make(credentials_file="~/home/key.json"))
    denied = ask(make(credentials_file=stranger))
    assert isinstance(denied, Forbidden)
    assert denied.maybe_missing


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"type": "odd"}', "\xff"])
def test_file_that_is_none(
    make: Make, fake: FakeGcp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """A file without credentials is told, and nothing else is used in its place."""
    file = tmp_path / "odd.json"
    if text is not None:
        file.write_text(text, "latin-1")
    what = "cannot be read, or holds no credentials of Google's"
    told = Unavailable(f"no credentials: the credentials file {what}")
    assert told == ask(make(credentials_file=file))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    names = "the file that GOOGLE_APPLICATION_CREDENTIALS names"
    told = Unavailable(f"no credentials: {names} {what}")
    assert told == ask(make())
    assert told.detail == make().health()
    assert [] == fake.requests


def test_key_that_is_none(make: Make, fake: FakeGcp, key: Path) -> None:
    """A damaged private key is told without a word of it."""
    content = json.loads(key.read_text())
    key.write_text(json.dumps({**content, "private_key": "-----BEGIN PRIVATE KEY-----\nQUJD"}))
    outcome = ask(make())
    assert isinstance(outcome, Unavailable)
    assert "QUJD" not in outcome.detail
    assert [] == fake.requests


# --- tokens ---


def test_token_serves_until_it_ends(make: Make, fake: FakeGcp, key: Path) -> None:
    """A token is used again, and replaced when little of its life is left."""
    resolver = make()
    assert [FOUND] * 2 == [ask(resolver), ask(resolver)]
    assert 1 == fake.calls["/token"]
    fake.tokens.lifetime = 60
    resolver.close()
    assert [FOUND] * 2 == [ask(resolver), ask(resolver)]
    assert 3 == fake.calls["/token"]


def test_token_that_was_revoked(make: Make, fake: FakeGcp, key: Path) -> None:
    """A token that is not accepted is replaced once, and the question asked again."""
    resolver = make()
    assert FOUND == ask(resolver)
    fake.tokens.tokens.clear()
    assert FOUND == ask(resolver)
    assert (2, 3) == (fake.calls["/token"], fake.accesses())


def test_token_that_is_never_accepted(make: Make, fake: FakeGcp, key: Path) -> None:
    """After the second refusal nothing more is asked, not for other secrets either."""
    fake.inject(json_answer(401, {}), path="/v1/projects/", times=None)
    references = [Reference(name, "gcp") for name in ("app", "other")]
    outcomes = make().resolve(references, Deadline(5))
    assert [REFUSED] * 2 == [outcomes[each] for each in references]
    assert (2, 2) == (fake.calls["/token"], fake.accesses())


def test_no_new_token_for_a_refused_one(make: Make, fake: FakeGcp, key: Path) -> None:
    """When the account was deleted meanwhile, that is told and nothing more is asked."""
    resolver = make()
    assert FOUND == ask(resolver)
    fake.tokens.tokens.clear()
    fake.tokens.accounts.clear()
    references = [Reference(name, "gcp") for name in ("app", "other")]
    outcomes = resolver.resolve(references, Deadline(5))
    assert [NO_TOKEN] * 2 == [outcomes[each] for each in references]
    assert 2 == fake.accesses()


def test_key_that_was_replaced(make: Make, fake: FakeGcp, key: Path) -> None:
    """A new key in the file is used as soon as the old one gets no token."""
    resolver = make()
    assert FOUND == ask(resolver)
    fake.write_key(key, fake.add_account("successor"))
    del fake.tokens.accounts["flows@acme-flows.iam.gserviceaccount.com"]
    fake.tokens.tokens.clear()
    assert FOUND == ask(resolver)


def test_threads_share_one_token(make: Make, fake: FakeGcp, key: Path) -> None:
    """Whoever comes while a token is fetched waits for that one."""
    resolver, start = make(), threading.Barrier(8)

    def ask_at_once(_: int) -> Outcome:
        start.wait()
        return ask(resolver)

    with ThreadPoolExecutor(8) as pool:
        assert [FOUND] * 8 == list(pool.map(ask_at_once, range(8)))
    assert (1, 8) == (fake.calls["/token"], fake.accesses())


def test_waiting_for_a_token_ends_with_the_deadline(make: Make, fake: FakeGcp, key: Path) -> None:
    """Neither the one who fetches a token nor those who wait for it hang."""
    fake.hang(path="/token", times=None)
    resolver = make()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, resolver, seconds=1.0)
        assert fake.hanging.wait(30)
        assert Unavailable("there was no time left to ask") == ask(resolver, seconds=0.01)
        slow = Unavailable("no token: the server did not go on within the time allowed")
        assert slow == first.result()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json_answer(503, {}), Unavailable("no token: answered with status 503")),
        (
            json_answer(429, {}, {"Retry-After": "7"}),
            Unavailable("no token: too many requests", retry_after=7),
        ),
        (json_answer(408, {}), Unavailable("no token: answered with status 408")),
        (
            json_answer(400, {"error": "temporarily_unavailable"}),
            Unavailable("no token: answered with status 400"),
        ),
        (
            json_answer(400, {"error": "x", "error_description": "internal_failure"}),
            Unavailable("no token: answered with status 400"),
        ),
        (
            Answer(302, headers={"Location": "http://127.0.0.1:1/"}),
            Unavailable(
                "no token: redirects elsewhere, to where the credential is not sent",
            ),
        ),
        (Answer(0), Unavailable("no token: the answer broke off or was no HTTP")),
        (json_answer(400, {"error": "invalid_grant"}), NO_TOKEN),
        (
            json_answer(
                400,
                {
                    "error": "invalid_grant",
                    "error_description": "Invalid JWT: Token must be a short-lived token.",
                },
            ),
            Unavailable("no token: the clock of this machine is wrong, set it"),
        ),
        (json_answer(401, {"error": "invalid_client"}), NO_TOKEN),
        (json_answer(200, {"odd": "answer"}), NO_TOKEN),
        (
            json_answer(200, {"access_token": "t", "expires_in": "soon"}),
            Unavailable("no token, ValueError"),
        ),
    ],
)
def test_token_services_that_give_none(
    make: Make, fake: FakeGcp, key: Path, answer: Answer, outcome: Outcome
) -> None:
    """A refusal is told from a failure, and neither is followed by a second try."""
    fake.inject(answer, path="/token")
    resolver = make()
    assert outcome == ask(resolver)
    assert 1 == len(fake.requests)
    assert FOUND == ask(resolver)


# --- other credentials ---


def user_file(fake: FakeGcp, refresh_token: str, **more: str) -> dict[str, str]:
    """Return what gcloud keeps of a login."""
    name, secret = fake.tokens.client
    kept = {"client_id": name, "client_secret": secret, "refresh_token": refresh_token}
    return {"type": "authorized_user", **kept, **more}


@pytest.mark.parametrize(("token", "outcome"), [("right", FOUND), ("wrong", NO_TOKEN)])
def test_login_of_gcloud(
    make: Make,
    fake: FakeGcp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    outcome: Outcome,
) -> None:
    """Without a file in the environment the login of gcloud is used, and its quota project."""
    fake.tokens.users["right"] = "me@example.com"
    fake.readers.add("me@example.com")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    file = tmp_path / "application_default_credentials.json"
    file.write_text(json.dumps(user_file(fake, token, quota_project_id="who-pays")))
    assert outcome == ask(make())
    paid = [each.headers["x-goog-user-project"] for each in fake.received("/v1/projects/")]
    assert ["who-pays"] * len(paid) == paid


def test_login_of_gcloud_without_a_project(
    make: Make, fake: FakeGcp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login that names no project is no warning of somebody else's, and still needs one."""
    fake.tokens.users["right"] = "me@example.com"
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    file = tmp_path / "application_default_credentials.json"
    file.write_text(json.dumps(user_file(fake, "right")))
    outcome = ask(make())
    assert isinstance(outcome, Unavailable)
    assert outcome.detail.startswith("no project")


@pytest.mark.parametrize(
    ("subject", "outcome"), [("right", FOUND), ("wrong", NO_TOKEN), (None, NO_TOKEN)]
)
@pytest.mark.parametrize("impersonate", [False, True])
def test_workload_identity(
    make: Make,
    fake: FakeGcp,
    tmp_path: Path,
    subject: str | None,
    outcome: Outcome,
    *,
    impersonate: bool,
) -> None:
    """A token of another provider is exchanged, and perhaps stands for a service account."""
    workload = "principal://pool/subject/ci"
    account = fake.add_account("flows")
    fake.tokens.subjects["right"] = workload
    fake.readers.add(workload)
    fake.tokens.impersonators[account.email] = {workload}
    if subject is not None:
        (tmp_path / "subject").write_text(subject)
    settings = federation(fake, tmp_path / "subject")
    if impersonate:
        fake.readers.remove(workload)
        settings["service_account_impersonation_url"] = impersonation(fake.url, account.email)
    file = tmp_path / "federation.json"
    file.write_text(json.dumps(settings))
    assert outcome == ask(make(credentials_file=file))
    fake.tokens.impersonators.clear()
    fake.readers.discard(workload)
    assert isinstance(ask(make(credentials_file=file)), Forbidden)


def federation(fake: FakeGcp, subject: Path) -> dict[str, Any]:
    """Return the configuration of a workload's identity."""
    return {
        "type": "external_account",
        "audience": POOL,
        "subject_token_type": SUBJECT_TYPE,
        "token_url": f"{fake.url}/v1/token",
        "credential_source": {"file": str(subject)},
    }


def impersonation(origin: str, email: str) -> str:
    """Return where tokens for a service account are given to others."""
    return f"{origin}/v1/projects/-/serviceAccounts/{email}:generateAccessToken"


def test_federation_needs_a_project(
    make: Make, fake: FakeGcp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the pool's project is not asked for, which would need one more right."""
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    (tmp_path / "subject").write_text("right")
    fake.tokens.subjects["right"] = "principal://pool/subject/ci"
    file = tmp_path / "federation.json"
    file.write_text(json.dumps(federation(fake, tmp_path / "subject")))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    outcome = ask(make())
    assert isinstance(outcome, Unavailable)
    assert outcome.detail.startswith("no project")
    assert ["/v1/token"] == [request.path for request in fake.requests]


@pytest.mark.parametrize("allowed", [True, False])
def test_impersonation(make: Make, fake: FakeGcp, tmp_path: Path, *, allowed: bool) -> None:
    """A person stands for a service account, if the account lets them."""
    account = fake.add_account("flows")
    fake.tokens.users["right"] = "me@example.com"
    fake.tokens.impersonators[account.email] = {"me@example.com"} if allowed else set()
    settings = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": impersonation(GOOGLE[1], account.email),
        "source_credentials": user_file(fake, "right"),
    }
    file = tmp_path / "impersonation.json"
    file.write_text(json.dumps(settings))
    assert (FOUND if allowed else NO_TOKEN) == ask(make(credentials_file=file))


# --- a machine of Google's ---

PROGRAM = """
import sys
from webhook_storage.contracts import Deadline, Found
from webhook_storage.template import Reference
from webhook_storage_resolvers.gcp import GcpResolver
if "without requests" in sys.argv:
    sys.modules["requests"] = None
resolver, reference = GcpResolver(endpoint=sys.argv[1]), Reference("app", "gcp")
outcome = resolver.resolve([reference], Deadline(20))[reference]
print(outcome.value.reveal() if isinstance(outcome, Found) else outcome)
"""


def on_a_machine(fake: FakeGcp, *words: str) -> str:
    """Return what a new process finds: google-auth reads the metadata server's name only once."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, fake.url, *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "" == done.stderr
    return done.stdout.strip()


def test_machine_of_google(fake: FakeGcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The metadata server tells account, token and project."""
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    monkeypatch.setenv("GCE_METADATA_HOST", fake.host)
    monkeypatch.setenv("GCE_METADATA_IP", fake.host)
    fake.tokens.machine = fake.add_account("vm").email
    assert "CANARY-gcp-7a" == on_a_machine(fake)
    paths = [request.path.removeprefix("/computeMetadata/v1") for request in fake.requests]
    account = "/instance/service-accounts/default"
    secret = "/v1/projects/acme-flows/secrets/app/versions/latest:access"
    assert ["/", "/project/project-id", f"{account}/", f"{account}/token", secret] == paths


def test_metadata_is_asked_through_no_proxy(fake: FakeGcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's proxy does not get to see the machine's token."""
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    monkeypatch.setenv("GCE_METADATA_HOST", fake.host)
    monkeypatch.setenv("GCE_METADATA_IP", fake.host)
    fake.tokens.machine = fake.add_account("vm").email
    with RawServer(always(reply("502 No"))).serving() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        on_a_machine(fake)
    assert [] == proxy.calls


def test_machine_without_an_account(fake: FakeGcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no service account gets no token."""
    monkeypatch.setenv("GCE_METADATA_HOST", fake.host)
    monkeypatch.setenv("GCE_METADATA_IP", fake.host)
    assert repr(NO_TOKEN) == on_a_machine(fake)


def test_metadata_that_is_broken(fake: FakeGcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metadata server that fails is not asked again and again."""
    monkeypatch.setenv("GCE_METADATA_HOST", fake.host)
    monkeypatch.setenv("GCE_METADATA_IP", fake.host)
    fake.tokens.machine = fake.add_account("vm").email
    fake.inject(Answer(503), path="/computeMetadata/v1/instance", times=None)
    told = Unavailable("no token: answered with status 503")
    assert repr(told) == on_a_machine(fake)
    assert 1 == len(fake.received("/computeMetadata/v1/instance"))


def test_library_of_the_metadata_server(fake: FakeGcp, monkeypatch: pytest.MonkeyPatch) -> None:
    """google-auth needs requests for a machine of Google's, which is told."""
    monkeypatch.setenv("GCE_METADATA_HOST", fake.host)
    monkeypatch.setenv("GCE_METADATA_IP", fake.host)
    advice = f"{NOWHERE.detail}, or for a machine of Google's install requests"
    assert repr(Unavailable(advice)) == on_a_machine(fake, "without requests")


@pytest.mark.parametrize("variable", ["GCE_METADATA_TIMEOUT", "NO_GCE_CHECK"])
def test_no_credentials_at_all(
    make: Make, fake: FakeGcp, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """It is told what to do, whether or not somebody looks for a metadata server."""
    monkeypatch.setenv(variable, "true" if variable == "NO_GCE_CHECK" else "1")
    assert repr(NOWHERE) == on_a_machine(fake)
    assert NOWHERE == ask(make())
    assert NOWHERE.detail == make().health()


def test_missing_library_names_the_extra(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without google-auth the outcome says what to install."""
    monkeypatch.setitem(sys.modules, "google.auth.credentials", None)
    told = (
        "Secret Manager needs google-auth, which is not installed: "
        "pip install 'webhook-storage[gcp]'"
    )
    assert Unavailable(told) == ask(make())
    assert told == make().health()
