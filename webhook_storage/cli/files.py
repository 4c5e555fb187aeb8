"""Files that a command is given, and their places; what is wrong with one is told by its name."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webhook_storage.cli.report import sending
from webhook_storage.errors import ConfigurationError

if TYPE_CHECKING:
    from webhook_storage.receipt import Receipt
    from webhook_storage.storage import Storage


def load(definition: str) -> Storage:
    """Return the storage of a definition.

    Raises:
        ConfigurationError: When it is not there or wrong.
    """
    from webhook_storage.storage import Storage  # noqa: PLC0415

    if definition == "-":
        return Storage.from_json(sys.stdin.buffer.read())
    path = Path(definition)
    if not path.is_file():
        message = f"there is no definition {definition!r}"
        raise ConfigurationError(
            message, hint="give the path of a JSON file, or - for standard input"
        )
    return Storage.from_json(path.read_bytes())


def put(
    storage: Storage, definition: str, file: Path, key: str | None, wanted: dict[str, Any]
) -> Receipt:
    """Store a file, or what comes by standard input, and show how far it is.

    Raises:
        ConfigurationError: When there is no such file.
    """
    if str(file) == "-":
        if definition == "-":
            message = "the definition and the artifact cannot both come by standard input"
            raise ConfigurationError(message, hint="give one of them as a file")
        return storage.put(sys.stdin.buffer, key, **wanted)
    if not file.is_file():
        message = f"there is no file {str(file)!r}"
        raise ConfigurationError(message, hint="give the path of an existing file, or -")
    if key is None and "artifact.key" in storage.naming_facts():
        key = file.name
    with file.open("rb"), sending(file) as progress:  # opened, so that a refusal is told as such
        return storage.put(file, key, progress=progress, **wanted)


def read_receipt(path: Path, key: str | None) -> Receipt:
    """Return the receipt in a file; what is wrong with it is told without what is in it."""
    from pydantic import ValidationError  # noqa: PLC0415

    from webhook_storage.receipt import Receipt  # noqa: PLC0415

    receipt = None
    with contextlib.suppress(ValidationError):
        receipt = Receipt.model_validate_json(path.read_bytes() if path.is_file() else b"")
    if receipt is None:
        message = f"{str(path)!r} holds no receipt"
        raise ConfigurationError(message, hint="give what 'put' printed, as a file")
    if key is not None and key != receipt.key:
        message = f"the receipt is of {receipt.key!r}, and --key says {key!r}"
        raise ConfigurationError(message, hint="leave --key out")
    return receipt


def target_of(path: Path) -> Path:
    """Return the file to write, at the end of all links, before anything is asked for.

    Raises:
        ConfigurationError: When there can be no file. A device is none: what is fetched takes the
            place of the target, and that of ``/dev/null`` is taken.
    """
    target = path.resolve()
    if (target.exists() and not target.is_file()) or not target.parent.is_dir():
        message = f"{str(path)!r} is no place for a file"
        raise ConfigurationError(
            message, hint="name a file in an existing directory, or write to -"
        )
    return target


def rewrite(path: Path, text: str) -> None:
    """Replace a file as a whole, with its permissions."""
    from webhook_storage.artifact import FileSink  # noqa: PLC0415

    path = path.resolve()
    mode = path.stat().st_mode
    sink = FileSink(path)
    try:
        sink.write(text.encode())
        sink.commit()
    finally:
        sink.discard()
    path.chmod(mode)
