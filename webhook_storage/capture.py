"""Taking a value out of an answer: by JSON pointer, from a header, or by regular expression."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from webhook_storage import document
from webhook_storage.errors import ConfigurationError, UnexpectedAnswerError, UnsafeValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook_storage.contracts import Response

_KINDS = ("json", "header", "regex")


def check(captures: Mapping[str, str], path: str) -> None:
    """Check what captures say before anything is sent.

    Raises:
        ConfigurationError: When one is not ``json:/pointer``, ``header:Name`` or ``regex:pattern``.
    """
    for name, rule in captures.items():
        kind, _, argument = rule.partition(":")
        where = f"{path}.{name}"
        if kind not in _KINDS or not argument:
            message = f"a capture is json:/pointer, header:Name or regex:pattern, not {kind!r}"
            raise ConfigurationError(message, path=where)
        if kind == "regex":
            _check_pattern(argument, where)


def _check_pattern(pattern: str, where: str) -> None:
    fault = None
    try:
        if re.compile(pattern).groups != 1:
            fault = "the regular expression of a capture has exactly one group"
    except re.error as error:
        fault = f"the regular expression is malformed at offset {error.pos}"
    except (OverflowError, RecursionError):
        fault = "the regular expression repeats or nests too often"
    if fault:
        raise ConfigurationError(fault, path=where)


def capture(captures: Mapping[str, str], response: Response, location: str) -> dict[str, str]:
    """Return the captured values of an answer.

    Raises:
        UnexpectedAnswerError: When the answer has no such value.
        UnsafeValueError: When a value is one of the request's secrets, echoed.
    """
    values = {}
    for name, rule in captures.items():
        kind, _, argument = rule.partition(":")
        value = _TAKE[kind](argument, response)
        if value is None:
            message = f"the answer of {location} has no {rule}, wanted as receipt.{name}"
            hint = "compare 'captures' with an answer of the service"
            raise UnexpectedAnswerError(message, status=response.status, hint=hint)
        if response.echoes is not None and response.echoes(value):
            message = f"the answer has a secret of the request at {rule}; it is not kept"
            raise UnsafeValueError(message, hint=f"take another value as receipt.{name}")
        values[name] = value
    return values


def _from_json(pointer: str, response: Response) -> str | None:
    text = response.body.decode("utf-8", errors="replace")
    found = document.select(document.parse(text), pointer)
    return None if found is document.MISSING or found is None else document.spell(found)


def _from_header(name: str, response: Response) -> str | None:
    return response.headers.get(name.lower())


def _from_text(pattern: str, response: Response) -> str | None:
    match = re.search(pattern, response.body.decode("utf-8", errors="replace"))
    return match and match[1]


_TAKE = {"json": _from_json, "header": _from_header, "regex": _from_text}


def select_all(pointer: str, response: Response) -> list[str]:
    """Return all texts that a pointer leads to; ``*`` in it stands for every entry.

    Raises:
        UnexpectedAnswerError: When the answer is no JSON, or has nothing where the list should be,
            or one of the texts is one of the request's secrets, echoed.

    Example: ``/*/name`` in ``[{"name": "a"}, {"name": "b"}]`` is ``["a", "b"]``.
    """
    nodes: list[Any] = [document.parse(response.body.decode("utf-8", errors="replace"))]
    steps = pointer.removeprefix("/").split("/") if pointer else []
    for index, step in enumerate(steps):
        if "*" not in steps[:index] and not _leads_on(nodes[0], step):
            message = f"the answer has nothing at {pointer}, where the keys should be"
            hint = "compare 'keys' in list_request with an answer of the service"
            raise UnexpectedAnswerError(message, status=response.status, hint=hint)
        nodes = [child for node in nodes for child in _children(node, step)]
    texts = [node for node in nodes if isinstance(node, str)]
    if response.echoes is not None and response.echoes("\n".join(texts)):
        message = f"the answer has a secret of the request at {pointer}; it is not shown"
        hint = "take another text of the answer by 'keys' in list_request"
        raise UnexpectedAnswerError(message, status=response.status, hint=hint)
    return texts


def _leads_on(node: Any, step: str) -> bool:
    """Tell whether there is something to list; an empty list is, an error's document is not."""
    return isinstance(node, (dict, list)) if step == "*" else bool(_children(node, step))


def _children(node: Any, step: str) -> list[Any]:
    if step == "*":
        if isinstance(node, dict):
            return list(node.values())
        return node if isinstance(node, list) else []
    found = document.select(node, f"/{step}")
    return [] if found is document.MISSING else [found]
