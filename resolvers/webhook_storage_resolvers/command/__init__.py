"""Secrets that a program prints: a password manager's command line, or one of your own.

Facts: "subprocess management" in the documentation of Python, setsid(2) and kill(2); what the known
programs are asked and answer is in `presets`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from webhook_storage.contracts import (
    Deadline,
    Forbidden,
    Found,
    Invalid,
    NotFound,
    Outcome,
    Resolver,
    Unavailable,
)
from webhook_storage.errors import ConfigurationError
from webhook_storage.secret import SecretValue
from webhook_storage_resolvers.command.checks import check
from webhook_storage_resolvers.command.presets import PRESETS, Preset
from webhook_storage_resolvers.command.process import Ended, run
from webhook_storage_resolvers.naming import (
    NAME,
    Place,
    answers,
    is_segment,
    options_of,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from webhook_storage.template import Reference

_LONGEST_NAME = 1024
_ALWAYS = (
    "HOME", "LANG", "LANGUAGE", "LC_*", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",
)  # fmt: skip

_OWN = Preset(argv=(), product="")
"""What is known of a program that the configuration brings."""


_UNCLEAR = "the program ended with code {}: its store may not be there, or the entry"


@dataclass(frozen=True, kw_only=True)
class CommandResolver(Resolver):
    """What a program prints, run without a shell and without a terminal.

    ``${command:team/app}`` puts ``team/app`` into the one place that the configuration leaves for
    it. Which program runs, and with which other arguments, no template can say. The program gets
    a few variables of the environment and an empty standard input; after `timeout`, or at the
    deadline of the question, it is killed with all that it started. One line break at the end of
    what it prints is not part of the secret, and its standard error is never looked at.

    Args:
        preset: A known program: ``op``, ``pass``, ``gopass``, ``sops``, ``gcloud``, ``az``, ``bw``,
            ``vault``, ``secret-tool`` or ``security``.
        arguments: With a preset: more arguments for it, for example ``["--vault-name=team"]``.
        argv: Instead of a preset: program and arguments, ``{name}`` standing for the name. The
            program is looked for in ``PATH`` or is an absolute path.
        stdin: With `argv`: whether the program reads the name, and a line break, from its standard
            input. ``{name}`` is not needed then.
        timeout: Seconds that the program may take, if the deadline allows as many.
        environment: Names, or patterns such as ``SAFE_*``, of variables that it gets in addition.
        not_found: Exit codes that say that there is no such secret; None takes the preset's. Any
            other code but 0 means that the program could not be asked.
        names: What is asked for a bare ``${NAME}``, with ``{name}`` in it: ``team/flows/{name}``,
            or ``team/flows#{name}`` for a field of a secret that is JSON. Without it no program is
            run for a bare name: it would run for each one that nobody before it has.
        lifetime: Seconds for which a secret may be kept; 0 for a one-time password.

    Raises:
        ConfigurationError: The command is none, or leaves no place for the name; or `names` fits
            no name.

    Example:
        >>> age = ["age", "-d", "-i", "/etc/flows/key", "/srv/secrets/{name}.age"]
        >>> CommandResolver(argv=age).scheme
        'command'
    """

    scheme: ClassVar[str] = "command"

    preset: str | None = None
    arguments: Sequence[str] = ()
    argv: Sequence[str] | None = None
    stdin: bool = False
    timeout: float = 10.0
    environment: Sequence[str] = ()
    not_found: Sequence[int] | None = None
    names: str | None = None
    lifetime: float | None = None

    def __post_init__(self) -> None:
        """Check the command, and keep lists as tuples, which nobody changes."""
        check(self)
        fault = self._refuses(self.names.partition("#")[0]) if self.names is not None else None
        if fault is not None:
            raise ConfigurationError(fault.detail, path="names")
        for name in ("arguments", "argv", "environment", "not_found"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(value))

    def resolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Run the program once for each name, one after the other."""
        return self._answer(references, deadline, threading.Event())

    async def aresolve(
        self, references: Sequence[Reference], deadline: Deadline
    ) -> Mapping[Reference, Outcome]:
        """Do the same in a thread; a task that is cancelled takes the program along."""
        stop = threading.Event()
        try:
            return await asyncio.to_thread(self._answer, references, deadline, stop)
        finally:
            stop.set()

    def health(self) -> str | None:
        """Look for the program, without running it."""
        program = self._program()
        return program.detail if isinstance(program, Unavailable) else None

    # --- what is asked ---

    def _answer(
        self, references: Sequence[Reference], deadline: Deadline, stop: threading.Event
    ) -> dict[Reference, Outcome]:
        return answers(references, self._place, lambda names: self._run_all(names, deadline, stop))

    def _place(self, reference: Reference) -> Place[str] | Outcome:
        """Return where a reference leads, if its name can be an argument."""
        options = options_of(reference)
        place = place_of(reference, self.names)
        if isinstance(options, Invalid) or not isinstance(place, Place):
            return options if isinstance(options, Invalid) else place
        return self._refuses(place.path) or place

    def _refuses(self, name: str) -> Invalid | None:
        """Say why a name cannot be an argument, or is none that the program understands."""
        if len(name) > _LONGEST_NAME:
            return Invalid(f"the name has more than {_LONGEST_NAME} characters")
        if not all(map(_is_argument, name.split("/"))):
            return Invalid("a name is words between single slashes, none of which begins with '-'")
        if not self._preset.form.fullmatch(name):
            return Invalid(f"a name for {self.preset} is {self._preset.form_in_words}")
        return None

    @property
    def _preset(self) -> Preset:
        return _OWN if self.preset is None else PRESETS[self.preset]

    def _command(self, name: str) -> list[str]:
        """Return the command line for a name, which is put in once and not looked at again."""
        if self.argv is None:
            return self._preset.command(name, self.arguments)
        return [part.replace(NAME, name) for part in self.argv]

    def _program(self) -> str | Unavailable:
        """Return the program's absolute path."""
        if not hasattr(os, "killpg"):
            return Unavailable("programs are run on POSIX systems only")
        name = (self.argv or self._preset.argv)[0]
        directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
        # In a relative directory of the path anybody's program may lie.
        path = os.pathsep.join(each for each in directories if Path(each).is_absolute())
        found = shutil.which(name, path=path)
        if found is not None:
            return found
        if Path(name).is_absolute():
            return Unavailable(f'there is no program "{name}"')
        what = self._preset.product or "it, or give its full path in argv"
        return Unavailable(f'there is no program "{name}" on the path: install {what}')

    # --- running ---

    def _run_all(
        self, names: list[str], deadline: Deadline, stop: threading.Event
    ) -> dict[str, Outcome]:
        """Run the program for each name; when it cannot be run for one, not for the next."""
        program = self._program()
        if isinstance(program, Unavailable):
            return dict.fromkeys(names, program)
        environment = self._environment()
        outcomes: dict[str, Outcome] = {}
        for name in names:
            if not (seconds := min(self.timeout, deadline.remaining())):
                ended: Ended | Unavailable | Invalid = Unavailable("there was no time left to ask")
            else:
                command = [program, *self._command(name)[1:]]
                text = f"{name}\n" if self.stdin else None
                ended = run(command, environment, Deadline(seconds), text=text, stop=stop)
            if isinstance(ended, Unavailable):
                return {**dict.fromkeys(names, ended), **outcomes}
            outcomes[name] = self._outcome(name, ended) if isinstance(ended, Ended) else ended
        return outcomes

    def _environment(self) -> dict[str, str]:
        """Return the variables that the program gets."""
        patterns = (*_ALWAYS, *self._preset.environment, *self.environment)
        return {
            name: value
            for name, value in os.environ.items()
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        }

    def _outcome(self, name: str, ended: Ended) -> Outcome:
        """Return what exit code and output mean."""
        if ended.code:
            return self._failure(ended.code)
        try:
            text = ended.output.decode()
        except UnicodeDecodeError:
            return Invalid("what the program prints is not UTF-8")
        if self._preset.is_listing(name, text):
            return Invalid("is a folder, name an entry in it")
        text = text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
        return Found(value=SecretValue(text), lifetime=self.lifetime)

    def _failure(self, code: int) -> Outcome:
        """Return what an exit code other than 0 means."""
        if code in (self._preset.not_found if self.not_found is None else self.not_found):
            return NotFound()
        if self.not_found is None and code in self._preset.unclear:
            # Nobody else's secret stands in for one that may well be there.
            return Forbidden(_UNCLEAR.format(code), maybe_missing=True)
        if code < 0:
            return Unavailable(f"the program was ended by signal {-code}")
        return Unavailable(
            f"the program ended with code {code}: run it in a terminal to see why, and "
            "list the code in not_found if it says that there is no such secret"
        )


def _is_argument(segment: str) -> bool:
    """Tell whether a part of a name is a word to every program: no option, file or way out."""
    return is_segment(segment) and not segment.startswith(("-", "@"))
