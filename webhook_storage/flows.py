"""Flows to bytes and back, and the question whether bytes may become code again.

Rule: nothing is unpickled or executed before `admit` has returned.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import linecache
import pickle
import platform
import sys
import types
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from webhook_storage.envelope import Envelope, Header, Keys, seal, unseal
from webhook_storage.errors import (
    ConfigurationError,
    ExpiredArtifactError,
    FlowLoadError,
    FlowNotFoundError,
    IntegrityError,
    PythonVersionError,
    ScriptError,
    SignatureError,
    TrustError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Trust: TypeAlias = Literal["verified", "unsigned"]
"""``verified`` loads what a signature or a pinned digest vouches for, ``unsigned`` anything."""

SIZE_LIMIT = 1024 * 1024 * 1024
"""Most bytes of a flow that are fetched into memory."""

_KINDS = ("pickle", "script")


@dataclass(frozen=True, slots=True)
class Admitted:
    """Bytes that may become code.

    Attributes:
        kind: ``pickle`` or ``script``.
        payload: The pickle, or the script's source.
        python: Version that stored it, empty when it is not recorded.
    """

    kind: str
    payload: bytes
    python: str = ""


def name_of(flow: object) -> str:
    """Return a flow's name: its attribute `name`, or a function's own name.

    Raises:
        ConfigurationError: When it has neither.
    """
    name = getattr(flow, "name", None)
    if not isinstance(name, str):
        name = getattr(flow, "__name__", None)
    if not isinstance(name, str) or name in {"", "<lambda>"}:
        message = f"a {type(flow).__name__} has no name to store it under"
        raise ConfigurationError(message, hint="give it an attribute 'name', or store a function")
    return name


def slugify(name: str) -> str:
    """Return the name in lower-case ASCII letters, digits and dashes.

    A name that loses more than case, accents and punctuation gets a digest, so that no two names in
    another script meet in one slug.

    Example:
        >>> slugify("My Flow (v2)")
        'my-flow-v2'
        >>> slugify("поток")
        '9dc82890'
    """
    plain = unicodedata.normalize("NFKD", name)
    kept = "".join(char for char in plain if char.isascii())
    words = "".join(char if char.isalnum() else " " for char in kept.lower()).split()
    lost = any(not char.isascii() and not unicodedata.combining(char) for char in plain)
    if lost or not words:
        words.append(hashlib.sha256(name.encode()).hexdigest()[:8])
    return "-".join(words)


@dataclass(frozen=True, slots=True)
class Packed:
    """A flow in bytes, not signed yet.

    Attributes:
        header: What an envelope will say of it.
        payload: The pickle, or the script's source.
    """

    header: Header
    payload: bytes

    def seal(self, keys: Keys) -> bytes:
        """Return what is stored: an envelope; a script without keys stays the file that it is.

        A plain script can be read by anybody, and has no room for a signature.
        """
        if self.header.kind == "script" and not keys:
            return self.payload
        return seal(self.header, self.payload, keys)


def pack(flow: object, name: str) -> Packed:
    """Return a flow pickled by value.

    Raises:
        Exception: What pickling raises, for example `TypeError` for an open file.
    """
    import cloudpickle  # noqa: PLC0415 - only who stores or loads a flow pays for it

    payload: bytes = cloudpickle.dumps(flow, protocol=pickle.DEFAULT_PROTOCOL)
    return Packed(_header("pickle", (name,), payload, cloudpickle=cloudpickle.__version__), payload)


def pack_script(path: str | None, names: Iterable[str]) -> Packed:
    """Return a script with the names of the flows in it."""
    source = read_script(path)
    return Packed(_header("script", tuple(sorted(names)), source), source)


def read_script(path: str | None) -> bytes:
    """Return a script's source.

    Raises:
        ScriptError: When no path is given or there is no such file, in Prefect 1's words.
    """
    if not path:
        message = "flow_script_path must be provided if stored_as_script=True"
        raise ScriptError(message, path="flow_script_path")
    script = Path(path).expanduser()
    if not script.is_file():
        message = f"flow_script_path {path!r} does not exist"
        raise ScriptError(message, path="flow_script_path", hint="give the path of the .py file")
    return script.read_bytes()


def admit(
    data: bytes,
    *,
    name: str,
    script: bool,
    pinned: str | None,
    keys: Keys,
    trust: Trust,
) -> Admitted:
    """Return what is in the bytes when something vouches for it.

    In this order: signature, name, expiry, digest, Python version. The pinned digest is that of the
    receipt which travels with the storage.

    Args:
        data: What was fetched.
        name: The flow that was asked for.
        script: Whether the storage holds scripts.
        pinned: SHA-256 of what this storage stored, or None when it stored nothing.
        keys: Keys of which a signature is accepted.
        trust: ``unsigned`` for code that nothing vouches for.

    Raises:
        TrustError: When nothing vouches for it.
        IntegrityError: When it is not what was stored.
        PythonVersionError: When another Python pickled it.
        UnexpectedAnswerError: When it is an HTML page.
    """
    if trust not in {"verified", "unsigned"}:
        message = f"trust is 'verified' or 'unsigned', not {trust!r}"
        raise ConfigurationError(message)
    envelope = unseal(data)
    vouched = pinned is not None and hmac.compare_digest(
        hashlib.sha256(data).hexdigest().encode(), pinned.lower().encode(errors="replace")
    )
    if envelope is None:
        _refuse_html(data, script=script)
        return _admit_bare(data, name, script=script, pinned=pinned, vouched=vouched, trust=trust)
    signer = envelope.verify(keys)
    if not (signer or vouched or trust == "unsigned"):
        raise _nobody_vouches(name, envelope, keys, pinned)
    return _open(envelope, name)


def _open(envelope: Envelope, name: str) -> Admitted:
    """Compare name, expiry, digest and Python version."""
    header = envelope.header
    if name not in header.names:
        stored = ", ".join(map(repr, header.names))
        message = f"asked for flow {name!r}, and the service has {stored} in its place"
        raise SignatureError(message, hint="artifacts were swapped, or the URL lacks ${flow.slug}")
    if header.expires and _moment(header.expires) < datetime.now(UTC):
        message = f"the artifact of flow {name!r} expired at {header.expires}"
        raise ExpiredArtifactError(message, hint="store it again")
    envelope.check_payload()
    if header.kind not in _KINDS:
        message = f"the envelope holds a {header.kind!r}, no flow"
        raise FlowLoadError(message, hint="fetch it with get()")
    if header.kind == "pickle":
        check_python(header.python)
    return Admitted(header.kind, envelope.payload, header.python)


def _moment(text: str) -> datetime:
    """Return a time that has a zone.

    Raises:
        IntegrityError: When the text is none.
    """
    moment = None
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(text)
    if moment is None or moment.tzinfo is None:
        message = "the envelope is broken: it expires at no time with a zone"
        raise IntegrityError(message, hint="store it again")
    return moment


def _nobody_vouches(name: str, envelope: Envelope, keys: Keys, pinned: str | None) -> Exception:
    if pinned is not None and not envelope.key_ids:
        message = f"flow {name!r} is not what this storage stored: its digest is another"
        return IntegrityError(message, hint=_HINT_UNSIGNED)
    if not envelope.key_ids:
        message = f"flow {name!r} is not signed, and no receipt pins its digest"
    else:
        # Which key it names is not told: nothing vouches for that text either.
        known = ", ".join(map(repr, keys)) or "none"
        message = f"flow {name!r} is signed by no key of this storage (it has: {known})"
    return TrustError(message, hint=_HINT_UNSIGNED)


_HINT_UNSIGNED = (
    "store it with signing_keys, or build it with this storage; "
    "trust='unsigned' loads it all the same, and lets the service run code here"
)


def _refuse_html(data: bytes, *, script: bool) -> None:
    start = data[:256].lstrip().lower()
    if not script and start.startswith((b"<!doctype", b"<html", b"<?xml")):
        message = "the service answered with a page instead of a flow"
        raise UnexpectedAnswerError(message, status=200, hint="a login page? check the credential")


def _admit_bare(
    data: bytes, name: str, *, script: bool, pinned: str | None, vouched: bool, trust: Trust
) -> Admitted:
    """Admit what has no envelope: a plain script, or what Prefect 1 stored."""
    if not vouched and trust != "unsigned":
        if pinned is not None:
            message = f"flow {name!r} is not what this storage stored: its digest is another"
            raise IntegrityError(message, hint=_HINT_UNSIGNED)
        message = f"flow {name!r} is not signed, and no receipt pins its digest"
        raise TrustError(message, hint=_HINT_UNSIGNED)
    if script:
        return Admitted("script", data)
    return _prefect_1(data)


def _prefect_1(data: bytes) -> Admitted:
    """Return the pickle that Prefect 1 stored: JSON with base64 and versions, or bare."""
    if not data.lstrip().startswith(b"{"):
        return Admitted("pickle", data)
    document = None
    try:
        document = json.loads(data)
        payload = base64.b64decode(document["flow"])
        python = str(document.get("versions", {}).get("python", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        payload, python = b"", ""
    if not payload:
        message = "the service answered with a JSON document that holds no flow"
        raise UnexpectedAnswerError(message, status=200, hint="is it an error of the service?")
    if python:
        check_python(f"CPython {python}")
    return Admitted("pickle", payload, python)


def this_python() -> str:
    """Return implementation and version, for example ``CPython 3.11.7``."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def check_python(stored: str) -> None:
    """Compare implementation, major and minor version with those that run here.

    Code objects of another version make the interpreter crash, which no handler can catch.

    Raises:
        PythonVersionError: When they differ.
    """
    if _minor(stored) != _minor(this_python()):
        message = (
            f"the flow was pickled by {stored or 'an unknown Python'}, this is {this_python()}"
        )
        raise PythonVersionError(
            message, hint="load it with that version, or store the flow as a script"
        )


def _minor(version: str) -> list[str]:
    implementation, _, numbers = version.partition(" ")
    return [implementation, *numbers.split(".")[:2]]


def load(admitted: Admitted, name: str, entrypoint: str | None = None) -> Any:
    """Return the flow of admitted bytes.

    Args:
        admitted: What `admit` returned.
        name: The flow's name.
        entrypoint: Name of the object in a script that is the flow.

    Raises:
        FlowLoadError: When it cannot be unpickled or executed here; the cause is kept.
        FlowNotFoundError: When the script has no such flow.
    """
    if admitted.kind == "script":
        return _find(_execute(admitted.payload, name), name, entrypoint)
    try:
        return pickle.loads(admitted.payload)  # noqa: S301 - admitted
    except Exception as error:
        versions = f"stored by {admitted.python or 'an unknown Python'}, loaded by {this_python()}"
        message = f"flow {name!r} cannot be loaded ({type(error).__name__}; {versions})"
        hint = "is everything installed here that the flow imports, in the same versions?"
        raise FlowLoadError(message, hint=hint) from error


def _execute(source: bytes, name: str) -> dict[str, Any]:
    """Run a script in a module of its own and return its names.

    The module and its lines stay known to Python: dataclasses, pickling and tracebacks look there.
    """
    digest = hashlib.sha256(source).hexdigest()[:12]
    module = types.ModuleType(f"webhook_storage_script_{digest}")
    module.__file__ = filename = f"<flow {slugify(name)} {digest}>"
    sys.modules[module.__name__] = module
    text = source.decode("utf-8", errors="replace")
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    try:
        code = compile(source, filename, "exec", dont_inherit=True)
        exec(code, module.__dict__)  # noqa: S102 - admitted
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        message = f"the script of flow {name!r} cannot be executed ({type(error).__name__})"
        hint = "is everything installed here that the script imports?"
        raise FlowLoadError(message, hint=hint) from error
    return module.__dict__


def _find(names: dict[str, Any], name: str, entrypoint: str | None) -> Any:
    """Return the object of a script that is the flow."""
    if entrypoint is not None:
        if entrypoint not in names:
            message = f"the script has no {entrypoint!r}"
            raise FlowNotFoundError(message, hint=f"it has: {_listed(names)}")
        return names[entrypoint]
    for candidate in names.values():
        if getattr(candidate, "name", None) == name and not isinstance(candidate, type):
            return candidate
    for candidate in names.values():
        if isinstance(candidate, types.FunctionType) and candidate.__name__ == name:
            return candidate
    message = f"the script has no flow {name!r}"
    hint = f"it has: {_listed(names)}; say which one by 'entrypoint'"
    raise FlowNotFoundError(message, hint=hint)


def _listed(names: dict[str, Any]) -> str:
    """Return the names in a script that could be flows."""
    own = [
        name
        for name, value in names.items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    ]
    return ", ".join(own) or "nothing"


def _header(kind: str, names: tuple[str, ...], payload: bytes, **more: str) -> Header:
    return Header(
        kind=kind,
        names=names,
        sha256=hashlib.sha256(payload).hexdigest(),
        size=len(payload),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        python=this_python(),
        **more,
    )
