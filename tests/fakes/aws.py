"""Answer like AWS where moto cannot: batches that succeed in part, logins, machines, and faults.

Rule: what moto does is tried with moto. This knows keys and session tokens, and no signatures.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.fakes.http import Answer, FakeServer, Received, json_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SIGNED_BY = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/[0-9]{8}/([^/]+)/([^/]+)/aws4_request"
)
_TARGETS = {"secretsmanager": "secretsmanager.", "ssm": "AmazonSSM."}
_ROLE = "arn:aws:iam::123456789012:role/flows"
_REFERENCE = "/aws/reference/secretsmanager/"
_LATER = "2999-01-01T00:00:00Z"


def refusal(code: str, status: int = 400) -> Answer:
    """Make the answer with which a service that speaks JSON says no."""
    return json_answer(status, {"__type": code, "message": "words of the service"})


@dataclass(frozen=True)
class Key:
    """An access key, with a session token if it is good for a time only."""

    id: str
    secret: str
    token: str | None = None

    def environment(self) -> dict[str, str]:
        """Return it as environment variables."""
        token = {"AWS_SESSION_TOKEN": self.token} if self.token else {}
        return {"AWS_ACCESS_KEY_ID": self.id, "AWS_SECRET_ACCESS_KEY": self.secret, **token}

    def document(self, **names: str) -> dict[str, str]:
        """Return it as services and programs give it, some parts under other names."""
        parts = {
            "AccessKeyId": self.id,
            "SecretAccessKey": self.secret,
            "Token": self.token or "",
            "Expiration": _LATER,
        }
        return {names.get(part, part): text for part, text in parts.items()}


class FakeAws(FakeServer):
    """Secrets Manager, Parameter Store, STS and IAM Identity Center at one endpoint.

    Attributes:
        key: The access key that is known.
        values: Secrets and parameters by name.
        denied: Names that may not be read, and operations.
        asked: Each operation with its parameters.
        web_token: The token for which STS, or IAM Identity Center, gives the key.
    """

    def __init__(self, key: Key, *, tls: bool = False) -> None:
        super().__init__(tls=tls)
        self.key = key
        self.values: dict[str, str] = {}
        self.denied: set[str] = set()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.web_token = "web-token"
        self._operations: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "GetSecretValue": self._secret,
            "BatchGetSecretValue": self._secrets,
            "GetParameter": self._parameter,
            "GetParameters": self._parameters,
        }

    def answer(self, request: Received, body: bytes) -> Answer:
        """Carry out one operation."""
        if request.path == "/federation/credentials":
            return self._role(request)
        if request.method != "POST" or request.path != "/":
            return text_answer(404, "<UnknownOperationException/>")
        if "x-amz-target" not in request.headers:
            form = {name: texts[0] for name, texts in parse_qs(body.decode()).items()}
            return self._login(form, request.headers.get("accept", ""))
        service = self._service(request.headers)
        if isinstance(service, Answer):
            return service
        operation = request.headers["x-amz-target"].removeprefix(_TARGETS[service])
        parameters = json.loads(body)
        self.asked.append((operation, parameters))
        if operation in self.denied:
            return refusal("AccessDeniedException")
        return self._operations[operation](parameters)

    def _service(self, headers: Mapping[str, str]) -> str | Answer:
        """Return which service a request is signed for, if whoever signed it is known."""
        signed = _SIGNED_BY.match(headers.get("authorization", ""))
        if signed is None:
            return refusal("MissingAuthenticationTokenException")
        if signed[1] != self.key.id or headers.get("x-amz-security-token") != self.key.token:
            return refusal("UnrecognizedClientException")
        return signed[3]

    # --- Secrets Manager ---

    def _secret(self, parameters: dict[str, Any]) -> Answer:
        code, part = self._one_secret(parameters["SecretId"])
        return refusal(code) if code else json_answer(200, part)

    def _secrets(self, parameters: dict[str, Any]) -> Answer:
        values, errors = [], []
        for name in parameters["SecretIdList"]:
            code, part = self._one_secret(name)
            if code:
                errors.append({"SecretId": name, "ErrorCode": code, "Message": "words"})
            else:
                values.append(part)
        return json_answer(200, {"SecretValues": values, "Errors": errors})

    def _one_secret(self, name: str) -> tuple[str, dict[str, Any]]:
        if name in self.denied:
            return "AccessDeniedException", {}
        if name not in self.values:
            return "ResourceNotFoundException", {}
        part = {
            "ARN": f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf",
            "Name": name,
            "VersionId": "v" * 32,
            "SecretString": self.values[name],
        }
        return "", part

    # --- Parameter Store ---

    def _parameter(self, parameters: dict[str, Any]) -> Answer:
        name = parameters["Name"]
        if name in self.denied:
            return refusal("AccessDeniedException")
        if name not in self.values:
            return refusal("ParameterNotFound")
        return json_answer(200, {"Parameter": self._one_parameter(name)})

    def _parameters(self, parameters: dict[str, Any]) -> Answer:
        names = parameters["Names"]
        if not self.denied.isdisjoint(names):  # one that is denied takes all others along
            return refusal("AccessDeniedException")
        found = [self._one_parameter(name) for name in names if name in self.values]
        missing = [name for name in names if name not in self.values]
        return json_answer(200, {"Parameters": found, "InvalidParameters": missing})

    def _one_parameter(self, name: str) -> dict[str, Any]:
        part = {"Type": "SecureString", "Value": self.values[name], "Version": 1}
        return {"Name": name.removeprefix(_REFERENCE), **part}  # as moto names what is a secret

    # --- logins ---

    def _role(self, request: Received) -> Answer:
        asked = (request.query.get("role_name"), request.headers.get("x-amz-sso_bearer_token"))
        if request.method != "GET" or asked != ("flows", self.web_token):
            return Answer(
                401, b'{"message": "words"}', {"x-amzn-errortype": "UnauthorizedException"}
            )
        parts = {
            "accessKeyId": self.key.id,
            "secretAccessKey": self.key.secret,
            "sessionToken": self.key.token,
            "expiration": 32_000_000_000_000,
        }
        return json_answer(200, {"roleCredentials": parts})

    def _login(self, form: dict[str, str], accepted: str) -> Answer:
        asked = (form.get("Action"), form.get("RoleArn"), form.get("WebIdentityToken"))
        if asked != ("AssumeRoleWithWebIdentity", _ROLE, self.web_token):
            error = "<Error><Type>Sender</Type><Code>AccessDenied</Code></Error>"
            return text_answer(403, f"<ErrorResponse>{error}</ErrorResponse>")
        parts = self.key.document(Token="SessionToken")
        key = "".join(f"<{name}>{text}</{name}>" for name, text in parts.items())
        kind = "AssumeRoleWithWebIdentity"
        if accepted == "application/json":
            return json_answer(200, {f"{kind}Response": {f"{kind}Result": {"Credentials": parts}}})
        result = f"<{kind}Result><Credentials>{key}</Credentials></{kind}Result>"
        return text_answer(200, f"<{kind}Response>{result}</{kind}Response>")


class FakeMachine(FakeServer):
    """The metadata service of a machine, which gives the key of its role, and that of a container.

    Args:
        key: The key that it gives.
    """

    def __init__(self, key: Key) -> None:
        super().__init__()
        self.key = key

    def answer(self, request: Received, body: bytes) -> Answer:
        """Give a session token, the role's name, or its key."""
        if request.path == "/container":
            return json_answer(200, self.key.document())
        if request.path == "/latest/api/token":
            return text_answer(200, "metadata-token")
        if request.headers.get("x-aws-ec2-metadata-token") != "metadata-token":
            return text_answer(401, "")
        roles = "/latest/meta-data/iam/security-credentials/"
        if request.path == roles:
            return text_answer(200, "flows")
        if request.path == f"{roles}flows":
            return json_answer(200, self.key.document())
        return text_answer(404, "")
