"""Flows to bytes and back. Whether bytes may become code, `trust` says before that."""

from __future__ import annotations

import hashlib
import linecache
import pickle
import sys
import types
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webhook_storage.envelope import Header, seal
from webhook_storage.errors import (
    ConfigurationError,
    FlowLoadError,
    FlowNotFoundError,
    ScriptError,
)
from webhook_storage.interpreter import check_python, this_python
from webhook_storage.trust import SIZE_LIMIT, Admitted, Trust, admit, expiry
from webhook_storage.verification import Verified, verify_artifact, verify_flow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from webhook_storage.secret import Keys

__all__ = [
    "SIZE_LIMIT",
    "Admitted",
    "Packed",
    "Trust",
    "Verified",
    "admit",
    "check_python",
    "expiry",
    "load",
    "name_of",
    "pack",
    "pack_script",
    "read_script",
    "slugify",
    "this_python",
    "verify_artifact",
    "verify_flow",
]


def name_of(flow: object) -> str:
    """Return a flow's name: its attribute `name`, or a function's own name.

    Raises:
        ConfigurationError: When it has neither, or one that no header can hold.
    """
    name = getattr(flow, "name", None)
    if not isinstance(name, str):
        name = getattr(flow, "__name__", None)
    if not isinstance(name, str) or name in {"", "<lambda>"}:
        message = f"a {type(flow).__name__} has no name to store it under"
        raise ConfigurationError(message, hint="give it an attribute 'name', or store a function")
    if not name.isascii() and any("\ud800" <= char <= "\udfff" for char in name):
        message = f"the name {name!r} is no Unicode text"
        raise ConfigurationError(message, hint="give the flow another name")
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
        words.append(hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8])
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

    def staged(self, payload: bytes, encoding: str) -> Packed:
        """Return what is sealed in place of this when something was done to the payload.

        Args:
            payload: What became of the payload.
            encoding: What was done to it, one of `trust.ENCODINGS`.
        """
        digest = hashlib.sha256(payload).hexdigest()
        header = replace(self.header, sha256=digest, size=len(payload), encoding=encoding)
        return Packed(header, payload)

    def seal(self, keys: Keys) -> bytes:
        """Return what is stored: an envelope; a script without keys stays the file that it is.

        A plain script can be read by anybody, and has no room for a signature, an expiry or word
        of what was done to it; one that needs any of them gets an envelope.

        Raises:
            ConfigurationError: When the first key cannot sign.
        """
        bare = not (keys or self.header.expires or self.header.encoding)
        if self.header.kind == "script" and bare:
            return self.payload
        return seal(self.header, self.payload, keys)


def pack(flow: object, name: str, *, expires: str = "") -> Packed:
    """Return a flow pickled by value.

    Args:
        flow: The flow.
        name: Its name.
        expires: Time from which on it is refused, as `expiry` gives it; empty for none.

    Raises:
        Exception: What pickling raises, for example `TypeError` for an open file.
    """
    import cloudpickle  # noqa: PLC0415 - only who stores or loads a flow pays for it

    payload: bytes = cloudpickle.dumps(flow, protocol=pickle.DEFAULT_PROTOCOL)
    version: str = cloudpickle.__version__
    header = _header("pickle", (name,), payload, cloudpickle=version, expires=expires)
    return Packed(header, payload)


def pack_script(path: str | None, names: Iterable[str], *, expires: str = "") -> Packed:
    """Return a script with the names of the flows in it.

    Args:
        path: Path of the script.
        names: The flows.
        expires: Time from which on it is refused, as `expiry` gives it; empty for none.

    Raises:
        ScriptError: When there is no such file.
    """
    source = read_script(path)
    return Packed(_header("script", tuple(sorted(names)), source, expires=expires), source)


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
