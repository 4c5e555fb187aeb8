"""A service that gives tokens to everybody, and sends all that it gets back to whoever sent it."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote

from tests.fakes.http import Answer, FakeServer, Received, json_answer

TOKEN = "tOkEn5CaNaRyOfTheService0123"
SESSION = "sEsSiOn5CaNaRyOfTheService0123"
CHALLENGE = 'Digest realm="mirror", nonce="any", qop="auth", algorithm=SHA-256'
_GIVE_TOKENS = ("/oauth2/token", "/token", "/v3/auth/tokens", "/auth/v1.0", "/metadata/identity")
_MADE = (
    re.compile(r"^authorization: (?:Bearer|Basic) (\S+)", re.MULTILINE),
    re.compile(r"^authorization: AWS4.* Signature=(\w+)", re.MULTILINE),
    re.compile(r"^authorization: SharedKey \w+:(\S+)", re.MULTILINE),
    re.compile(r"^authorization: Digest .*response=\"(\w+)\"", re.MULTILINE),
    re.compile(r"^x-(?:auth-token|api-key): (\S+)", re.MULTILINE),
    re.compile(r"[?&](?:temp_url_sig|sig|api_key|upload_id|X-Amz-Signature)=([^&\s]+)"),
)


class Mirror(FakeServer):
    """Tells in body and headers what it was told.

    Attributes:
        status: Of its answers, those aside that give a token or begin an upload.
        challenge: Whether it asks for digest.
        made: All that requests held beside the secrets of the user.
    """

    def __init__(self) -> None:
        super().__init__()
        self.status = 403
        self.challenge = False
        self.made: set[str] = set()

    def answer(self, request: Received, body: bytes) -> Answer:
        """Send it back, what matters most first: not all of it is shown."""
        if request.path.startswith(_GIVE_TOKENS):
            return self._token(request)
        known = {name: request.headers.get(name, "") for name in ("authorization", "x-auth-token")}
        lines = [f"{name}: {text}" for name, text in {**known, **request.headers}.items()]
        upload = f"upload {request.query.get('upload_id')}"
        told = "\n".join([upload, *lines[:2], f"{request.method} {request.target}", *lines[2:]])
        self.made |= {found for each in _MADE for found in each.findall(told)}
        if request.query.get("uploadType") == "resumable" and request.method == "POST":
            return Answer(200, b"", {"Location": f"{self.url}{request.target}&upload_id={SESSION}"})
        echo = known["authorization"] or known["x-auth-token"] or request.target
        headers = {
            "Content-Type": "text/plain",
            "ETag": f'"{echo}"',
            "Location": request.target,
            "X-Id": echo,
            "Set-Cookie": f"session={SESSION}",
        }
        if self.challenge and "response=" not in echo:
            return Answer(401, told.encode(), {**headers, "WWW-Authenticate": CHALLENGE})
        return Answer(self.status, told.encode() + body[:4096], headers)

    def _token(self, request: Received) -> Answer:
        self.made.add(TOKEN)
        headers = {
            "X-Subject-Token": TOKEN,
            "X-Auth-Token": TOKEN,
            "X-Storage-Url": f"{self.url}/v1/AUTH_a",
        }
        url = {"url": f"{self.url}/v1/AUTH_a", "interface": "public", "region": "r"}
        catalog = [{"type": "object-store", "endpoints": [url]}]
        said = {
            "access_token": TOKEN,
            "token_type": "Bearer",
            "expires_in": "3600",
            "expires_on": "4000000000",
            "resource": "https://storage.azure.com",
            "token": {"catalog": catalog},
        }
        return json_answer(201 if "/v3/" in request.path else 200, said, headers)


def spellings(text: str) -> set[str]:
    """Return how a text may be spelled where it has leaked."""
    raw = text.encode()
    encoded = {base64.b64encode(bytes(n) + raw).decode().rstrip("=")[4:-2] for n in range(3)}
    return {text, quote(text), quote(text, safe=""), repr(text)[1:-1], *encoded}
