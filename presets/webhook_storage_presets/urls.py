"""URLs of services, to which paths are added."""

from __future__ import annotations

from webhook_storage import origin
from webhook_storage.template import parse


def check_base_url(text: str, example: str) -> str:
    """Return the template of a service's URL, without a slash at its end.

    Without a host the first part of what is added would be one, and get the credential.

    Args:
        text: The template; a placeholder at its beginning stands for scheme and host.
        example: A right one, for the message.

    Raises:
        ValueError: It is no URL of http or https, or what is added would not be its path.

    Example:
        >>> check_base_url("${BASE}/artifactory/", "https://host/artifactory")
        '${BASE}/artifactory'
    """
    parts = parse(text).parts
    whole = bool(parts) and not isinstance(parts[0], str)
    shown = "".join(part if isinstance(part, str) else "x" for part in parts)
    there = origin.origin(f"https://{shown}" if whole else shown)
    if there.scheme not in {"http", "https"} or not there.host or set("?#;") & set(shown):
        message = f"it is a URL with a host and without a query, for example {example}"
        raise ValueError(message)
    return text.rstrip("/")
