"""A value made safe for the place where it lands.

Rule: a value fills its place and changes nothing around it. What would is refused, with the
placeholder's name and never with the value. Nothing is chained to an error that was raised here.
"""

from __future__ import annotations

from webhook_storage.place.texts import (
    cookie,
    form_value,
    header,
    json_value,
    password,
    pem_file,
    plain,
    query_value,
    text_body,
    user,
)
from webhook_storage.place.urls import check_url, url

__all__ = [
    "check_url",
    "cookie",
    "form_value",
    "header",
    "json_value",
    "password",
    "pem_file",
    "plain",
    "query_value",
    "text_body",
    "url",
    "user",
]
