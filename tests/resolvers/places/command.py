"""A program that prints secrets, as a company might have written it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.resolvers.command_programs import write_program
from tests.resolvers.places import without_proxies
from webhook_storage.template import Reference
from webhook_storage.testing import ResolverCase, canary
from webhook_storage_resolvers.command import CommandResolver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.resolvers.places import Environment

SAFE = """#!/bin/sh
# Prints the secret with the name $2, to those who have the token.
echo "$2" >>"$SAFE_HOME/asked"
test "$SAFE_TOKEN" = "$(cat "$SAFE_HOME/token")" || exit 3
test "$1" = -- && test -n "$2" || exit 64
test -f "$SAFE_HOME/secrets/$2" || exit 4
exec cat "$SAFE_HOME/secrets/$2"
"""


@contextmanager
def command(tmp_path: Path, environment: Environment) -> Iterator[ResolverCase]:
    """Put a program named ``safe`` on the path, with one secret in it and the token to read it."""
    without_proxies(environment, "SAFE_")
    home, value, token = tmp_path / "safe-home", canary(), canary()
    (home / "secrets" / "team").mkdir(parents=True)
    (home / "secrets" / "team" / "app").write_text(f"{value}\n")
    (home / "token").write_text(token)
    (home / "asked").write_text("")
    write_program(tmp_path / "bin" / "safe", SAFE)
    write_program(tmp_path / "bin" / "sleep-for-ever", "#!/bin/sh\nexec sleep 3600\n")
    environment.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    environment.setenv("SAFE_HOME", str(home))
    environment.setenv("SAFE_TOKEN", token)
    yield ResolverCase(
        resolver=CommandResolver(
            argv=["safe", "--", "{name}"], environment=["SAFE_*"], not_found=[4]
        ),
        present=Reference("team/app", "command"),
        value=value,
        absent=Reference("team/other", "command"),
        unreachable=CommandResolver(argv=["safe-that-nobody-installed", "{name}"]),
        hanging=CommandResolver(argv=["sleep-for-ever", "{name}"]),
        credentials=(token,),
        calls=lambda: len((home / "asked").read_text().splitlines()),
    )
