"""Secrets given in code."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest

from tests.resolvers.places.mapping import mapping
from webhook_storage.contracts import Deadline, Found, Invalid, NotFound, Outcome
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, ResolverSuite
from webhook_storage_resolvers.mapping import MappingResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestMappingSuite(ResolverSuite):
    """The promises of every resolver."""

    @pytest.fixture
    def case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResolverCase]:
        """Start the place."""
        with mapping(tmp_path, monkeypatch) as case:
            yield case


def ask(resolver: MappingResolver, reference: Reference) -> Outcome:
    """Ask for one reference."""
    return resolver.resolve([reference], Deadline(1))[reference]


def test_known_and_unknown_names() -> None:
    """What is in the dictionary is found, and nothing else."""
    resolver = MappingResolver({"A": "value", "B": SecretValue("wrapped")})
    assert ask(resolver, Reference("A")) == Found(value=SecretValue("value"))
    assert ask(resolver, Reference("B", "mapping")) == Found(value=SecretValue("wrapped"))
    assert ask(resolver, Reference("a")) == NotFound()


def test_later_changes_of_the_dictionary_are_not_seen() -> None:
    """The resolver keeps wrapped values, not the caller's dictionary."""
    values = {"A": "first"}
    resolver = MappingResolver(values)
    values["A"] = "second"
    assert ask(resolver, Reference("A")) == Found(value=SecretValue("first"))


def test_options_are_refused() -> None:
    """An option that means nothing is not ignored."""
    reference = Reference("A", "mapping", options=(("version", "1"),))
    assert ask(MappingResolver({"A": "value"}), reference) == Invalid(
        'has no option "version", it takes none'
    )


def test_values_are_not_shown() -> None:
    """Neither the representation nor the attributes show a value."""
    resolver = MappingResolver({"A": "CANARY-mapping"})
    assert repr(resolver) == "MappingResolver(values={'A': <secret>})"
    assert "CANARY" not in str(vars(resolver))


def test_pickling_is_refused() -> None:
    """The values cannot leave the process, and the error does not show them either."""
    with pytest.raises(TypeError, match="holds secrets") as caught:
        pickle.dumps(MappingResolver({"A": "CANARY-mapping"}))
    assert "CANARY" not in str(caught.value)


def test_copies_are_the_same() -> None:
    """Copying copies no value."""
    resolver = MappingResolver({"A": "value"})
    assert copy.copy(resolver) is resolver
    assert copy.deepcopy([resolver])[0] is resolver
