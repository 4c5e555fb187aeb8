"""The fake API server answers in the forms that Kubernetes documents.

The objects are spelled out here as in the API reference ("Secret v1", "Status") and as
``kubectl get --v=8`` prints them, since the official client is not among the test's libraries.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.fakes.kubernetes import FakeKubernetes
from tests.resolvers.places import without_proxies

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "system:serviceaccount:team:flows"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubernetes]:
    """Start a server with one secret and one account that may get the secrets of a namespace."""
    without_proxies(monkeypatch)
    with FakeKubernetes() as place:
        place.allow(place.add_account("team", "flows", token="right"), "team")
        place.put("team", "app", {"user": "me", "key.bin": b"\xff"})
        yield place


def get(
    fake: FakeKubernetes, path: str, token: str | None = "right", method: str = "GET"
) -> httpx.Response:
    """Ask over TLS, as a pod does."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    context = ssl.create_default_context(cafile=str(fake.ca_file))
    return httpx.request(method, fake.url + path, headers=headers, verify=context)


def failure(code: int, reason: str, message: str, **details: str) -> dict[str, Any]:
    """Return an object of the kind Status."""
    said = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    more: dict[str, Any] = {"details": details} if details else {}
    return {**said, "message": message, "reason": reason, **more, "code": code}


def test_a_secret(fake: FakeKubernetes) -> None:
    """Its values are base64, and a change gives it another version."""
    answer = get(fake, "/api/v1/namespaces/team/secrets/app")
    secret = answer.json()
    assert (200, "application/json") == (answer.status_code, answer.headers["Content-Type"])
    assert ["kind", "apiVersion", "metadata", "data", "type"] == list(secret)
    assert ("Secret", "v1", "Opaque") == (secret["kind"], secret["apiVersion"], secret["type"])
    assert {"user": "bWU=", "key.bin": "/w=="} == secret["data"]
    assert ("app", "team") == (secret["metadata"]["name"], secret["metadata"]["namespace"])
    fake.put("team", "app", {})
    emptied = get(fake, "/api/v1/namespaces/team/secrets/app").json()
    assert "data" not in emptied
    assert secret["metadata"]["resourceVersion"] != emptied["metadata"]["resourceVersion"]


def test_a_missing_secret(fake: FakeKubernetes) -> None:
    """Who may get all secrets of a namespace is told which are not there."""
    answer = get(fake, "/api/v1/namespaces/team/secrets/absent")
    message = 'secrets "absent" not found'
    assert 404 == answer.status_code
    assert failure(404, "NotFound", message, name="absent", kind="secrets") == answer.json()


@pytest.mark.parametrize("token", ["wrong", "Right"])
def test_a_wrong_token(fake: FakeKubernetes, token: str) -> None:
    """A token that is nobody's is refused, whatever is asked."""
    for path in ("/api/v1/namespaces/team/secrets/app", "/readyz"):
        answer = get(fake, path, token)
        assert 401 == answer.status_code
        assert failure(401, "Unauthorized", "Unauthorized") == answer.json()


@pytest.mark.parametrize(
    ("token", "user", "namespace", "name"),
    [
        ("right", USER, "other", "app"),
        ("right", USER, "other", "absent"),
        (None, "system:anonymous", "team", "app"),
    ],
)
def test_no_role(
    fake: FakeKubernetes, token: str | None, user: str, namespace: str, name: str
) -> None:
    """Without a role it is forbidden, whatever there is; so it is without a token."""
    fake.put("other", "app", {})
    answer = get(fake, f"/api/v1/namespaces/{namespace}/secrets/{name}", token)
    message = (
        f'secrets "{name}" is forbidden: User "{user}" cannot get resource "secrets" '
        f'in API group "" in the namespace "{namespace}"'
    )
    assert 403 == answer.status_code
    assert failure(403, "Forbidden", message, name=name, kind="secrets") == answer.json()


def test_a_role_for_one_secret(fake: FakeKubernetes) -> None:
    """A role may name the secrets that it is for, and may only read them."""
    fake.put("other", "app", {})
    fake.put("other", "private", {})
    fake.allow(USER, "other", "app")
    assert 200 == get(fake, "/api/v1/namespaces/other/secrets/app").status_code
    assert 403 == get(fake, "/api/v1/namespaces/other/secrets/private").status_code
    assert 403 == get(fake, "/api/v1/namespaces/other/secrets/app", method="DELETE").status_code
    assert 403 == get(fake, "/api/v1/namespaces/other/secrets").status_code


def test_health_is_for_everybody(fake: FakeKubernetes) -> None:
    """The endpoints of health need no role and no token."""
    for token in ("right", None):
        answer = get(fake, "/readyz", token)
        assert (200, "ok") == (answer.status_code, answer.text)


def test_too_many_requests(fake: FakeKubernetes) -> None:
    """A server under load says when to come again, in plain text."""
    fake.throttle()
    answer = get(fake, "/api/v1/namespaces/team/secrets/app")
    assert (429, "1") == (answer.status_code, answer.headers["Retry-After"])
    assert "text/plain; charset=utf-8" == answer.headers["Content-Type"]


@pytest.mark.parametrize(
    ("name", "data"), [("App", {}), ("app", {"a b": "c"}), ("app", {"a": bytes(1024 * 1024 + 1)})]
)
def test_secrets_that_it_does_not_take(name: str, data: dict[str, str | bytes]) -> None:
    """Odd names and keys, and more than 1 MiB, cannot be stored."""
    with pytest.raises(ValueError, match="Kubernetes takes no"):
        FakeKubernetes().put("team", name, data)
