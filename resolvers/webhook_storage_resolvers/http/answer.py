"""What the answers of a configured service mean.

Facts: RFC 9110, 15 (status codes), RFC 6901 (JSON pointers), RFC 9111, 5.1 and 5.2 (``Age`` and
``Cache-Control``). Nothing that the service says is repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from webhook_storage.contracts import Forbidden, Found, Invalid, NotFound, Outcome, Unavailable
from webhook_storage.document import MISSING, select, spell
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.client import HttpAnswer

WORDS: Final = ("found", "not_found", "forbidden", "unavailable", "invalid")
"""What a status can mean."""

_MEANINGS: Final = {
    HTTPStatus.OK: "found",
    HTTPStatus.UNAUTHORIZED: "forbidden",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.GONE: "not_found",
}
_PART_USED = 0.9
_LONGEST_VERSION = 64
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_MAX_AGE = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?([0-9]{1,9})"?', re.IGNORECASE)
_NOT_KEPT = re.compile(r"(?:^|[,\s])no-(?:store|cache)\s*(?:,|$)", re.IGNORECASE)
_BAD_POINTER = re.compile(r"|/.*~(?![01]).*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How answers are read.

    Args:
        pointer: JSON pointer of the value, or a key; None takes the whole body.
        structured: Whether the value is an object of fields, of which a reference names one.
        version_pointer: Where the version stands.
        absent_pointer: What tells in a success that there is no such secret.
        absent_value: The text that it has then; None stands for all but ``null`` and ``false``.
        statuses: Meanings of statuses, in addition to the usual ones.
        ttl: Seconds for which a value may be kept, whatever the service says.
        ttl_pointer: Where the service says for how many seconds it is good.

    Raises:
        ConfigurationError: With the field in question as its path.
    """

    pointer: str | None = None
    structured: bool = False
    version_pointer: str | None = None
    absent_pointer: str | None = None
    absent_value: str | None = None
    statuses: Mapping[int, str] | Mapping[str, str] = field(default_factory=dict)
    ttl: float | None = None
    ttl_pointer: str | None = None
    _words: dict[int, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what could never be read."""
        for name in ("pointer", "version_pointer", "absent_pointer", "ttl_pointer"):
            pointer = getattr(self, name)
            if pointer is not None and (not isinstance(pointer, str) or _is_bad(pointer)):
                message = "this is a key, or a JSON pointer such as /data/value"
                raise ConfigurationError(message, path=name)
        if self.absent_value is not None and self.absent_pointer is None:
            message = "this says what stands at absent_pointer, which is not set"
            raise ConfigurationError(message, path="absent_value")
        if self.ttl is not None and not _is_number(self.ttl):
            raise ConfigurationError("this is a number of seconds", path="ttl")
        object.__setattr__(self, "_words", _meanings(self.statuses))

    def word(self, answer: HttpAnswer) -> str:
        """Return one of `WORDS` for the status of an answer."""
        return self._words.get(answer.status, "unavailable")

    def outcome(self, answer: HttpAnswer, credentials: str) -> Outcome:
        """Return what an answer means.

        Args:
            answer: The answer.
            credentials: What the credentials are called, for a message.
        """
        word = self.word(answer)
        if word == "found":
            return self._found(answer)
        if word == "not_found":
            return NotFound()
        if word == "invalid":
            return Invalid(f"the service refuses the name, with status {answer.status}")
        if word == "forbidden":
            what = f"look at {credentials}" if credentials else "it is sent no credential"
            return Forbidden(f"the service refuses to tell, with status {answer.status}: {what}")
        return answer.trouble()

    def _found(self, answer: HttpAnswer) -> Outcome:
        """Return what a success holds."""
        if answer.headers.get("content-type", "").lower().startswith("text/html"):
            return Unavailable("the answer is a page for people, perhaps one to log in")
        document = answer.document() if self._reads_json else MISSING
        if self._reads_json and document is MISSING:
            return Unavailable("the answer is no JSON")
        if self._says_absent(document):
            return NotFound()
        value = _body(answer) if self.pointer is None else _part(document, self.pointer)
        if not isinstance(value, str):
            return value
        return Found(
            value=SecretValue(value),
            structured=self.structured,
            version=self._version(document),
            lifetime=self._lifetime(document, answer.headers),
        )

    @property
    def _reads_json(self) -> bool:
        pointers = (self.pointer, self.version_pointer, self.absent_pointer, self.ttl_pointer)
        return self.structured or any(pointer is not None for pointer in pointers)

    def _says_absent(self, document: Any) -> bool:
        """Tell whether a success says that there is no such secret."""
        if self.absent_pointer is None:
            return False
        part = select(document, self.absent_pointer)
        if self.absent_value is None:
            return part not in (MISSING, None, False)
        return part is not MISSING and spell(part) == self.absent_value

    def _version(self, document: Any) -> str | None:
        """Return the version, if it is one that can be shown."""
        if self.version_pointer is None:
            return None
        part = select(document, self.version_pointer)
        if part is MISSING or part is None or isinstance(part, dict | list):
            return None
        text = spell(part)
        fits = text is not None and text.isprintable() and 0 < len(text) <= _LONGEST_VERSION
        return text if fits else None

    def _lifetime(self, document: Any, headers: Mapping[str, str]) -> float | None:
        """Return the seconds for which a value may be kept, None where nothing tells."""
        if self.ttl is not None:
            return self.ttl
        if self.ttl_pointer is not None:
            part = select(document, self.ttl_pointer)
            seconds = str(part) if isinstance(part, str) else ""
            # A lease of 0 seconds is how services say that there is none.
            if _SECONDS.fullmatch(seconds) and float(seconds):
                return _PART_USED * float(seconds)
        control = headers.get("cache-control", "")
        if _NOT_KEPT.search(control):
            return 0.0
        if match := _MAX_AGE.search(control):
            age = headers.get("age", "")
            return max(0.0, float(match[1]) - (float(age) if _SECONDS.fullmatch(age) else 0.0))
        return None


def _body(answer: HttpAnswer) -> str | Outcome:
    """Return the whole body as text, but for one line break at its end."""
    text = answer.text()
    if text is None:
        return Invalid("the answer is not UTF-8")
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


def _part(document: Any, pointer: str) -> str | Outcome:
    """Return the value in a document as text."""
    part = select(document, pointer)
    if part is MISSING:
        return Unavailable(f"the answer has nothing at {pointer}")
    if part is None:
        return NotFound()
    text = spell(part)
    return Invalid("the value is no text") if text is None else text


def _is_bad(pointer: str) -> bool:
    return bool(_BAD_POINTER.fullmatch(pointer))


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value < float("inf")


def _meanings(statuses: Any) -> dict[int, str]:
    """Return the meanings of all statuses that have one; in TOML a key is a text."""
    meanings = {int(status): word for status, word in _MEANINGS.items()}
    pairs = statuses.items() if hasattr(statuses, "items") else [(statuses, "")]
    for status, word in pairs:
        known = re.fullmatch(r"[1-5][0-9][0-9]", str(status)) and word in WORDS
        if not known or (word == "found" and str(status)[0] != "2"):
            message = f"these are statuses with one of {', '.join(WORDS)}; only a 2xx is found"
            raise ConfigurationError(message, path="statuses", hint='{"204" = "not_found"}')
        meanings[int(status)] = word
    return meanings
