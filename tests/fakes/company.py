"""Answer like the secret service that some company wrote for itself.

Rule: it insists on its own form of everything, so that only a configuration can know it.
"""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import trustme

from tests.fakes.http import Answer, FakeServer, Received, json_answer, text_answer
from tests.fleet.pki import Certificate


@dataclass
class Secret:
    """A secret of the company.

    Attributes:
        value: Any JSON value.
        version: Its number.
        lease: Seconds for which it is good; 0 for ever.
    """

    value: Any
    version: int = 1
    lease: int = 0


class FakeCompany(FakeServer):
    """A service with several ways to ask for the same secrets, one for each taste.

    ``GET /v1/secrets/NAME`` takes a bearer token and answers with JSON. ``GET /v1/raw/NAME`` takes
    ``X-Safe-Token`` and answers with text. ``GET /v1/find?name=NAME`` and ``POST /v1/read`` take
    basic authentication and answer 200 whether they find something or not. ``GET /health`` is for
    everybody.

    Args:
        token: The one credential.
        tls: Serve HTTPS.
        certificates: Serve only those who have a certificate of the company.

    Attributes:
        secrets: The secrets, by name; a name may have slashes.
        denied: Names that the token may not read.
        headers: What all successes carry in addition.
        client: The certificate of somebody whom the company knows.
        stranger: One that somebody else signed.
    """

    client: Certificate
    stranger: Certificate

    def __init__(self, *, token: str, tls: bool = False, certificates: bool = False) -> None:
        super().__init__(tls=tls or certificates)
        self.token = token
        self.secrets: dict[str, Secret] = {}
        self.denied: set[str] = set()
        self.headers: dict[str, str] = {}
        self._certificates = certificates

    def answer(self, request: Received, body: bytes) -> Answer:
        """Answer one request."""
        path = urlsplit(request.target).path
        asked = f"{request.method} {path}"
        if asked.startswith("GET /v1/secrets/"):
            answer = self._secret(request, unquote(path.removeprefix("/v1/secrets/")))
        elif asked.startswith("GET /v1/raw/"):
            answer = self._raw(request, unquote(path.removeprefix("/v1/raw/")))
        elif asked == "GET /v1/find":
            answer = self._find(request, request.query.get("name", ""))
        elif asked == "POST /v1/read":
            answer = self._read(request, body)
        elif asked == "GET /health":
            answer = json_answer(200, {"well": True})
        else:
            answer = json_answer(405 if path.startswith("/v1/") else 404, {"error": "question"})
        if answer.status != HTTPStatus.OK:
            return answer
        return replace(answer, headers={**answer.headers, **self.headers})

    def _secret(self, request: Received, name: str) -> Answer:
        """Answer with a document."""
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return json_answer(401, {"error": "token"})
        if "json" not in request.headers.get("accept", ""):
            return json_answer(406, {"error": "accept"})
        if name in self.denied:
            return json_answer(403, {"error": "policy"})
        secret = self.secrets.get(name)
        if secret is None:
            return json_answer(404, {"error": "absent"})
        meta = {"version": secret.version, "lease": secret.lease}
        return json_answer(200, {"data": {"value": secret.value}, "meta": meta})

    def _raw(self, request: Received, name: str) -> Answer:
        """Answer with text."""
        if request.headers.get("x-safe-token") != self.token:
            return text_answer(401, "no token\n")
        if not {"*/*", "text/plain"} & set(request.headers.get("accept", "").split(", ")):
            return text_answer(406, "text only\n")
        secret = self.secrets.get(name)
        return (
            text_answer(410, "gone\n") if secret is None else text_answer(200, f"{secret.value}\n")
        )

    def _find(self, request: Received, name: str) -> Answer:
        """Answer 200 in any case."""
        if request.headers.get("authorization") != f"Basic {self._basic}":
            return json_answer(403, {"error": "password"})
        secret = self.secrets.get(name)
        if secret is None:
            return json_answer(200, {"found": False, "code": "absent"})
        return json_answer(200, {"found": True, "value": secret.value})

    def _read(self, request: Received, body: bytes) -> Answer:
        """Answer to a document."""
        if request.headers.get("content-type") != "application/json":
            return json_answer(415, {"error": "type"})
        question = json.loads(body)
        if set(question) != {"of", "depth"} or question["depth"] != 1:
            return json_answer(422, {"error": "form"})
        return self._find(request, question["of"][0]["name"].removeprefix("kv/"))

    @property
    def _basic(self) -> str:
        return base64.b64encode(f"flows:{self.token}".encode()).decode()

    def _tls_context(self) -> ssl.SSLContext:
        context = super()._tls_context()
        if self._certificates:
            ours, foreign = trustme.CA(), trustme.CA()
            ours.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
            folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory()))
            self.client = _issue(ours, folder / "client")
            self.stranger = _issue(foreign, folder / "stranger")
        return context


def _issue(authority: trustme.CA, stem: Path) -> Certificate:
    leaf = authority.issue_cert("flows@example.test")
    issued = Certificate(stem.with_suffix(".pem"), stem.with_suffix(".key"))
    leaf.cert_chain_pems[0].write_to_path(str(issued.cert))
    leaf.private_key_pem.write_to_path(str(issued.key))
    return issued
