"""Faults that only somebody who understands HTTP can make; mitmdump loads this file.

A request for `/SERIAL/FAULT/PORT/PATH` goes to `/PATH` on that loopback port. FAULT is a name and
its arguments, with commas between:

- `pass`: nothing is changed
- `busy,STATUS,TIMES,WISH`: so many requests are answered so; WISH is what `Retry-After`
  says: `seconds`, `date`, `past`, `future`, `none`
- `kill,TIMES`: so many connections are closed instead of an answer, before the server is asked
- `alter-up`, `alter-down`: one byte in the middle of the body is another one
- `length-up,MORE`, `length-down,MORE`: `Content-Length` is by so many bytes too large, or too small
- `chunked`: the answer comes in chunks; `unframed`: it ends with the connection
- `gzip`: the answer is compressed, whether that was asked for or not
- `seen`: tells what came under this serial number
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from email.utils import formatdate
from typing import TYPE_CHECKING

from mitmproxy import http  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3600.0
WISHES: dict[str, Callable[[], str]] = {
    "seconds": lambda: "1",
    "date": lambda: formatdate(time.time() + 1, usegmt=True),
    "past": lambda: formatdate(time.time() - HOUR, usegmt=True),
    "future": lambda: formatdate(time.time() + 24 * HOUR, usegmt=True),
}


class Faults:
    """Counts requests by serial number, and spoils them."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self.sizes: dict[str, list[int]] = defaultdict(list)

    def request(self, flow: http.HTTPFlow) -> None:
        """Answer, or send on with the fault in the request."""
        _, serial, fault, port, path = flow.request.path.split("/", 4)
        name, *arguments = fault.split(",")
        if name == "seen":
            sizes = self.sizes[serial]
            told = json.dumps({"requests": len(sizes), "sizes": sizes})
            flow.response = http.Response.make(200, told)
            return
        self.sizes[serial].append(len(flow.request.content))
        flow.metadata["fault"] = name, arguments, len(self.sizes[serial])
        flow.request.host, flow.request.port, flow.request.path = "127.0.0.1", int(port), f"/{path}"
        if name == "busy" and self._counts(flow, int(arguments[1])):
            status, _, wish = arguments
            headers = {"Retry-After": WISHES[wish]()} if wish in WISHES else {}
            flow.response = http.Response.make(int(status), b"busy", headers)
        if name == "kill" and self._counts(flow, int(arguments[0])):
            flow.kill()
        if not flow.request.content:
            return
        if name == "alter-up":
            flow.request.content = altered(flow.request.content)
        if name == "length-up":
            stretch(flow.request, int(arguments[0]))
            # What is sent beyond the announced length would be the beginning of the next request.
            flow.request.headers["Connection"] = "close"

    def response(self, flow: http.HTTPFlow) -> None:
        """Send back with the fault in the answer."""
        if "fault" not in flow.metadata:
            return
        name, arguments, _ = flow.metadata["fault"]
        if name == "alter-down":
            flow.response.content = altered(flow.response.content)
        if name == "length-down":
            stretch(flow.response, int(arguments[0]))
        if name in {"chunked", "unframed"}:
            flow.response.headers.pop("Content-Length", None)
        if name == "chunked":
            flow.response.headers["Transfer-Encoding"] = "chunked"
        if name == "gzip":
            flow.response.encode("gzip")

    def _counts(self, flow: http.HTTPFlow, times: int) -> bool:
        number: int = flow.metadata["fault"][2]
        return number <= times


def altered(content: bytes) -> bytes:
    """Return content with one byte in its middle changed."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def stretch(message: http.Message, more: int) -> None:
    """Announce another length than there is."""
    message.headers["Content-Length"] = str(len(message.content) + more)


addons = [Faults()]
