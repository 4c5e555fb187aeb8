"""Store and fetch anything on any HTTP file service, with secrets that only the request sees.

Example:
    >>> import webhook_storage as ws
    >>> place = {"url": "https://files.example.com/${artifact.key}", "auth": ("me", "${PASSWORD}")}
    >>> storage = ws.Webhook(place, "PUT", place, "GET")
    >>> ws.Storage.from_json(storage.to_json()) == storage
    True
"""

from __future__ import annotations

from webhook_storage.errors import LiteralSecretWarning, WebhookStorageError
from webhook_storage.network import Network
from webhook_storage.receipt import Receipt, Stat
from webhook_storage.retry import RetryPolicy
from webhook_storage.sender import Sender, current_sender
from webhook_storage.storage import Storage
from webhook_storage.webhook import Webhook

__all__ = [
    "LiteralSecretWarning",
    "Network",
    "Receipt",
    "RetryPolicy",
    "Sender",
    "Stat",
    "Storage",
    "Webhook",
    "WebhookStorageError",
    "current_sender",
]
