"""What services that speak S3 do otherwise than Amazon's.

Source: the vendors' documentation of their S3 interfaces. What nobody documents counts as not
there, above all conditions on a store: a service that does not know them stores all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Name: TypeAlias = Literal[
    "aws", "minio", "r2", "b2", "ceph", "swift", "wasabi", "gcs", "rclone", "other"
]

GIBI = 1024**3
TEBI = 1024**4


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one of them does.

    Attributes:
        conditions: Whether it holds ``If-None-Match`` and ``If-Match`` of a store.
        checksums: Whether it takes ``x-amz-checksum-sha256`` along, and compares it.
        compares: Whether it refuses a body with another SHA-256 than its signature says.
        versions: Whether it keeps older versions, and gives one by ``versionId``.
        region: The region that its signatures name, where the user says none.
        largest_part: Most bytes of one request.
        largest: Most bytes of one object.
    """

    conditions: bool = False
    checksums: bool = False
    compares: bool = False
    versions: bool = False
    region: str = "us-east-1"
    largest_part: int = 5 * GIBI
    largest: int = 5 * TEBI


PROFILES: dict[Name, Profile] = {
    "aws": Profile(conditions=True, checksums=True, compares=True, versions=True),
    "minio": Profile(conditions=True, compares=True, versions=True),
    "r2": Profile(
        conditions=True,
        region="auto",
        largest_part=int(4.995 * GIBI),
        largest=int(4.995 * TEBI),
    ),
    "b2": Profile(versions=True),
    "ceph": Profile(versions=True),
    "swift": Profile(compares=True),
    "wasabi": Profile(versions=True),
    "gcs": Profile(region="auto"),
    "rclone": Profile(),
    "other": Profile(),
}
