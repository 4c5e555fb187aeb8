"""How a storage says who sends its requests, in plain data with placeholders.

A kind is found by the `type` that a definition names, by entry point, so that a company's own can
be named like ours.

Example:
    >>> find({"type": "bearer", "token": "${TOKEN}"})
    Bearer(type='bearer', token='${TOKEN}')
"""

from __future__ import annotations

from webhook_storage.auth.description import AnyAuth, AuthModel, SecretText, find

__all__ = ["AnyAuth", "AuthModel", "SecretText", "find"]
