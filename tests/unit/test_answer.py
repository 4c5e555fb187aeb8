from __future__ import annotations

import pytest

from webhook_storage.answer import Receiver, Reply, refusal
from webhook_storage.artifact import MemorySink
from webhook_storage.contracts import Deadline, Request
from webhook_storage.download import Download
from webhook_storage.errors import ProtocolError, ResponseError, TimedOutError
from webhook_storage.secret import Redactor


def received(content: bytes, *, status: int = 200, **headers: str) -> Reply:
    """Return what a receiver makes of an answer."""
    sink = MemorySink()
    request = Request(method="GET", url="https://files.example.com/k", sink=sink)
    receiver = Receiver(request, download=Download(sink))
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    receiver.begin(status, named)
    receiver.take(content)
    return receiver.end()


@pytest.mark.parametrize("length", ["3", "5", "0", "99999999999999999999999"])
def test_an_answer_has_its_announced_length(length: str) -> None:
    """A transport that does not count is counted for."""
    with pytest.raises(ProtocolError, match="broke off: 4 of"):
        received(b"four", content_length=length)
    assert 4 == received(b"four", content_length="4").size


@pytest.mark.parametrize("length", ["", "four", "-1", "²"])
def test_what_is_no_length_announces_nothing(length: str) -> None:
    """A length that is none is not compared with anything."""
    assert 4 == received(b"four", content_length=length).size


@pytest.mark.parametrize(("status", "good"), [(200, True), (203, True), (404, False)])
def test_a_checksum_counts_where_the_artifact_comes(status: int, *, good: bool) -> None:
    """An artifact that a proxy has changed by its own word, and an error, are not compared."""
    wrong = {"x_checksum_md5": "00" * 16}
    if status == 200:
        with pytest.raises(ProtocolError, match="X-Checksum-Md5"):
            received(b"four", status=status, **wrong)
    else:
        assert good == received(b"four", status=status, **wrong).good


def test_an_operation_has_its_time() -> None:
    """However slowly an answer comes, it ends with its operation."""
    request = Request(method="GET", url="https://files.example.com/k")
    receiver = Receiver(request, deadline=Deadline(0))
    receiver.begin(200, [])
    with pytest.raises(TimedOutError, match="took longer"):
        receiver.take(b"four")


def test_a_status_without_a_name() -> None:
    """A status that nobody has registered is told by its number."""
    request = Request(method="GET", url="https://files.example.com/k")
    reply = received(b"", status=499)
    error = refusal(request, reply, ["499"], Redactor([]))
    assert isinstance(error, ResponseError)
    assert "GET https://files.example.com/k answered 499" == str(error)
    assert ("499",) == error.history
