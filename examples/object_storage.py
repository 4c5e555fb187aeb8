"""Store a flow on a service that speaks S3, and run it in another process.

Set S3_ENDPOINT, S3_KEY_ID and S3_SECRET_KEY, and make a bucket named ``workflows`` there. For
Amazon's own service leave out endpoint and keys, which are then those of this machine.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from webhook_storage_presets.s3 import S3

WORKER = """
import sys
from pathlib import Path
from webhook_storage import Storage

storage = Storage.from_json(Path(sys.argv[1]).read_text())
print("worker:", storage.get_flow("greeting")("worker"))
"""


def greeting(name: str) -> str:
    """Greet somebody: the flow that is stored here."""
    return f"hello {name}"


def main() -> None:
    """Store the flow, and give a worker the definition, in which no credential is."""
    storage = S3(
        bucket="workflows",
        endpoint="${S3_ENDPOINT}",
        access_key_id="${S3_KEY_ID}",
        secret_access_key="${S3_SECRET_KEY}",  # noqa: S106 - the name of one
    )
    storage.add_flow(greeting)
    storage.build()
    print("stored", storage.list()[-1].partition("/")[0])
    with tempfile.TemporaryDirectory() as folder:
        definition = Path(folder, "storage.json")
        definition.write_text(storage.to_json())
        subprocess.run([sys.executable, "-c", WORKER, str(definition)], check=True)  # noqa: S603 - ours


if __name__ == "__main__":
    main()
