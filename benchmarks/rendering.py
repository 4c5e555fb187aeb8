"""Filling a request with three secrets, against `string.Template` on the same texts.

`string.Template` inserts; it neither encodes a value for its place nor refuses one. The ratio is
the price of that, and no promise is made about it.
"""

from __future__ import annotations

from string import Template

from benchmarks.figures import Figure, interleaved
from webhook_storage.contracts import Request
from webhook_storage.render import render
from webhook_storage.secret import SecretValue
from webhook_storage.template import Reference
from webhook_storage.values import Values

_URL = "https://files.example.com/flows/daily?signature=${SIGNATURE}"
_HEADERS = {
    "Authorization": "Bearer ${TOKEN}",
    "X-Arguments": '{"path": "/flows/daily", "owner": "${OWNER}"}',
    "Content-Type": "application/octet-stream",
}
_SECRETS = {
    "SIGNATURE": "0123456789abcdef",
    "TOKEN": "abcDEF0123456789-_.~abcDEF0123456789",
    "OWNER": "team-seven",
}


def measure() -> list[Figure]:
    """Compare both on one request."""
    request = Request(method="PUT", url=_URL, headers=_HEADERS)
    found = {Reference(name): SecretValue(text) for name, text in _SECRETS.items()}
    values = Values(found, {})
    templates = [Template(text) for text in (_URL, *_HEADERS.values())]
    actions = {
        "ours": lambda: render(request, values.lookup),
        "plain": lambda: [template.substitute(_SECRETS) for template in templates],
    }
    taken = interleaved(actions, rounds=2000, runs=7)
    note = f"{taken['ours'] * 1e6:.0f} us, string.Template {taken['plain'] * 1e6:.0f} us"
    ratio = taken["ours"] / taken["plain"]
    return [Figure(name="render 3 secrets / string.Template", value=ratio, note=note)]
