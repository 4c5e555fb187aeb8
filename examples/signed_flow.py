"""Store a flow with one program, and run it with another that trusts the signer's key.

Run it as it is. The worker is a process of its own: it has the definition and the key, and refuses
a flow that somebody else put in the same place.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

from webhook_storage import Webhook

WORKER = """
import sys
from pathlib import Path
from webhook_storage import Storage
from webhook_storage.errors import TrustError

storage = Storage.from_json(Path(sys.argv[1]).read_text())
try:
    print("worker:", storage.get_flow("greeting")("worker"))
except TrustError as error:
    print("worker refuses:", error)
"""


def greeting(name: str) -> str:
    """Greet somebody: the flow that is stored here."""
    return f"hello {name}"


def main() -> None:
    """Store, run, and let a stranger replace what is stored."""
    os.environ["FLOW_KEY"] = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        definition = folder / "storage.json"
        place = {"url": f"{folder.as_uri()}/flows/${{flow.slug}}"}
        keys = {"2025-03": "${FLOW_KEY}"}

        # The worker's definition is written first: it has no receipt, and goes by the key alone.
        flows = {"greeting": "greeting"}
        worker = Webhook(place, "PUT", place, "GET", flows=flows, signing_keys=keys)
        definition.write_text(worker.to_json())

        store(Webhook(place, "PUT", place, "GET", signing_keys=keys))
        run_worker(definition)
        store(Webhook(place, "PUT", place, "GET"))
        run_worker(definition)


def store(storage: Webhook) -> None:
    """Store the flow by a storage that signs, or one that does not."""
    storage.add_flow(greeting)
    storage.build()
    print("stored", "with" if storage.signing_keys else "without", "a signature")


def run_worker(definition: Path) -> None:
    """Run the flow in a new process."""
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", WORKER, str(definition)], check=True)  # noqa: S603 - ours


if __name__ == "__main__":
    main()
