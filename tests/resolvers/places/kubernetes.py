"""The API server of Kubernetes, as the tests start it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.fakes.kubernetes import FakeKubernetes
from tests.resolvers.places import without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.kubernetes import KubernetesResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.resolvers.places import Environment
    from webhook_storage.contracts import Resolver


@contextmanager
def kubernetes(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Serve a cluster's API to a service account of the namespace ``team``.

    The server is in the environment as in a pod. What a pod has in
    ``/var/run/secrets/kubernetes.io/serviceaccount`` is in the directory ``serviceaccount``, from
    which the process runs. The secrets are ``app`` with the key ``token``, and ``flows``, with
    ``TOKEN``.
    """
    without_proxies(environment, "KUBERNETES_")
    value, right, wrong = canary(), "eyJhbGciOiJSUzI1NiJ9.right", "eyJhbGciOiJSUzI1NiJ9.wrong"
    mount = tmp_path / "serviceaccount"
    mount.mkdir()
    with ExitStack() as stack:
        place = stack.enter_context(FakeKubernetes())
        place.allow(place.add_account("team", "flows", token=right), "team")
        place.put("team", "app", {"token": value})
        place.put("team", "flows", {"TOKEN": value})
        for name, text in (
            ("token", right), ("wrong-token", wrong), ("namespace", "team"),
            ("ca.crt", place.ca_file.read_text()),
        ):  # fmt: skip
            (mount / name).write_text(text)
        environment.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        environment.setenv("KUBERNETES_SERVICE_PORT", str(place.port))
        environment.chdir(tmp_path)
        mute = stack.enter_context(FakeKubernetes())
        mute.hang(times=None)
        (mount / "mute-ca.crt").write_text(mute.ca_file.read_text())

        def make(token: str = "token", ca: str = "ca.crt", server: str | None = None) -> Resolver:
            made = KubernetesResolver(
                api_server=server,
                token_file=mount / token,
                ca_file=mount / ca,
                namespace="team",
            )
            stack.callback(made.close)
            return made

        yield ResolverCase(
            resolver=make(),
            present=Reference("app", "kubernetes"),
            field="token",
            value=value,
            absent=Reference("nobody-has-this", "kubernetes"),
            refused=make("wrong-token"),
            unreachable=make(server="https://127.0.0.1:1"),
            hanging=make(ca="mute-ca.crt", server=mute.url),
            credentials=[right, wrong],
            calls=lambda: len(place.requests),
        )
