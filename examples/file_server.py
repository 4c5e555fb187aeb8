"""Send a large file to a file server and get it back, without holding it in memory.

Run it as it is: it starts the server of ``webhook-storage serve`` in a directory that it removes
again. For a server of your own leave that part out, and set SERVER_URL and SERVER_PASSWORD.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from webhook_storage import Webhook
from webhook_storage.errors import AuthenticationError
from webhook_storage.server import Server

SIZE = 32 * 1024 * 1024
PLACE = {
    "url": "${SERVER_URL}/backups/${artifact.key}",
    "auth": ["user", "${SERVER_PASSWORD}"],
    "timeout": [5, 60],
}


def main() -> None:
    """Serve a directory, and store a file there."""
    with tempfile.TemporaryDirectory() as name, Server(name) as server:
        os.environ["SERVER_URL"], os.environ["SERVER_PASSWORD"] = server.url, server.password
        send_and_fetch(Path(name))
        os.environ["SERVER_PASSWORD"] = "a wrong one"  # noqa: S105 - that is the point
        try:
            Webhook(PLACE, "PUT", PLACE, "GET").get("database.dump")
        except AuthenticationError as error:
            print("refused:", error)


def send_and_fetch(folder: Path) -> None:
    """Store a file, and compare what comes back with the receipt."""
    source, target = folder / "source", folder / "target"
    source.write_bytes(os.urandom(SIZE))
    storage = Webhook(PLACE, "PUT", PLACE, "GET")
    receipt = storage.put(source, key="database.dump")
    print("stored", receipt.size, "bytes, sha256", receipt.sha256[:12])
    print("fetched", storage.download(target, receipt), "bytes, the same ones")


if __name__ == "__main__":
    main()
