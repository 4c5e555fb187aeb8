"""The stages around a body that is stored, and around a sink that takes what is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, SupportsIndex

from webhook_storage.artifact import MemorySink, as_body
from webhook_storage.errors import (
    ConfigurationError,
    IntegrityError,
    LocalFileError,
    WebhookStorageError,
)
from webhook_storage.stages import compression as compressions
from webhook_storage.stages import encryption
from webhook_storage.stages import keys as encryption_keys
from webhook_storage.stages.stream import Output, bare, pieces

if TYPE_CHECKING:
    from webhook_storage.contracts import Body, Sink
    from webhook_storage.secret import Keys
    from webhook_storage.stages.compression import Compression
    from webhook_storage.stages.stream import Step


def encode(body: Body, *, compression: Compression | None, keys: Keys, name: str) -> Body:
    """Return the body that is stored in place of another.

    What is compressed is compressed here and now, since its size must be announced, and kept in
    memory up to 8 MiB, then in a temporary file. With keys that file holds encrypted bytes only.
    What is encrypted and not compressed is encrypted whenever it is sent, and needs no file.

    Args:
        body: What to store.
        compression: ``gzip``, ``zstd`` or None for none.
        keys: Encryption keys by id; the first one encrypts. Empty for no encryption.
        name: The name under which it will be asked for.

    Returns:
        A body with the same bytes each time; without compression and keys the very same body.

    Raises:
        ConfigurationError: The compression is unknown, or a key is not 32 bytes.
        MissingExtraError: A package is not installed.
        IntegrityError: The body has more or fewer bytes than it announces.
        LocalFileError: The source cannot be read, or the temporary file not written.

    Example:
        >>> from webhook_storage.artifact import BytesBody
        >>> from webhook_storage.secret import SecretValue
        >>> keys = {"2026": SecretValue("00" * 32)}
        >>> stored = encode(BytesBody(b"31 rows"), compression=None, keys=keys, name="report")
        >>> stored.size, b"31 rows" in b"".join(stored.chunks())
        (102, False)
    """
    compressions.check(compression)
    if keys:
        encryption_keys.check(keys)
    if compression is not None:
        return _spooled(body, compression, keys, name)
    if keys:
        return encryption.EncryptedBody(body, encryption.Encryptor(keys, name, None))
    return body


def _spooled(body: Body, compression: Compression, keys: Keys, name: str) -> Body:
    """Compress, encrypt when there are keys, and keep the result; in this order."""
    chunks = compressions.compress(body, compression)
    if keys:
        chunks = encryption.Encryptor(keys, name, compression).encrypt(chunks)
    failure: Exception
    try:
        return as_body(chunks)
    except WebhookStorageError as error:
        failure = bare(error)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        message = f"the artifact could not be compressed into a temporary file: {reason}"
        failure = LocalFileError(message, code=error.errno, hint="is there room for it?")
    except Exception as error:  # noqa: BLE001 - whatever the source raises, without our frames
        failure = bare(error)
    raise failure


class DecodingSink:
    """Decrypts and decompresses what is fetched, and writes it into another sink.

    Nothing is guessed: what the storage does not say is not done, and what it says must be there.
    An encrypted artifact says itself how it was compressed, which is verified, and then
    `compression` has no say. What went into the other sink is verified, and is the beginning of the
    artifact; it is all of it only when `finish` has returned.

    Args:
        sink: Where the decoded bytes go.
        encrypted: Whether the artifact must be encrypted.
        compression: How an artifact that is not encrypted must be compressed.
        keys: Encryption keys by id; the artifact names one of them.
        name: The name under which it is asked for.
        limit: Most decoded bytes; None for no limit.

    Attributes:
        blocks: Whether writing takes time, so that an event loop leaves it to a thread. Then
            `finish` takes time, too.

    Raises:
        ConfigurationError: The compression is unknown, a key is not 32 bytes, or there is none.
        MissingExtraError: A package is not installed.

    Example:
        >>> import gzip
        >>> inner = MemorySink()
        >>> sink = DecodingSink(inner, encrypted=False, compression="gzip", keys={}, name="report")
        >>> sink.write(gzip.compress(b"31 rows"))
        >>> sink.finish()
        >>> inner.getvalue()
        b'31 rows'
    """

    __slots__ = (
        "_compression", "_encrypted", "_keys", "_limit", "_name", "_sink", "_step", "blocks",
    )  # fmt: skip

    def __init__(
        self,
        sink: Sink,
        *,
        encrypted: bool,
        compression: Compression | None,
        keys: Keys,
        name: str,
        limit: int | None = None,
    ) -> None:
        """Check all that can be checked before anything is asked for."""
        compressions.check(compression)
        if encrypted:
            encryption_keys.check(keys)
        if encrypted and not keys:
            message = "an encrypted artifact cannot be read without a key"
            raise ConfigurationError(message, hint="give the storage its encryption keys")
        self.blocks = sink.blocks or encrypted or compression is not None
        self._sink = sink
        self._encrypted = encrypted
        self._compression: Compression | None = compression
        self._keys = keys
        self._name = name
        self._limit = limit
        self._step: Step | None = self._begin()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse; it holds keys."""
        message = "a decoding sink cannot be pickled"
        raise TypeError(message)

    def reset(self) -> None:
        """Forget what was written, here and in the other sink; an answer starts anew."""
        self._step = None
        self._sink.reset()
        self._step = self._begin()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of what is stored.

        Raises:
            IntegrityError: They are not what was stored, or something before them was not.
            TooLargeError: There are more decoded bytes than the limit.
        """
        step = self._take_step()
        try:
            for piece in pieces(chunk):
                step.take(piece)
        except Exception as error:  # noqa: BLE001 - whatever the sink raises, without our frames
            failure = bare(error)
        else:
            self._step = step
            return
        raise failure

    def finish(self) -> None:
        """Write the end; it is called once, when all has come.

        Raises:
            IntegrityError: The end is missing, or is not what was stored.
            TooLargeError: There are more decoded bytes than the limit.
        """
        step = self._take_step()
        try:
            step.end()
        except Exception as error:  # noqa: BLE001 - as above
            failure = bare(error)
        else:
            return
        raise failure

    def _take_step(self) -> Step:
        """Return the first step, which is put back only when all went well."""
        step, self._step = self._step, None
        if step is None:
            message = "the artifact was refused, or has ended, before these bytes"
            raise IntegrityError(message, hint="fetch it again from the start")
        return step

    def _begin(self) -> Step:
        if self._encrypted:
            return encryption.Decryptor(self._keys, self._name, self._unpacked)
        return self._unpacked(self._compression)

    def _unpacked(self, compression: Compression | None) -> Step:
        """Return the steps after decryption."""
        output = Output(self._sink, self._limit)
        if compression is None:
            return output
        return compressions.decompressor(compression, output)


def decode(
    data: bytes,
    *,
    encrypted: bool,
    compression: Compression | None,
    keys: Keys,
    name: str,
    limit: int | None = None,
) -> bytes:
    """Return the artifact whose encoded bytes are all here.

    Args:
        data: What was stored.
        encrypted: As in `DecodingSink`, like all the others.
        compression: How it must be compressed when it is not encrypted.
        keys: Encryption keys by id.
        name: The name under which it is asked for.
        limit: Most decoded bytes; None for no limit.

    Raises:
        ConfigurationError: As in `DecodingSink`.
        MissingExtraError: A package is not installed.
        IntegrityError: It is not what was stored.
        TooLargeError: There are more decoded bytes than the limit.

    Example:
        >>> from webhook_storage.artifact import BytesBody
        >>> from webhook_storage.secret import SecretValue
        >>> keys = {"2026": SecretValue("00" * 32)}
        >>> stored = encode(BytesBody(b"31 rows"), compression="gzip", keys=keys, name="report")
        >>> data = b"".join(stored.chunks())
        >>> decode(data, encrypted=True, compression=None, keys=keys, name="report")
        b'31 rows'
        >>> decode(data, encrypted=True, compression=None, keys=keys, name="invoice")
        Traceback (most recent call last):
            ...
        webhook_storage.errors.IntegrityError: the key '2026' does not open the artifact 'invoice'
    """
    kept = MemorySink()
    sink = DecodingSink(
        kept, encrypted=encrypted, compression=compression, keys=keys, name=name, limit=limit
    )
    sink.write(data)
    sink.finish()
    return kept.getvalue()
