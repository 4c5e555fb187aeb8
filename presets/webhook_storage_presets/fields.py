"""Fields that are the same in all presets. Each preset says what is the default."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from webhook_storage_presets.keys import check_key

Key: TypeAlias = Annotated[
    str | None,
    AfterValidator(check_key),
    Field(
        description="Template of an artifact's key there, for example "
        "flows/${flow.slug}/${build.time}; by default that for a flow, and ${artifact.key} for an "
        "artifact."
    ),
]
Timeout: TypeAlias = Annotated[
    tuple[float, float], Field(description="Seconds to connect, and to wait for each piece.")
]
Verify: TypeAlias = Annotated[
    bool | str, Field(description="Path of a CA bundle that is trusted as well; False is unsafe.")
]
AllowHttp: TypeAlias = Annotated[
    bool, Field(description="Whether it may go unencrypted to another machine.")
]
