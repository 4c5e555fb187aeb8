r"""The grammar of placeholders: text is parsed once into a tree, the tree is filled in one pass.

Rule: a resolved value is never scanned again, and an error tells an offset, never the text.

::

    template    = { text | "$$" | placeholder }
    placeholder = "${" expression "}" | "$<" expression ">"
    expression  = source [ ":-" word | ":?" message ] { "|" filter }
    source      = NAME [ "#" field ]
                | namespace "." fact
                | scheme ":" [ "//" instance "/" ] path [ "?" options ] [ "#" field ]
    options     = key "=" value { "&" key "=" value }

``$$`` is a dollar, and a ``$`` before anything else (``$NAME``, ``$select``, ``$5``) is text. Path,
field and option values may stand in ``'...'`` or ``"..."``, and must where they hold a space, one
of ``' " { } < > | ? # $ &``, or a colon before ``-``, ``?`` or ``+``. Spaces may stand around
``|``, nowhere else.

A word is a template again. Brackets of the placeholder's own kind balance in it, with no escape for
a single one: ``${A:-{x}}`` has the default ``{x}``, ``${A:-{x\}}`` the default ``{x\}``, and a
lone ``}`` is written ``$<A:-}>``. A ``|`` in it stands between brackets, or begins the filters.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from webhook_storage.errors import SecretNotFoundError, TemplateError, UnsafeValueError
from webhook_storage.filters import FILTER_NEEDS, FILTERS, has_dot_segment

NAMESPACES: Final = ("flow", "artifact", "build", "receipt")
"""What the first word of a dotted name may be."""

LONGEST_KEPT: Final = 8192
"""Longer texts are not cached: a body may hold a whole artifact."""

_DEEPEST: Final = 10
_BRACKETS: Final = {"{": "}", "<": ">"}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FACT = re.compile(r"[a-z]+\.[A-Za-z0-9_.-]+")
_SCHEME = re.compile(r"([a-z][a-z0-9+]{1,31}):(?![-?+])")
_INSTANCE = re.compile(r"//([A-Za-z0-9_][A-Za-z0-9_.-]*)?/")
_OPTION = re.compile(r"[?&]([A-Za-z_][A-Za-z0-9_.-]*)=")
_UNQUOTED = re.compile(r"(?:[^\s'\"{}<>|?#$&:]|:(?![-?+]))+")
MOST_FILTERS = 8
"""Of a placeholder; each may make its value longer by half."""

_FILTER = re.compile(r" *\| *([A-Za-z0-9_]*)")
_BAD_POINTER = re.compile(r"/.*~(?![01])", re.DOTALL)
_SPECIAL: Final = {
    "": re.compile(r"\$"),
    "}": re.compile(r"[${}|]"),
    ">": re.compile(r"[$<>|]"),
}
_SURROGATE = re.compile("[\ud800-\udfff]")

_WRONG_OPERATORS: Final = {
    "-": "for a default write ':-'",
    "?": "for a message write ':?'",
    "+": "there is no operator '+'; there are ':-' and ':?'",
    ":+": "there is no operator ':+'; there are ':-' and ':?'",
    ":": "for a default write ':-'; a scheme has 2 to 32 lower-case letters, digits and '+'",
}


# --- the tree ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reference:
    """A secret's name, as resolvers get it.

    Attributes:
        name: The NAME, or the path after the scheme.
        scheme: The resolver that is asked directly; None asks the chain.
        instance: Which of several resolvers with that scheme.
        options: What stands after ``?``, in the order of the text.
        field: What stands after ``#``: a key, or a JSON pointer when it begins with ``/``.

    Example:
        >>> str(Reference("secret/app", "vault", "prod", (("version", "3"),), "token"))
        'vault://prod/secret/app?version=3#token'
    """

    name: str
    scheme: str | None = None
    instance: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    field: str | None = None

    def __str__(self) -> str:
        """Return the spelling in a template, without the brackets."""
        spelling = self.name if self.scheme is None else _quoted(self.name)
        if self.instance is not None:
            spelling = f"//{self.instance}/{spelling}"
        if self.scheme is not None:
            spelling = f"{self.scheme}:{spelling}"
        if self.options:
            spelling += "?" + "&".join(f"{key}={_quoted(value)}" for key, value in self.options)
        return spelling if self.field is None else f"{spelling}#{_quoted(self.field)}"

    def __hash__(self) -> int:
        """Return the name's hash, which is kept; the other parts seldom tell references apart."""
        return hash(self.name)

    def without_field(self) -> Reference:
        """Return the reference to the whole secret."""
        if self.field is None:
            return self
        return Reference(self.name, self.scheme, self.instance, self.options)


@dataclass(frozen=True, slots=True)
class Fact:
    """A dotted name: something known about this operation, never a secret."""

    name: str

    def __str__(self) -> str:
        """Return the name."""
        return self.name


Source: TypeAlias = Reference | Fact

Lookup: TypeAlias = Callable[[Source], str | None]
"""Returns None for what is missing and "" for what is empty."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A placeholder that has no value.

    Attributes:
        source: What was looked up.
        reason: Whether it was not there, or there and empty.
        message: The author's text after ``:?``.
    """

    source: Source
    reason: Literal["missing", "empty"]
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One ``${...}``.

    Attributes:
        source: What is looked up.
        operator: What to do when that is missing or empty.
        word: The default, or the message.
        filters: Names of the filters, in the order in which they are applied.
        position: Offset of the ``$`` in the text.
    """

    source: Source
    operator: Literal[":-", ":?"] | None = None
    word: Template | str | None = None
    filters: tuple[str, ...] = ()
    position: int = 0

    def problems(self, lookup: Lookup) -> tuple[Problem, ...]:
        """Return why there is no value; nothing when there is one."""
        value = lookup(self.source)
        if value:
            return ()
        if isinstance(self.word, Template):
            return self.word.problems(lookup)
        reason: Literal["missing", "empty"] = "missing" if value is None else "empty"
        return (Problem(self.source, reason, self.word or None),)

    def value(self, lookup: Lookup) -> str:
        """Return the value, or the default, after the filters.

        Raises:
            SecretNotFoundError: When there is none.
            UnsafeValueError: When a filter refuses it, or it is no text that can be encoded.
        """
        value = lookup(self.source)
        if not value:
            if not isinstance(self.word, Template):
                raise self._no_value("is missing" if value is None else "is empty")
            value = self.word.fill(lookup, as_is)
        if not value.isascii() and _SURROGATE.search(value):
            raise self.unsafe("its value is not valid Unicode", "decode it as what it is")
        if self.filters:
            value = self._filtered(value)
            if not value and self.operator != ":-":
                raise self._no_value("is empty after its filters")
        return value

    def unsafe(self, what: str, hint: str | None = None) -> UnsafeValueError:
        """Return an error that says what is wrong with the value, in words without the value."""
        return UnsafeValueError(f"${{{self.source}}}: {what}", names=(str(self.source),), hint=hint)

    def _no_value(self, what: str) -> SecretNotFoundError:
        message = f"${{{self.source}}} {what}"
        if self.operator == ":?" and self.word:
            message += f": {self.word}"
        return SecretNotFoundError(message, names=(str(self.source),))

    def _filtered(self, value: str) -> str:
        for name in self.filters:
            try:
                value = FILTERS[name](value)
            except ValueError:
                refused_by = name
                break
        else:
            return value
        # Outside the except block: the foreign error may hold the value and must not be chained.
        needs = FILTER_NEEDS.get(refused_by, "text")
        raise self.unsafe(f"the filter '{refused_by}' needs {needs}")


Escape: TypeAlias = Callable[[Placeholder, str], str]
"""Makes a value safe for the place where its placeholder stands."""


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text; equal to another one of the same text.

    Attributes:
        text: As it was written.
        parts: Literal texts, with ``$$`` undone, and placeholders.
        sources: What the placeholders, and those in their defaults, look up; each once.
    """

    text: str
    parts: tuple[str | Placeholder, ...] = field(compare=False, repr=False)
    sources: tuple[Source, ...] = field(init=False, compare=False, repr=False)
    _references: tuple[Reference, ...] = field(init=False, compare=False, repr=False)
    _facts: tuple[str, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Collect the sources once, they are asked for at every request."""
        sources: dict[Source, None] = {}
        for part in self.parts:
            if isinstance(part, Placeholder):
                sources[part.source] = None
                if isinstance(part.word, Template):
                    sources.update(dict.fromkeys(part.word.sources))
        references = tuple(source for source in sources if isinstance(source, Reference))
        facts = tuple(source.name for source in sources if isinstance(source, Fact))
        object.__setattr__(self, "sources", tuple(sources))
        object.__setattr__(self, "_references", references)
        object.__setattr__(self, "_facts", facts)

    def references(self) -> tuple[Reference, ...]:
        """Return the secrets that may be needed, in the order of their first use."""
        return self._references

    def facts(self) -> tuple[str, ...]:
        """Return the names of the facts that may be needed, in the order of their first use."""
        return self._facts

    @property
    def is_literal(self) -> bool:
        """Whether there is no placeholder."""
        return not self.sources

    @property
    def literal(self) -> str | None:
        """The text with ``$$`` undone; None when there is a placeholder."""
        return None if self.sources else "".join(map(str, self.parts))

    def problems(self, lookup: Lookup) -> tuple[Problem, ...]:
        """Return every placeholder that would have no value.

        What stands in a default counts only where that default is needed.
        """
        found: dict[Problem, None] = {}
        for part in self.parts:
            if isinstance(part, Placeholder):
                found.update(dict.fromkeys(part.problems(lookup)))
        return tuple(found)

    def fill(self, lookup: Lookup, escape: Escape) -> str:
        """Return the text with values in place of placeholders.

        Args:
            lookup: Gives the values.
            escape: Gets each value, after default and filters, and returns what is inserted.

        Raises:
            SecretNotFoundError: When a placeholder has no value, see `problems`.
            UnsafeValueError: When a filter or `escape` refuses a value.
        """
        return "".join(
            [
                part if isinstance(part, str) else escape(part, part.value(lookup))
                for part in self.parts
            ]
        )


def parse(text: str) -> Template:
    """Parse a text.

    Raises:
        TemplateError: When a placeholder is malformed.

    Example:
        >>> template = parse("Bearer ${TOKEN:-none}, $$5")
        >>> template.references()
        (Reference(name='TOKEN', scheme=None, instance=None, options=(), field=None),)
        >>> template.fill(lambda source: None, lambda placeholder, value: value)
        'Bearer none, $5'
    """
    return _parse_and_keep(text) if len(text) <= LONGEST_KEPT else _parse(text)


def escape(text: str) -> str:
    """Return the template of which the text is the literal.

    Example:
        >>> escape("${HOME} costs $5")
        '$${HOME} costs $$5'
    """
    return text.replace("$", "$$")


def as_is(_: Placeholder, value: str) -> str:
    """Return a value unchanged: what `Template.fill` takes where every text is safe."""
    return value


def _quoted(text: str) -> str:
    """Put quotes around a text that needs them, or would make an operator with its neighbours."""
    if _UNQUOTED.fullmatch(text) and text[0] not in "-+" and text[-1] != ":":
        return text
    return f'"{text}"' if "'" in text else f"'{text}'"


# --- the scanner ---------------------------------------------------------------------------------


def _parse(text: str) -> Template:
    return _Scanner(text).template("", 0)


_parse_and_keep = lru_cache(maxsize=1024)(_parse)


class _Scanner:
    """Reads a text from left to right; ``at`` is the next offset, ``start`` the placeholder's."""

    __slots__ = ("at", "start", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.start = 0

    def template(self, close: str, depth: int) -> Template:
        """Read up to the end; a word, which has a closing bracket, up to that or its filters."""
        begin = self.at
        parts: list[str | Placeholder] = []
        literal = ""
        opened = 0
        while match := _SPECIAL[close].search(self.text, self.at):
            literal += self.text[self.at : match.start()]
            self.at = match.end()
            char = match.group()
            if char == "$" and self._peek() in _BRACKETS:
                parts += [literal, self._placeholder(depth)]
                literal = ""
                continue
            if char == "$" and self._peek() == "$":
                self.at += 1
            elif not opened and char in {close, "|"}:
                self.at -= 1
                break
            elif char != "$":
                opened += {"|": 0, close: -1}.get(char, 1)
            literal += char
        else:
            literal += self.text[self.at :]
            self.at = len(self.text)
        text = self.text[begin : self.at]
        if close and self._peek() == "|":  # the spaces belong to the filter
            literal, text = literal.rstrip(" "), text.rstrip(" ")
        parts.append(literal)
        return Template(text, tuple(part for part in parts if part))

    def _placeholder(self, depth: int) -> Placeholder:
        """Read from the opening bracket to the closing one."""
        start = self.start = self.at - 1
        close = _BRACKETS[self._peek()]
        self.at += 1
        if depth > _DEEPEST:
            raise self._error(f"defaults are nested more than {_DEEPEST} deep")
        if self._peek() in {close, ""}:
            what = "it is empty" if self._peek() else "it is not closed"
            raise self._error(what, hint="For a literal dollar write $$.")
        if self.text.startswith("${{", start):
            what = "'${{' is the syntax of GitHub Actions, '{{' that of Prefect 3"
            raise self._error(what, hint="Write ${NAME}.")
        source = self._source()
        operator, word = self._operator(close, depth)
        filters = self._filters()
        self._close(close)
        return Placeholder(source, operator, word, filters, start)

    def _source(self) -> Source:
        if scheme := _SCHEME.match(self.text, self.at):
            self.at = scheme.end()
            return self._locator(scheme.group(1))
        name = _NAME.match(self.text, self.at)
        if name is None:
            raise self._error("a name consists of ASCII letters, digits and '_', no digit first")
        if self.text.startswith(".", name.end()):
            return self._fact(name.group())
        self.at = name.end()
        return Reference(name.group(), field=self._field())

    def _fact(self, namespace: str) -> Fact:
        if namespace not in NAMESPACES:
            what = "a dotted name begins with flow, artifact, build or receipt"
            raise self._error(what, hint=_nearest(namespace, NAMESPACES))
        match = _FACT.match(self.text, self.at)
        if match is None:
            raise self._error("nothing follows the dot")
        self.at = match.end()
        return Fact(match.group())

    def _locator(self, scheme: str) -> Reference:
        instance = None
        if self.text.startswith("//", self.at):
            match = _INSTANCE.match(self.text, self.at)
            if match is None:
                raise self._error("'//' begins an instance's name, which ends with '/'")
            instance = match.group(1)
            # file:///run/x names no instance; the third slash belongs to the path.
            self.at = match.end() if instance else match.end() - 1
        path = self._atom("the path")
        if "" in path.removeprefix("/").replace("\\", "/").split("/") or has_dot_segment(path):
            raise self._error("the path has a segment that is empty, '.' or '..'")
        return Reference(path, scheme, instance, self._options(), self._field())

    def _options(self) -> tuple[tuple[str, str], ...]:
        if self._peek() != "?":
            return ()
        options: dict[str, str] = {}
        while self._peek() == ("&" if options else "?"):
            match = _OPTION.match(self.text, self.at)
            if match is None or match.group(1) in options:
                raise self._error("options are written ?key=value&key=value, each key once")
            self.at = match.end()
            options[match.group(1)] = self._atom("an option")
        return tuple(options.items())

    def _field(self) -> str | None:
        if self._peek() != "#":
            return None
        self.at += 1
        name = self._atom("the field")
        if _BAD_POINTER.match(name):
            raise self._error("in a JSON pointer '~' is written ~0 and '/' in a key ~1")
        return name

    def _atom(self, what: str) -> str:
        """Read a text that may stand in quotes."""
        quotation = self._peek()
        if quotation in {"'", '"'}:
            end = self.text.find(quotation, self.at + 1)
            if end < 0:
                raise self._error("a quote is not closed")
            text = self.text[self.at + 1 : end]
            self.at = end + 1
        else:
            match = _UNQUOTED.match(self.text, self.at)
            text = match.group() if match else ""
            self.at += len(text)
        if self._peek() == "$":
            raise self._error(f"{what} holds a '$'; a placeholder cannot stand there")
        if not text:
            raise self._error(f"{what} is empty, or begins with a character that needs quotes")
        if not text.isprintable():
            raise self._error(f"{what} holds a control character")
        return text

    def _operator(
        self, close: str, depth: int
    ) -> tuple[Literal[":-", ":?"] | None, Template | str | None]:
        spelling = self.text[self.at : self.at + 2]
        if spelling not in {":-", ":?"}:
            advice = _WRONG_OPERATORS.get(spelling) or _WRONG_OPERATORS.get(spelling[:1])
            if advice:
                raise self._error(advice)
            return None, None
        start = self.start
        self.at += 2
        word = self.template(close, depth + 1)
        self.start = start
        if spelling == ":-":
            return ":-", word
        if not word.is_literal:
            raise self._error("a message cannot hold placeholders")
        return ":?", word.literal

    def _filters(self) -> tuple[str, ...]:
        names: list[str] = []
        while match := _FILTER.match(self.text, self.at):
            name = match.group(1)
            if name not in FILTERS:
                hint = _nearest(name, FILTERS) or f"There are {', '.join(FILTERS)}."
                raise self._error("there is no such filter", hint=hint)
            if len(names) == MOST_FILTERS:
                hint = "Two or three should do."
                raise self._error(f"it has more than the at most {MOST_FILTERS} filters", hint=hint)
            names.append(name)
            self.at = match.end()
        return tuple(names)

    def _close(self, close: str) -> None:
        if self._peek() == close:
            self.at += 1
            return
        if close not in self.text[self.at :]:
            raise self._error("it is not closed", hint="For a literal dollar write $$.")
        raise self._error(
            "it holds a character that cannot stand there; spaces stand around '|' only",
            hint="Put the path, or the field, in quotes.",
        )

    def _peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def _error(self, what: str, hint: str | None = None) -> TemplateError:
        message = f"The placeholder at offset {self.start} is malformed: {what}."
        return TemplateError(message, position=self.start, hint=hint)


def _nearest(word: str, known: Iterable[str]) -> str | None:
    """Return a suggestion, which shows a known word and not the one that was written."""
    close = difflib.get_close_matches(word[:32].lower(), list(known), 1, 0.7)
    return f"Did you mean '{close[0]}'?" if close else None
