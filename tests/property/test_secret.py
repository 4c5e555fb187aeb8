from __future__ import annotations

import base64
import json
import pickle
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_storage.secret import MASK, Redactor, SecretValue

if TYPE_CHECKING:
    from collections.abc import Callable

# Stars could make the mask itself a secret; that one the unit tests look at.
letters = st.characters(exclude_characters="*", exclude_categories=["Cs"])
anything = st.text()
secrets = st.text(letters, min_size=6)
short_secrets = st.text(letters, min_size=1, max_size=5)

spellings: list[Callable[[str], str]] = [
    str,
    quote,
    quote_plus,
    lambda text: quote(text, safe=""),
    lambda text: quote(quote(text, safe=""), safe=""),
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: repr(text.encode())[2:-1],
    lambda text: quote(text, safe="!'()*~"),
    # In HTML other numbers stand for other characters, or for none.
    lambda text: "".join(f"&#{ord(char)};" if char.isprintable() else char for char in text),
    lambda text: "".join(f"&#x{ord(char):X};" if char.isprintable() else char for char in text),
    lambda text: "".join(
        f"\\u{unit:04X}" for unit in memoryview(text.encode("utf-16-le")).cast("H")
    ),
]


@given(anything, secrets, anything, st.sampled_from(spellings))
def test_no_spelling_of_a_secret_stays(
    before: str, secret: str, after: str, spell: Callable[[str], str]
) -> None:
    """Wherever a secret stands and however it is spelled, it is not there afterwards."""
    shown = Redactor([SecretValue(secret)]).redact(before + spell(secret) + after)
    assert MASK in shown
    assert spell(secret) not in shown
    assert secret not in shown


@given(anything, short_secrets, anything, st.sampled_from(spellings))
def test_a_short_secret_leaves_nothing(
    before: str, secret: str, after: str, spell: Callable[[str], str]
) -> None:
    """Of a text with a secret that is too short to mask nothing recognizable is left."""
    shown = Redactor([SecretValue(secret)]).redact(before + spell(secret) + after)
    assert secret not in shown


@given(st.binary(), st.text(min_size=2), st.binary())
def test_no_base64_of_a_secret_stays(before: bytes, secret: str, after: bytes) -> None:
    """Base64 of anything that holds the secret is masked, as in basic authentication."""
    text = base64.b64encode(before + secret.encode() + after).decode()
    redactor = Redactor([SecretValue(secret)])
    assert MASK in redactor.redact(text)
    assert redactor.found_in(text)


@given(st.lists(secrets, max_size=4), anything)
def test_redaction_and_search_agree(values: list[str], text: str) -> None:
    """A text is changed when, and only when, a secret is found in it."""
    redactor = Redactor(map(SecretValue, values))
    assert redactor.found_in(text) is (redactor.redact(text) != text)


@given(st.lists(secrets, min_size=1, max_size=4), anything)
def test_a_redacted_text_is_redacted(values: list[str], text: str) -> None:
    """Redacting again finds nothing more."""
    redactor = Redactor(map(SecretValue, values))
    once = redactor.redact(text + "".join(values))
    assert once == redactor.redact(once)


@given(st.text(st.characters(exclude_categories=[])), st.text(st.characters(exclude_categories=[])))
def test_secrets_compare_like_their_texts(one: str, other: str) -> None:
    """Equality is that of the texts, even of such as cannot be encoded."""
    assert (one == other) is (SecretValue(one) == SecretValue(other))


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_can_be_a_secret(text: str) -> None:
    """Every text is kept, shown nowhere, refused to be pickled, and can be looked for."""
    value = SecretValue(text)
    assert text == value.reveal()
    assert (repr(value), str(value)) == ("<secret>", MASK)
    with pytest.raises(TypeError):
        pickle.dumps(value)
    assert Redactor([value]).found_in(f"-{text}-") is bool(text)
