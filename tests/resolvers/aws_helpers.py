"""What the tests of the two AWS resolvers share: ways in, and ways to ask."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.resolvers.places import Environment, without_proxies
from webhook_storage.contracts import Deadline, Found, Outcome
from webhook_storage.template import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.fakes.aws import FakeAws
    from webhook_storage.contracts import Resolver


_LOGGING_PROGRAM = """
import logging, sys
logging.basicConfig(level=0, stream=sys.stdout, format="%(name)s %(message)s %(args)s")
from webhook_storage.contracts import Deadline
from webhook_storage.template import Reference
from webhook_storage_resolvers.aws import AwsResolver
references = [Reference(name, "aws") for name in ("app", "other")]
resolver = AwsResolver()
for batch in (references, references[:1]):
    answers = resolver.resolve(batch, Deadline(20))
    print([type(answer).__name__ for answer in answers.values()])
logging.getLogger("botocore.parsers").debug("afterwards it logs again")
"""


def everything_logged() -> str:
    """Return what a new process shows that asks for ``app`` and ``other`` and logs everything."""
    command = [sys.executable, "-c", _LOGGING_PROGRAM]
    shown = subprocess.run(command, capture_output=True, check=True, text=True)
    return shown.stdout + shown.stderr


def leave_the_machine(environment: Environment, home: Path) -> None:
    """Keep the settings of whoever runs the tests out of them, and the network of the machine."""
    without_proxies(environment, "AWS_")
    environment.setenv("HOME", str(home))
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")


def enter(environment: Environment, variables: Mapping[str, str]) -> None:
    """Set environment variables."""
    for name, text in variables.items():
        environment.setenv(name, text)


def lead_to(environment: Environment, fake: FakeAws) -> None:
    """Set what leads to a fake, with its key."""
    enter(environment, {"AWS_ENDPOINT_URL": fake.url, "AWS_REGION": "eu-west-1"})
    enter(environment, fake.key.environment())


def ask(resolver: Resolver, name: str, seconds: float = 10.0, **options: Any) -> Outcome:
    """Ask for one reference with the scheme."""
    reference = Reference(name, resolver.scheme, options=tuple(options.items()))
    return resolver.resolve([reference], Deadline(seconds))[reference]


def ask_all(resolver: Resolver, *names: str) -> list[Outcome]:
    """Ask for several at once, and return the outcomes in that order."""
    references = [Reference(name, resolver.scheme) for name in names]
    answers = resolver.resolve(references, Deadline(10.0))
    return [answers[reference] for reference in references]


def bare(resolver: Resolver, name: str) -> Outcome:
    """Ask for a bare name."""
    return resolver.resolve([Reference(name)], Deadline(10.0))[Reference(name)]


def text(outcome: Outcome) -> str:
    """Return what was found."""
    assert isinstance(outcome, Found), outcome
    assert not outcome.structured
    return outcome.value.reveal()


def texts(outcomes: list[Outcome]) -> list[Any]:
    """Return the texts of what was found, and other outcomes as they are."""
    return [text(each) if isinstance(each, Found) else each for each in outcomes]
