"""What tests of storages and resolvers need: a transport without a network, a canary, contracts.

Rule: nothing here knows a test framework; a check that fails raises `AssertionError`.
"""

from __future__ import annotations

from webhook_storage.testing.case import ResolverCase
from webhook_storage.testing.leaks import canary, find_leaks
from webhook_storage.testing.preset_case import PresetCase
from webhook_storage.testing.presets import PresetSuite, preset_suite
from webhook_storage.testing.resolvers import ResolverSuite, resolver_suite
from webhook_storage.testing.transport import Answer, FakeTransport, SentRequest

__all__ = [
    "Answer",
    "FakeTransport",
    "PresetCase",
    "PresetSuite",
    "ResolverCase",
    "ResolverSuite",
    "SentRequest",
    "canary",
    "find_leaks",
    "preset_suite",
    "resolver_suite",
]
