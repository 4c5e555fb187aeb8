"""Asking for an artifact without taking it."""

from __future__ import annotations

from tests.fakes.files import FileService
from tests.fakes.http import Answer
from webhook_storage import Webhook


def test_a_server_without_head_and_ranges_need_not_send_it_all() -> None:
    """Where HEAD is refused and the range ignored, the answer's head is enough."""
    with FileService() as service:
        place = {"url": f"{service.url}/${{artifact.key}}"}
        storage = Webhook(place, "PUT", place, "GET")
        storage.put(bytes(3 * 1024 * 1024), "large")
        service.inject(Answer(405), times=1)

        assert storage.exists("large")
        assert ["PUT", "HEAD", "GET"] == [request.method for request in service.requests]
