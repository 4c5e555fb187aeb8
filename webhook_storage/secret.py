"""A secret that does not show itself, and the removal of secrets from text.

Rule: `SecretValue.reveal` is called where a value is needed and nowhere else; a test holds the list
of those places.
"""

from __future__ import annotations

import base64
import hmac
import html
import json
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn, Self, SupportsIndex, final
from urllib.parse import quote, quote_plus, unquote, unquote_plus
from xml.sax.saxutils import escape as xml_escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

MASK = "****"
"""What stands in a text in place of a secret."""

_SHORTEST = 6
"""A shorter value occurs in innocent text; a text that may hold one is dropped as a whole."""

_JSON_IN_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_UTF_16 = re.compile(r"(?<!\\)\\+u([0-9A-Fa-f]{4})")
_ENDLESS = re.compile("&#[0-9]{20,}")
"""A reference to no character, with more digits than Python may read."""

_LIBRARIES = (
    "aiohttp", "azure", "boto3", "botocore", "google", "h2", "hpack", "httpcore", "httpx", "httpx2",
    "hvac", "keyring", "msal", "prefect", "requests", "secretstorage", "urllib3",
)  # fmt: skip
"""Loggers, with all below them, that print requests or answers at DEBUG or INFO."""


@final
class SecretValue:
    """Text that only `reveal` shows.

    It has one constant `repr`, and refuses to be pickled, hashed, iterated or joined to a string.
    Copies are the value itself, so that a deep copy of a structure works and copies no text.

    Example:
        >>> value = SecretValue("open sesame")
        >>> f"{value} {value!r}"
        '**** <secret>'
        >>> value.reveal()
        'open sesame'
    """

    __slots__ = ("_forms", "_open")

    _forms: tuple[SecretValue, ...]
    _open: Callable[[], str]

    def __init__(self, text: str) -> None:
        """Close over the text, so that no attribute holds it."""
        object.__setattr__(self, "_open", lambda: text)

    def forms(self) -> tuple[SecretValue, ...]:
        """Return all spellings in which it may stand in a text; the longest first."""
        try:
            return self._forms
        except AttributeError:
            forms = tuple(map(SecretValue, _forms(self.reveal())))
        object.__setattr__(self, "_forms", forms)
        return forms

    def reveal(self) -> str:
        """Return the text. Do not keep it, print it or put it into an exception."""
        return self._open()

    def __repr__(self) -> str:
        """Return the same for every secret."""
        return "<secret>"

    def __str__(self) -> str:
        """Return the mask."""
        return MASK

    def __format__(self, spec: str) -> str:
        """Return the mask, whatever the format asks for."""
        return MASK

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, SecretValue):
            return NotImplemented
        return hmac.compare_digest(_utf8(self.reveal()), _utf8(other.reveal()))

    __hash__ = None  # type: ignore[assignment]  # a hash of a short secret can be searched for

    def __copy__(self) -> Self:
        """Return this very object."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return this very object."""
        return self

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse, a secret does not change."""
        raise AttributeError(name)

    def __getstate__(self) -> NoReturn:
        """Refuse to be serialized."""
        message = "a secret cannot be pickled; send its name and resolve it again"
        raise TypeError(message)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be serialized."""
        self.__getstate__()


Keys = Mapping[str, SecretValue]
"""Keys by key id: the first signs or encrypts, all verify or decrypt."""


class Redactor:
    """Takes known secrets, and the forms in which they travel, out of text.

    Args:
        values: The secrets of one request.
        more: Redactors that know further ones; what they have computed is not computed again.

    Example:
        >>> Redactor([SecretValue("s3cret value")]).redact("GET /?token=s3cret%20value")
        'GET /?token=****'
    """

    __slots__ = ("_forms", "_more", "_values")

    def __init__(self, values: Iterable[SecretValue] = (), more: Sequence[Redactor] = ()) -> None:
        """Keep the secrets; their forms are only computed when a text comes."""
        self._values = list(values)
        self._more = more
        self._forms: list[SecretValue] | None = None

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be serialized."""
        message = "a redactor holds secrets and cannot be pickled"
        raise TypeError(message)

    def redact(self, text: str) -> str:
        """Return the text with every form of every secret masked.

        A text that may hold a secret of fewer than 6 characters is replaced as a whole, because
        masking so little would show where it stood.
        """
        for form in self._all_forms():
            shown = form.reveal()
            if shown not in text:
                continue
            if len(shown) < _SHORTEST:
                return MASK
            text = text.replace(shown, MASK)
        return MASK if self._is_escaped_in(text) else text

    def found_in(self, text: str) -> bool:
        """Tell whether a secret, in any form, stands in the text."""
        return any(form.reveal() in text for form in self._all_forms()) or self._is_escaped_in(text)

    def _is_escaped_in(self, text: str) -> bool:
        """Tell whether a secret stands in a text that was escaped otherwise, or more than once.

        A log of bytes that hold a repr looks so; how often it was escaped cannot be known.
        """
        plain = [other.replace("\\", "") for other in _unescaped(text)]
        if not plain:
            return False
        bare = (form.reveal().replace("\\", "") for form in self._all_forms())
        return any(form in other for form in bare if form for other in plain)

    def _all_forms(self) -> list[SecretValue]:
        """Return what to look for, the longest first."""
        if self._forms is None:
            forms = [form for value in self._values for form in value.forms()]
            forms += [form for each in self._more for form in each._all_forms()]  # noqa: SLF001
            # No rest of a longer one remains.
            self._forms = sorted(forms, key=lambda form: len(form.reveal()), reverse=True)
        return self._forms


def _unescaped(text: str) -> Iterator[str]:
    """Yield the text with its escapes undone, one kind after the other; nothing when it has none.

    Frameworks escape characters that need it not, and each of them others: all that could be
    special in HTML, or all but letters and digits.
    """
    if "\\" in text:
        yield text
    if "\\u" in text:
        units = _UTF_16.sub(lambda match: chr(int(match[1], 16)), text)
        # What is beyond 16 bits is two escapes.
        text = units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        yield text
    if "&" in text:
        text = html.unescape(_ENDLESS.sub("", text))
        yield text
    if "%" in text:
        yield unquote(text)
        yield unquote_plus(text)


def _forms(text: str) -> list[str]:
    """Return all spellings of a secret, the longest first."""
    forms = {form for part in {*_parts(text)} for form in _spellings(part)}
    forms.discard("")
    return sorted(forms, key=len, reverse=True)


def _parts(text: str) -> Iterator[str]:
    """Yield the secret, its trimmed form, its lines, and the strings in it when it is JSON."""
    yield text
    yield text.strip()
    lines = text.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= _SHORTEST)
    if text.lstrip()[:1] in {"{", "["}:
        try:
            leaves = list(_strings(json.loads(text)))
        except (ValueError, RecursionError):
            return
        yield from (leaf for leaf in leaves if len(leaf) >= _SHORTEST)


def _utf8(text: str) -> bytes:
    """Encode any text; the error for a lone surrogate would hold the text."""
    return text.encode(errors="surrogatepass")


def _strings(node: object) -> Iterator[str]:
    """Yield every string in a JSON document, keys left out."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for child in node.values():
            yield from _strings(child)
    elif isinstance(node, list):
        for child in node:
            yield from _strings(child)


def _spellings(text: str) -> Iterator[str]:
    """Yield the text as it looks in URLs, JSON, XML, Python reprs and base64."""
    raw = _utf8(text)
    yield text
    yield from _base64_forms(raw)
    if text.isascii() and text.isalnum():
        return  # nobody spells that otherwise
    # An error's body is shown without control characters.
    yield "".join(char if char.isprintable() else " " for char in text)
    for encoded in (quote(raw), quote(raw, safe=""), quote_plus(raw)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda match: match.group().lower(), encoded)
    yield quote(quote(raw, safe=""), safe="")
    for string in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield string
        yield string.replace("/", "\\/")  # as PHP writes it
        yield string.translate(_JSON_IN_HTML)  # as Go writes it
    yield repr(text)[1:-1]
    yield repr(raw)[2:-1]
    yield xml_escape(text, {'"': "&quot;"})
    yield html.escape(text)
    yield html.escape(text).replace("&#x27;", "&#39;")


def _base64_forms(raw: bytes) -> Iterator[str]:
    """Yield the base64 text of the value at each of the three offsets it can have in a message.

    The characters at both ends also depend on the neighbours, so they are cut off.
    """
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            encoded = encode(bytes(offset) + raw).decode()
            start = (0, 2, 3)[offset]
            tail = (offset + len(raw)) % 3
            core = encoded.rstrip("=")[start:]
            core = core[:-1] if tail else core
            yield core


_in_flight: ContextVar[Redactor | None] = ContextVar("webhook_storage_in_flight", default=None)
_NOTHING_PASSES = Redactor()
"""Stands for values that are not known before the answer is there."""


class _LogFilter(logging.Filter):
    """Redact what another library logs while one of our requests is under way."""

    def filter(self, record: logging.LogRecord) -> bool:
        redactor = _in_flight.get()
        if redactor is None:
            return True
        if redactor is _NOTHING_PASSES:
            return False
        _redact_record(record, redactor)
        return True


def _redact_record(record: logging.LogRecord, redactor: Redactor) -> None:
    """Replace message, arguments, traceback and extras of a record by redacted text."""
    if record.exc_info:
        # Formatting a traceback here would be formatting frames; the message is enough.
        record.exc_info = None
    record.exc_text = None
    record.stack_info = None
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - whatever the other library did, its record must not pass
        message = "(a log record that could not be formatted)"
    record.msg = redactor.redact(_ANSWERED.sub(rf"\1{MASK}", message))
    record.args = ()
    for name, value in list(record.__dict__.items()):
        if name not in _STANDARD_FIELDS:
            try:
                record.__dict__[name] = redactor.redact(str(value))
            except Exception:  # noqa: BLE001 - as above
                record.__dict__[name] = MASK


_ANSWERED = re.compile(r"(receive_response_headers\.complete return_value=).*", re.DOTALL)
"""What httpcore prints of an answer's headers: a cookie, a token, a URL by which to write to an
upload; none of them is known before the exchange has read it."""

_STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__)
_log_filter = _LogFilter()
_loggers_seen = -1


class _RecordFactory:
    """Puts the filter on a logger that comes into being while a request is under way.

    Libraries are loaded, and make their loggers, when they are first used. A record is made before
    its logger's filters are asked, so that even the first one of a new logger is met.
    """

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, name: str | None, *args: Any, **kwargs: Any) -> logging.LogRecord:
        if _in_flight.get() is not None and name and name.partition(".")[0] in _LIBRARIES:
            logging.getLogger(name).addFilter(_log_filter)
        return self._make(name, *args, **kwargs)


def _cover_loggers() -> None:
    """Put the filter on each logger of the libraries, since a filter does not reach children."""
    global _loggers_seen  # noqa: PLW0603 - loggers are global, and so is what we know of them
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _RecordFactory):
        logging.setLogRecordFactory(_RecordFactory(factory))
    existing = logging.root.manager.loggerDict
    if len(existing) == _loggers_seen:
        return
    for name in (*_LIBRARIES, *list(existing)):
        if name.partition(".")[0] in _LIBRARIES:
            logging.getLogger(name).addFilter(_log_filter)
    _loggers_seen = len(existing)


class _InFlight:
    """The time during which third-party log records are redacted."""

    __slots__ = ("_redactor", "_token")

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __enter__(self) -> None:
        _cover_loggers()
        self._token = _in_flight.set(self._redactor)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _in_flight.reset(self._token)


def redacted_logs(redactor: Redactor) -> AbstractContextManager[None]:
    """Redact the log records that HTTP and vendor libraries write inside the ``with`` block.

    It covers this thread and task only. Other loggers, and these at other times, are untouched.
    """
    return _InFlight(redactor)


def silenced_logs() -> AbstractContextManager[None]:
    """Drop the log records that HTTP and vendor libraries write inside the ``with`` block.

    For the time in which a resolver asks its store: the secret is in the answer, so what to redact
    is not known yet. What went wrong is told by the outcome.
    """
    return _InFlight(_NOTHING_PASSES)
