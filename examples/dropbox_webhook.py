"""Keep a flow on Dropbox by two plain HTTP requests, and run it from its definition elsewhere.

Run it with an access token in the environment variable DBOX_OAUTH2_TOKEN. The definition that is
printed holds the name of that variable and never the token.
"""

from __future__ import annotations

import json

from webhook_storage import Storage, Webhook


def word_count(text: str) -> int:
    """Count the words of a text: the flow that is stored here."""
    return len(text.split())


def dropbox(folder: str) -> Webhook:
    """Return a storage that keeps each flow in a file of a Dropbox folder."""
    place = folder + "/${flow.slug}.flow"
    token = {"Authorization": "Bearer ${DBOX_OAUTH2_TOKEN}"}
    upload = json.dumps({"path": place, "mode": "overwrite", "mute": True})
    download = json.dumps({"path": place})
    return Webhook(
        build_request_kwargs={
            "url": "https://content.dropboxapi.com/2/files/upload",
            "headers": {
                **token,
                "Content-Type": "application/octet-stream",
                "Dropbox-API-Arg": upload,
            },
        },
        build_request_http_method="POST",
        get_flow_request_kwargs={
            "url": "https://content.dropboxapi.com/2/files/download",
            "headers": {**token, "Dropbox-API-Arg": download},
        },
        get_flow_request_http_method="POST",
        captures={"rev": "json:/rev"},
        idempotent=True,
    )


def main() -> None:
    """Store the flow, then run it as another process would that has only the definition."""
    storage = dropbox("/Apps/flows")
    storage.add_flow(word_count)
    definition = storage.build().to_json()
    print(definition)

    flow = Storage.from_json(definition).get_flow("word_count")
    print(flow("stored once and run anywhere"), "words")


if __name__ == "__main__":
    main()
