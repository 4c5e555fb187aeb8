"""What an artifact goes through between its source and the request: compression, then encryption.

Rule: what was asked for is done or refused. Nothing is looked at to guess how it was stored, and
nothing is handed on before it is known to be what was stored.
"""

from __future__ import annotations

from webhook_storage.stages.coding import DecodingSink, decode, encode
from webhook_storage.stages.compression import Compression
from webhook_storage.stages.header import Header, read_header

__all__ = ["Compression", "DecodingSink", "Header", "decode", "encode", "read_header"]
