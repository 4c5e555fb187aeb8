"""Write Swift's rings, one device each: swift_rings.py DIRECTORY KIND=PORT...

Runs in the servers' environment, and in one process, because each call of Swift's own
ring builder costs a third of a second.
"""

from __future__ import annotations

import sys
from pathlib import Path

from swift.common.ring import RingBuilder


def main(directory: str, *rings: str) -> None:
    """Build and save a ring for each kind of server."""
    for ring in rings:
        kind, port = ring.split("=")
        builder = RingBuilder(4, 1, 0)
        builder.add_dev(
            {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1"}
            | {"weight": 1.0, "replication_ip": "127.0.0.1", "replication_port": int(port)}
        )
        builder.rebalance()
        builder.get_ring().save(str(Path(directory) / f"{kind}.ring.gz"))


if __name__ == "__main__":
    main(*sys.argv[1:])
