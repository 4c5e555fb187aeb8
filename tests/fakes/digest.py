"""A file service behind digest authentication (RFC 7616), which looks at every parameter.

It refuses a wrong proof, another target than the request's, a count that it has seen, a nonce that
has ended (with ``stale=true``), and a proof of the body when it asks for one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from functools import partial
from typing import Any
from urllib.parse import unquote

from tests.fakes.files import FileService
from tests.fakes.http import Answer, Received, text_answer

REALM = 'files of "this" test, Basic realm=x'
USER = "alice"
PASSWORD = "digest/pass+word of this test"
HASHES: dict[str, Any] = {
    "MD5": hashlib.md5,
    "SHA-256": hashlib.sha256,
    "SHA-512-256": partial(hashlib.new, "sha512_256"),
}
_PARAMETER = re.compile(r'(?:^Digest |, )([a-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^",]+))')


class DigestService(FileService):
    """Keeps files for one user.

    Attributes:
        user: Name of the user.
        realm: What the challenge is for.
        algorithm: What the proof is made with; None leaves it out of the challenge.
        qop: What kinds of proof are asked for; None is that of RFC 2069.
        template: The whole challenge; ``{}`` stands for that of digest.
        uses: How often a nonce can be used.
        proofs: The parameters of each request that had some.
    """

    def __init__(self) -> None:
        super().__init__(token=None)
        self.user = USER
        self.realm = REALM
        self.algorithm: str | None = "SHA-256"
        self.qop: str | None = "auth"
        self.template = "{}"
        self.uses = 1000
        self.proofs: list[dict[str, str]] = []
        self.counts: dict[str, list[str]] = {}

    def answer(self, request: Received, body: bytes) -> Answer:
        """Look at the proof first."""
        header = request.headers.get("authorization", "")
        said = {
            name: re.sub(r"\\(.)", r"\1", quoted) or token
            for name, quoted, token in _PARAMETER.findall(header)
        }
        if said:
            self.proofs.append(said)
        nonce = said.get("nonce", "")
        if not said or said.get("response") != self._proof(request, said):
            return self._challenge()
        seen = self.counts.get(nonce, [])
        count = said.get("nc", str(len(seen)))
        if nonce not in self.counts or count in seen or len(seen) >= self.uses:
            return self._challenge(", stale=true")
        seen.append(count)
        return super().answer(request, body)

    def _proof(self, request: Received, said: dict[str, str]) -> str | None:
        starred = said.get("username*", "")
        user = unquote(starred.removeprefix("UTF-8''")) if starred else said.get("username")
        if (user, said.get("realm"), said.get("uri")) != (self.user, self.realm, request.target):
            return None
        if said.get("opaque") != "opaque, of=this" or said.get("qop") != (self.qop and "auth"):
            return None
        if said.get("algorithm") != self.algorithm or len(said.get("cnonce", "8 or more")) < 8:
            return None
        key = self._hash(f"{user}:{self.realm}:{PASSWORD}")
        if (self.algorithm or "").endswith("-sess"):
            key = self._hash(f"{key}:{said['nonce']}:{said['cnonce']}")
        middle = [said["nonce"], *([said["nc"], said["cnonce"], "auth"] if self.qop else [])]
        return self._hash(
            ":".join([key, *middle, self._hash(f"{request.method}:{request.target}")])
        )

    def _hash(self, text: str) -> str:
        make = HASHES[(self.algorithm or "MD5").removesuffix("-sess")]
        digest: str = make(text.encode()).hexdigest()
        return digest

    def _challenge(self, more: str = "") -> Answer:
        nonce = secrets.token_hex(8)
        self.counts[nonce] = []
        realm = self.realm.replace('"', '\\"')
        options = [f'Digest realm="{realm}"', f'nonce="{nonce}"', 'opaque="opaque, of=this"']
        options += [f'qop="{self.qop}"'] if self.qop else []
        options += [f"algorithm={self.algorithm}"] if self.algorithm else []
        challenge = self.template.replace("{}", ", ".join(options) + more)
        return text_answer(401, "who is it?", {"WWW-Authenticate": challenge})
