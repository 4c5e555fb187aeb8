"""URLs of services, to which paths are added."""

from __future__ import annotations

import pytest

from webhook_storage_presets.urls import check_base_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTP://example.com:8081/a//", "HTTP://example.com:8081/a"),
        ("${BASE}/a/", "${BASE}/a"),
        ("https://example.com/${TEAM}", "https://example.com/${TEAM}"),
        ("https://[::1]/a", "https://[::1]/a"),
    ],
)
def test_a_path_can_be_added(text: str, url: str) -> None:
    """No slash is left at the end."""
    assert url == check_base_url(text, "https://host")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https:///a",
        "example.com",
        "/a",
        "ftp://example.com",
        "file:///a",
        "https://example.com?a=b",
        "https://example.com/#a",
        "https://example.com/a;b",
        "https://a b",
        "${BASE}?a",
        "https://example.com\n",
    ],
)
def test_what_is_added_would_not_be_a_path(text: str) -> None:
    """It could be the host, to which the credential goes, or a part of a query."""
    with pytest.raises(ValueError, match="with a host and without a query, for example https://h"):
        check_base_url(text, "https://h")
