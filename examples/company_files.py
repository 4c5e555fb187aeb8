"""Store files on a company's own service, which wants an access token of OAuth 2.0.

Set FILES_URL and TOKEN_URL, and the credentials of the client in CLIENT_ID and CLIENT_SECRET. The
first request gets a token, which the others use too.
"""

from __future__ import annotations

import os

from webhook_storage import Sender
from webhook_storage.errors import AuthenticationError
from webhook_storage_presets.http_file import HttpFile

LOGIN = {
    "type": "oauth2_client_credentials",
    "token_url": "${TOKEN_URL}",
    "client_id": "${CLIENT_ID}",
    "client_secret": "${CLIENT_SECRET}",
    "scope": "files",
}
REPORTS = HttpFile(url="${FILES_URL}/reports", auth=LOGIN)


def main() -> None:
    """Store, fetch and delete a report, and be refused."""
    with Sender():
        receipt = REPORTS.put(b"three rows", key="march.csv")
        print("stored", receipt.size, "bytes")
        print("fetched", REPORTS.get(receipt).decode())
        REPORTS.delete("march.csv")
        print("there is one:", REPORTS.exists("march.csv"))
    os.environ["CLIENT_SECRET"] = "a wrong one"  # noqa: S105 - that is the point
    with Sender():  # another one, which has no token yet
        try:
            REPORTS.get("march.csv")
        except AuthenticationError as error:
            print("refused:", error)


if __name__ == "__main__":
    main()
