"""Keys of objects: in a URL, and read backwards from a listing."""

from __future__ import annotations

import pytest

from webhook_storage.errors import ConfigurationError
from webhook_storage_presets.keys import (
    Listed,
    check_facts,
    check_key,
    facts_of,
    filled,
    in_segment,
    in_url,
    key_of,
)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a", "a"),
        ("a b/+é%/~.-_", "a%20b/%2B%C3%A9%25/~.-_"),
        ("${artifact.key}", "${artifact.key|path}"),
        ("x/${flow.slug}/${build.time}", "x/${flow.slug|urlencode}/${build.time|urlencode}"),
        ("$<flow.name>.bin", "${flow.name|path}.bin"),
        ("$$5/${TEAM:-none}/${artifact.key}", "%245/${TEAM:-none|urlencode}/${artifact.key|path}"),
        ("${TEAM:?say which}/a", "${TEAM:?say which|urlencode}/a"),
    ],
)
def test_a_key_in_a_url(key: str, path: str) -> None:
    """What is written is encoded here, what is filled in by a filter, slashes of a key kept."""
    assert path == in_url(key)


@pytest.mark.parametrize(
    ("key", "segment"),
    [
        ("a b/+é%/~.-_", "a%20b%2F%2B%C3%A9%25%2F~.-_"),
        ("x/${artifact.key}", "x%2F${artifact.key|urlencode}"),
        ("$$5${TEAM:-a/b|strip}", "%245${TEAM:-a/b|strip|urlencode}"),
    ],
)
def test_a_key_in_a_segment(key: str, segment: str) -> None:
    """Its slashes are encoded too."""
    assert segment == in_segment(key)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("$$/${artifact.key}", "$/a b"),
        ("${artifact.key|urlencode}", "a%20b"),
        ("${flow.name}/${TEAM|base64decode}", "x/x"),
        ("${flow.name:-none}", "x"),
    ],
)
def test_a_key_to_look_at(key: str, name: str) -> None:
    """With what is known, and a letter for the rest."""
    assert name == filled(key, {"artifact.key": "a b"})


@pytest.mark.parametrize(
    "key",
    ["", "a/", "a/../b", "./a", "${A}/../b", "a\n/${artifact.key}", "\x7f", "a\0b", "a\ud800"],
)
def test_keys_that_no_object_has(key: str) -> None:
    """They would be a folder, or lead elsewhere."""
    with pytest.raises(ValueError, match="it"):
        check_key(key)


def test_the_usual_key_is_that_of_its_kind() -> None:
    """A flow has its slug and the time, an artifact its own key."""
    assert "${artifact.key}" == key_of(None, {"artifact.key": "a"})
    assert "${flow.slug}/${build.time}" == key_of(None, {"artifact.key": "a", "flow.slug": "a"})
    assert "x" == key_of("x", {"flow.slug": "a"})
    assert {"flow.slug", "build.time", "artifact.key"} == facts_of(None)
    assert {"artifact.sha256"} == facts_of("by/${artifact.sha256}")


@pytest.mark.parametrize("value", ["a\nb", "a\0", "\x7f", "a/../b", ".", "a/./b"])
def test_values_that_no_key_can_hold(value: str) -> None:
    """They are refused by name, and not shown."""
    with pytest.raises(ConfigurationError, match=r"\$\{artifact.key\} has a") as caught:
        check_facts("x/${artifact.key}", {"artifact.key": value})
    assert value not in str(caught.value) or value == "."
    assert "key" == caught.value.path


def test_a_key_by_another_name() -> None:
    """Errors name the field that the storage has."""
    with pytest.raises(ConfigurationError) as caught:
        check_facts("${artifact.key}", {"artifact.key": ".."}, field="path")
    paths = [caught.value.path]
    for key in ("fixed", "${artifact.key|urlencode}"):
        with pytest.raises(ConfigurationError) as caught:
            Listed(key, field="path")
        paths.append(caught.value.path)
    assert ["path"] * 3 == paths


@pytest.mark.parametrize(
    ("key", "prefix", "names", "keys"),
    [
        (None, "", ["a", "b/c"], ["a", "b/c"]),
        ("data/${artifact.key}.bin", "data/", ["data/a.bin", "data/b.txt", "a.bin"], ["a"]),
        ("data/x-${artifact.key}", "data/", ["data/x-a", "data/y-a"], ["a"]),
        ("${TEAM}/x/${artifact.key}", "${TEAM}/x/", ["any/x/a"], ["a"]),
        (
            "${flow.slug}/${build.time}",
            "",
            ["hello/2026-11-21t17-00-14-123456z", "hello/other"],
            ["hello"],
        ),
        ("${artifact.key}/${artifact.key}", "", ["a/a", "a/b"], ["a"]),
        ("by/${build.uuid}/${artifact.key}", "by/", ["by/no/a"], []),
    ],
)
def test_keys_out_of_a_list(
    key: str | None, prefix: str, names: list[str], keys: list[str]
) -> None:
    """Of what this storage may have stored, and of nothing else."""
    listed = Listed(key)
    assert (prefix, keys) == (listed.prefix, listed.keys(names))


@pytest.mark.parametrize("key", ["fixed", "${artifact.sha256}", "${artifact.key|urlencode}"])
def test_keys_that_cannot_be_read_backwards(key: str) -> None:
    """Said before anything is asked for."""
    with pytest.raises(ConfigurationError):
        Listed(key)


def test_a_service_that_is_blind_to_case() -> None:
    """It may spell a folder in another way than it was stored."""
    assert ["A"] == Listed("data/${artifact.key}", ignore_case=True).keys(["DATA/A"])
    assert [] == Listed("data/${artifact.key}").keys(["DATA/A"])
