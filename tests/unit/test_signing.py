from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import subprocess
import sys
import traceback
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from webhook_storage.envelope import Header, seal, unseal
from webhook_storage.errors import ConfigurationError, MissingExtraError, SignatureError
from webhook_storage.secret import SecretValue
from webhook_storage.signing import Signature, can_sign, sign, verify
from webhook_storage.testing import canary, find_leaks

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

# RFC 8032, section 7.1, test 2.
SEED = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
POINT = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
MESSAGE = b"\x72"
VALUE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def armoured(label: str, der: bytes) -> str:
    """Return a PEM text."""
    body = base64.b64encode(der).decode()
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


# RFC 8410, sections 4 and 7: what stands in front of the 32 bytes.
PRIVATE = armoured("PRIVATE KEY", bytes.fromhex("302e020100300506032b657004220420" + SEED))
PUBLIC = armoured("PUBLIC KEY", bytes.fromhex("302a300506032b6570032100" + POINT))
SECRET = "a secret of more than 16"
HEADER = Header(
    kind="script", names=("etl",), sha256=hashlib.sha256(b"").hexdigest(), size=0,
    created="2026-01-02T03:04:05+00:00", python="CPython 3.11.7",
)  # fmt: skip


def other_public() -> str:
    """Return the public key of somebody else."""
    public = ed25519.Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_ed25519_signs_as_the_rfc_does() -> None:
    """Key, message and signature are those of RFC 8032."""
    assert sign(SecretValue(PRIVATE), MESSAGE) == ("ed25519", VALUE)


@pytest.mark.parametrize("text", [PRIVATE, PUBLIC])
def test_both_halves_verify(text: str) -> None:
    """The public key does to verify; another message, another signature, another key do not."""
    key, signature = SecretValue(text), Signature("ed25519", VALUE)
    assert verify(key, signature, MESSAGE)
    assert not verify(key, signature, MESSAGE + b"!")
    assert not verify(key, Signature("ed25519", VALUE[:-1] + b"\x01"), MESSAGE)
    assert not verify(SecretValue(other_public()), signature, MESSAGE)


@pytest.mark.parametrize("value", [b"", VALUE[:-1], VALUE + b"\0", b"\0" * 64, b"\xff" * 64])
def test_what_is_no_signature_does_not_verify(value: bytes) -> None:
    """A signature of another length, or of no point of the curve, is a wrong one."""
    assert not verify(SecretValue(PUBLIC), Signature("ed25519", value), MESSAGE)
    assert not verify(SecretValue(SECRET), Signature("hmac-sha256", value), MESSAGE)


def test_any_other_text_is_a_secret() -> None:
    """Without a PEM frame a key is the secret of an HMAC, which signs and verifies."""
    key = SecretValue(SECRET)
    mac = hmac.new(SECRET.encode(), MESSAGE, hashlib.sha256).digest()
    assert sign(key, MESSAGE) == ("hmac-sha256", mac)
    assert verify(key, Signature("hmac-sha256", mac), MESSAGE)
    assert not verify(key, Signature("hmac-sha256", mac), MESSAGE + b"!")
    assert not verify(SecretValue(SECRET + "!"), Signature("hmac-sha256", mac), MESSAGE)


def test_who_can_sign() -> None:
    """All but a public key."""
    signing = {text: can_sign(SecretValue(text)) for text in (SECRET, PRIVATE, PUBLIC)}
    assert {SECRET: True, PRIVATE: True, PUBLIC: False} == signing


# --- the form of the key decides, not the signature -----------------------------------------------


@pytest.mark.parametrize("text", [PUBLIC, PRIVATE])
@pytest.mark.parametrize(
    "secret",
    [PUBLIC.encode(), PUBLIC.strip().encode(), bytes.fromhex(POINT)],
    ids=["text", "stripped", "point"],
)
def test_a_public_key_is_no_secret(text: str, secret: bytes) -> None:
    """Who knows the public key, as all may, cannot sign with it by calling that an HMAC."""
    forged = hmac.new(secret, MESSAGE, hashlib.sha256).digest()
    for algorithm in ("hmac-sha256", "ed25519"):
        assert not verify(SecretValue(text), Signature(algorithm, forged), MESSAGE)


def test_a_public_key_is_no_secret_in_an_envelope() -> None:
    """The same in whole: an envelope that was forged with the public key is refused."""
    forged = seal(HEADER, b"", {"k": SecretValue(SECRET)})
    genuine = unseal(seal(HEADER, b"", {"k": SecretValue(PRIVATE)}))
    assert genuine is not None
    assert genuine.verify({"k": SecretValue(PUBLIC)}) == "k"
    message = forged[forged.index(b'{"kind') : forged.index(b"[{")]
    encoded = b"DSSEv1 43 application/vnd.webhook-storage.header+json %d %s"
    mac = hmac.new(PUBLIC.encode(), encoded % (len(message), message), hashlib.sha256).digest()
    old = forged[forged.index(b'"sig":"') + 7 : forged.index(b'"}]')]
    envelope = unseal(forged.replace(old, base64.b64encode(mac)))
    assert envelope is not None
    with pytest.raises(SignatureError):
        envelope.verify({"k": SecretValue(PUBLIC)})
    with pytest.raises(SignatureError):
        envelope.verify({"k": SecretValue(PRIVATE)})


@pytest.mark.parametrize("algorithm", ["", "none", "ED25519", "hmac-sha256", "hmac"])
def test_a_good_signature_by_another_name_does_not_verify(algorithm: str) -> None:
    """A signature says what its key does, in the same letters."""
    assert not verify(SecretValue(PUBLIC), Signature(algorithm, VALUE), MESSAGE)


@pytest.mark.parametrize("algorithm", ["", "none", "HMAC-SHA256", "ed25519", "hmac-sha1"])
def test_a_good_mac_by_another_name_does_not_verify(algorithm: str) -> None:
    """The same holds for a secret."""
    mac = sign(SecretValue(SECRET), MESSAGE).value
    assert not verify(SecretValue(SECRET), Signature(algorithm, mac), MESSAGE)


def test_a_public_key_cannot_sign() -> None:
    """The error names the key, and says who needs which half."""
    with pytest.raises(ConfigurationError, match=r"signing_keys\.k: a public key cannot sign") as e:
        sign(SecretValue(PUBLIC), MESSAGE, key_id="k")
    assert e.value.hint == "to store, put the private key first; to fetch, the public key is enough"
    with pytest.raises(ConfigurationError, match="cannot sign"):
        seal(HEADER, b"", {"k": SecretValue(PUBLIC), "j": SecretValue(PRIVATE)})


# --- forms of keys --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda text: f"\n  {text}\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", " ").strip(),
        lambda text: text.replace("\n", "\\n"),
        lambda text: text.replace("MC", "M\nC"),
    ],
    ids=["space around", "CRLF", "one line", "escaped", "short lines"],
)
def test_line_breaks_are_as_they_come(change: Callable[[str], str]) -> None:
    """Environment files and secret stores do what they like to line breaks."""
    assert sign(SecretValue(change(PRIVATE)), MESSAGE).value == VALUE
    assert not can_sign(SecretValue(change(PUBLIC)))


def pem(key: PrivateKeyTypes, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    """Return a private key as PEM."""
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


@cache
def other_keys() -> dict[str, str]:
    """Make keys of kinds that do not sign here."""
    ours, curve = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    large = rsa.generate_private_key(65537, 2048)
    spki = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    name = x509.Name([])
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, ours.public_key(), 1, day, day)
        .sign(ours, None)
    )  # fmt: skip
    return {
        "RSA": pem(large),
        "RSA, PKCS #1": pem(large, PrivateFormat.TraditionalOpenSSL),
        "RSA, public": large.public_key().public_bytes(*spki).decode(),
        "EC": pem(curve),
        "EC, SEC 1": pem(curve, PrivateFormat.TraditionalOpenSSL),
        "EC, public": curve.public_key().public_bytes(*spki).decode(),
        "X25519": pem(x25519.X25519PrivateKey.generate()),
        "X25519, public": x25519.X25519PrivateKey.generate()
        .public_key().public_bytes(*spki).decode(),
        "Ed448": pem(ed448.Ed448PrivateKey.generate()),
        "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        "password": ours.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
        ).decode(),
        "OpenSSH": pem(ours, PrivateFormat.OpenSSH),
        "OpenSSH, public": ours.public_key()
        .public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        "OpenSSH, RSA": large.public_key()
        .public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
    }  # fmt: skip


KINDS = (
    "RSA", "RSA, PKCS #1", "RSA, public", "EC", "EC, SEC 1", "EC, public", "X25519",
    "X25519, public", "Ed448", "certificate", "password", "OpenSSH", "OpenSSH, public",
    "OpenSSH, RSA",
)  # fmt: skip


def refusal(text: str) -> ConfigurationError:
    """Return what a text is refused with, to sign and to verify alike."""
    key = SecretValue(text)
    with pytest.raises(ConfigurationError) as signing:
        sign(key, MESSAGE, key_id="k")
    with pytest.raises(ConfigurationError) as verifying:
        verify(key, Signature("hmac-sha256", b""), MESSAGE, key_id="k")
    with pytest.raises(ConfigurationError):
        can_sign(key, key_id="k")
    assert str(signing.value) == str(verifying.value)
    return signing.value


@pytest.mark.parametrize(
    "text",
    [canary()[:15], PUBLIC[:60], PRIVATE[:60], canary() + "\udcff"],
    ids=["short", "public", "private", "no text"],
)
def test_a_key_that_is_refused_is_not_shown(text: str) -> None:
    """No frame of the traceback, and no exception behind, holds the text of the key."""
    error = refusal(text)
    assert (error.__cause__, error.__context__) == (None, None)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][1:]
    assert {frame.f_globals["__name__"] for frame in frames} == {"webhook_storage.signing"}
    shown = repr([frame.f_locals for frame in frames]) + repr((error, error.hint, vars(error)))
    assert find_leaks(shown, text.removesuffix("\udcff")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_another_kind_is_no_secret(kind: str) -> None:
    """A key that is none of ours is refused, and nobody signs with its text."""
    error = refusal(other_keys()[kind])
    assert error.path == "signing_keys.k"
    assert "openssl genpkey -algorithm ed25519" in (error.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        PRIVATE + PUBLIC,
        PUBLIC + PRIVATE,
        "Private key of the flows\n" + PUBLIC,
        PUBLIC + "of the flows",
        "\ufeff" + PUBLIC,
        PUBLIC[: len(PUBLIC) // 2],
        PUBLIC.replace("PUBLIC", "PRIVATE"),
        PRIVATE.replace("PRIVATE", "PUBLIC"),
        PUBLIC.replace("BEGIN PUBLIC", "BEGIN PRIVATE"),
        PUBLIC.replace("MC", "M!C"),
        PUBLIC.replace("=", ""),
        PUBLIC.replace("MCow", "MCox"),
        armoured("PUBLIC KEY", b""),
        armoured("PRIVATE KEY", b"\0" * 48),
        "---- BEGIN SSH2 PUBLIC KEY ----\nAAAAC3NzaC1lZDI1NTE5\n---- END SSH2 PUBLIC KEY ----",
    ],
)
def test_a_broken_frame_is_no_secret(text: str) -> None:
    """What has a PEM frame is one whole key with nothing around it, or it is none."""
    assert "this PEM text is no key of Ed25519" in str(refusal(text))


@pytest.mark.parametrize(
    "text",
    [
        PUBLIC.split("-----")[2].strip(),
        "\ufeff " + PUBLIC.split("-----")[2].strip(),
        PRIVATE.split("-----")[2].strip(),
        base64.b64encode(PUBLIC.encode()).decode(),
        '{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}',
    ],
)
def test_a_key_without_its_frame_is_no_secret(text: str) -> None:
    """The usual ways to lose the frame of a key do not make a secret of what all may know."""
    assert "in a form that is not read here" in str(refusal(text))


@pytest.mark.parametrize("text", ["", "x", "fifteen letters", " " * 40, "short" + "\n" * 20])
def test_a_short_secret_is_refused(text: str) -> None:
    """Fewer than 16 characters, blanks around them not counted, can be guessed."""
    error = refusal(text)
    assert "has at least 16 characters" in str(error)
    assert error.hint == "make one by: openssl rand -base64 32"


def test_sixteen_characters_are_enough() -> None:
    """The limit itself is allowed, and characters are counted, not bytes."""
    assert can_sign(SecretValue("sixteen letters!"))
    assert "16 characters" in str(refusal("ü" * 15))
    assert can_sign(SecretValue("ü" * 16))


def test_a_secret_is_text() -> None:
    """Bytes of the environment that are no text are refused without showing them."""
    error = refusal("bytes that are no text \udcff")
    assert str(error) == "signing_keys.k: a signing key is text"


def test_without_its_library_a_pem_key_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named, and no other algorithm takes its place."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    for text in (PRIVATE, PUBLIC):
        with pytest.raises(MissingExtraError) as caught:
            verify(SecretValue(text), Signature("hmac-sha256", b""), MESSAGE)
        assert caught.value.extra == "crypto"
        assert caught.value.hint == "pip install 'webhook-storage[crypto]'"
    assert can_sign(SecretValue(SECRET))


def test_a_secret_needs_no_library() -> None:
    """Who signs by a secret does not pay for the library of Ed25519."""
    program = (
        "import sys\n"
        "from webhook_storage.secret import SecretValue\n"
        "from webhook_storage.signing import can_sign, sign, verify\n"
        "key = SecretValue('a secret of more than 16')\n"
        "assert can_sign(key) and verify(key, sign(key, b'm'), b'm')\n"
        "print([name for name in sys.modules if name.startswith('cryptography')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"
