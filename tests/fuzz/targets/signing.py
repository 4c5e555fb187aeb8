"""Texts that are to be keys, and signatures that are to be of them."""

from __future__ import annotations

import base64

from tests.fuzz.kit import joined, parts, refusals
from webhook_storage import signing
from webhook_storage.secret import SecretValue

_PEM = "-----BEGIN {0} KEY-----\n{1}\n-----END {0} KEY-----\n"
# RFC 8410, section 10; it is nobody's key.
_PRIVATE = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC"
_PUBLIC = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="

SEEDS = (
    joined("a secret of enough characters", "hmac-sha256", b"\x00" * 32),
    joined(_PEM.format("PRIVATE", _PRIVATE), "ed25519", b"\x00" * 64),
    joined(_PEM.format("PUBLIC", _PUBLIC), "ed25519", b"\x00" * 64),
    joined(_PEM.format("PRIVATE", _PRIVATE).replace("\n", "\\n"), "ed25519", b""),
    joined(_PEM.format("RSA PRIVATE", base64.b64encode(bytes(99)).decode()), "rsa", b"x"),
    joined("ssh-ed25519 AAAA", "", b""),
)
WORDS = (
    b"-----BEGIN ", b"-----END ", b"PRIVATE KEY-----", b"PUBLIC KEY-----", b"\n", b"\\n", b" ",
    b"MC4CAQAwBQYDK2Vw", b"MCowBQYDK2Vw", b"=", b"\xef\xbb\xbf", b"\xff", b"ed25519",
    b"hmac-sha256", b"EC ", b"ENCRYPTED ",
)  # fmt: skip

_MESSAGE = b"message"


def target(data: bytes) -> None:
    """Take the text for a key: what it signs it verifies, and it does not verify the rest."""
    text, algorithm, value = parts(data, 3)
    shown = text.decode("utf-8", "surrogateescape")
    with refusals():
        key = SecretValue(shown)
        said = signing.Signature(algorithm.decode("latin-1"), value)
        assert not signing.verify(key, said, _MESSAGE) or len(value) in {32, 64}
        if signing.can_sign(key):
            assert signing.verify(key, signing.sign(key, _MESSAGE), _MESSAGE)
            assert not signing.verify(key, signing.sign(key, _MESSAGE), b"massage")
