"""The fields of a 1Password item, and how names are matched.

Facts: the schema ``FullItem`` of the OpenAPI description 1.7.1 of 1Password Connect; "Secret
reference syntax" of the 1Password developer documentation. Names count whatever their case, and an
id stands for a name. Nothing here raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from webhook_storage.contracts import Found, Invalid, NotFound, Outcome
from webhook_storage.document import spell
from webhook_storage.secret import SecretValue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Item: TypeAlias = "Mapping[str, Any]"
"""An item, or a part of one, as the server sent it."""

_NAMES = ("label", "id")


def named(rows: Any, keys: Sequence[str], name: str) -> list[Item]:
    """Return the rows with a name: spelled exactly so if there are any, else whatever their case.

    Args:
        rows: What the server listed; what is no object is passed over.
        keys: Where a row has its names.
        name: The one that is looked for.

    Example:
        >>> named([{"id": "1", "title": "App"}, {"id": "2", "title": "app"}], ["title"], "APP")
        [{'id': '1', 'title': 'App'}, {'id': '2', 'title': 'app'}]
        >>> named([{"id": "1", "title": "App"}, {"id": "2", "title": "app"}], ["title"], "app")
        [{'id': '2', 'title': 'app'}]
    """
    pairs = [(row, [str(row.get(key) or "") for key in keys]) for row in _objects(rows)]
    exact = [row for row, names in pairs if name in names]
    folded = name.casefold()
    return exact or [row for row, names in pairs if folded in map(str.casefold, names)]


def field_of_item(item: Item, section: str | None, field: str, *, otp: bool = False) -> Outcome:
    """Return one field of an item.

    Args:
        item: With its fields.
        section: Label or id of the section; with None a field in no section goes before others.
        field: Label or id.
        otp: Whether only a one-time password will do.
    """
    fields = _objects(item.get("fields"))
    if section is not None:
        wanted = {each.get("id") for each in named(_parts(item, "sections"), _NAMES, section)}
        if not wanted:
            return NotFound("the item has no such section")
        fields = [each for each in fields if _section_id(each) in wanted]
    found = named(fields, _NAMES, field)
    if section is None and len(found) > 1:
        found = [each for each in found if not _section_of(item, each)] or found
    if not found:
        return NotFound("the item has no such field")
    if len(found) > 1:
        return Invalid("several fields have this name, name the section too or use the field's id")
    return _value_of(item, found[0], otp=otp)


def whole(item: Item) -> Outcome:
    """Return all fields with a value as an object, from which the caller selects one.

    A label that several fields have is spelled with the section. One-time passwords are left out,
    since they would be kept too long.
    """
    fields = [each for each in _parts(item, "fields") if not _is_otp(each) and each.get("value")]
    labels = [_label(each) for each in fields]
    values = {
        label if labels.count(label) == 1 else f"{_section_of(item, each)}/{label}": each["value"]
        for each, label in zip(fields, labels, strict=True)
    }
    text = spell(values)
    if text is None:
        return Invalid("the item is no text")
    return Found(value=SecretValue(text), structured=True, version=_version(item))


def _value_of(item: Item, field: Item, *, otp: bool) -> Outcome:
    """Return the value of a field; of a one-time password the digits, and never the seed."""
    if otp and not _is_otp(field):
        return Invalid("the field is no one-time password")
    value = field.get("totp" if _is_otp(field) else "value")
    if value is None:
        return NotFound("the field has no value")
    text = spell(value)
    if text is None:
        return Invalid("the field is no text")
    lifetime = 0 if _is_otp(field) else None
    return Found(value=SecretValue(text), version=_version(item), lifetime=lifetime)


def _is_otp(field: Item) -> bool:
    return bool(field.get("type") == "OTP")


def _version(item: Item) -> str | None:
    version = item.get("version")
    return None if version is None else str(version)


def _label(field: Item) -> str:
    """Return what 1Password calls a field: its label, or the id where that is empty."""
    return str(field.get("label") or field.get("id"))


def _section_of(item: Item, field: Item) -> str:
    """Return the label of a field's section; empty for none, and for one without a label."""
    inside = _section_id(field)
    sections = [each for each in _parts(item, "sections") if each.get("id") == inside]
    return str(sections[0].get("label") or "") if inside and sections else ""


def _section_id(field: Item) -> Any:
    section = field.get("section")
    return section.get("id") if isinstance(section, dict) else None


def _parts(item: Item, name: str) -> list[Item]:
    return _objects(item.get(name))


def _objects(rows: Any) -> list[Item]:
    """Return what is an object in a list, nothing when there is no list."""
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
