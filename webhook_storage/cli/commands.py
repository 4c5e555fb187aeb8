"""The subcommands; what they need is imported when they run, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from webhook_storage.cli import files
from webhook_storage.cli.report import (
    EXIT_CODES,
    say_json,
    say_lines,
    say_table,
    show_error,
)
from webhook_storage.errors import ConfigurationError, ObjectNotFoundError

if TYPE_CHECKING:
    from webhook_storage.bulk import BulkOptions
    from webhook_storage.receipt import Receipt
    from webhook_storage.sender import Sender

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print the values of local variables
    rich_markup_mode="rich",
    epilog=EXIT_CODES,
)

Definition = Annotated[
    str, typer.Argument(metavar="DEFINITION", help="JSON file of a storage; - for standard input.")
]
Key = Annotated[str | None, typer.Option("--key", help="Name of the artifact on the service.")]
Limit = Annotated[int, typer.Option(min=1, help="Most items at a time.")]
Receipts = Annotated[
    Path | None, typer.Option(help="Report or journal of an earlier put-many, with its receipts.")
]
JournalFile = Annotated[
    Path | None,
    typer.Option("--journal", help="File that keeps what was done, so that this can go on."),
]
TrustReceipts = Annotated[
    bool,
    typer.Option("--trust-receipts", help="Do not ask the service whether it still has them."),
]
Operation = Literal["store", "fetch", "exists", "delete", "list"]


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - for this option only

        say_lines([f"webhook-storage {version('webhook-storage')}"])
        raise typer.Exit


@app.callback(
    help="Store and fetch anything on any HTTP file service. A definition says with which "
    "requests. Secrets stand in it as ${NAME} and are resolved only when a request is sent: first "
    "from the environment, then from .env and the secrets directory."
)
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="WEBHOOK_STORAGE_CONFIG",
            help="TOML file that says which resolvers to ask, and how long to try.",
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001, FBT002 - its callback does the work
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Keep what holds for every command."""
    context.obj = config


@app.command(epilog=EXIT_CODES)
def put(
    context: typer.Context,
    definition: Definition,
    file: Annotated[Path, typer.Argument(help="What to store; - for standard input.")],
    key: Key = None,
    remember: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option(help="Write the receipt into DEFINITION too.")
    ] = False,
    if_absent: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--if-absent", help="Create it, and replace nothing.")
    ] = False,
    if_version: Annotated[
        str | None, typer.Option(help="Replace this version only, as in a receipt.")
    ] = None,
    verify: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--verify", help="Fetch what was stored and compare it.")
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="File that keeps how far an upload in parts has come; the same command goes on "
            "with it, and removes it when all is stored."
        ),
    ] = None,
) -> None:
    """Store a file and print the receipt as JSON.

    Without --key a file is stored under its name where the URL has ${artifact.key}.
    """
    storage = files.load(definition)
    if remember and definition == "-":
        message = "--remember writes into the definition, and this one came by standard input"
        raise ConfigurationError(message, hint="give the definition as a file")
    wanted: dict[str, Any] = {
        "if_absent": if_absent,
        "if_unchanged": if_version,
        "verify": "after" if verify else None,
        "resume": resume,
    }
    with _sender(context):
        receipt = files.put(storage, definition, file, key, wanted)
    if remember:
        files.rewrite(Path(definition), storage.remember(receipt).to_json() + "\n")
    say_json(receipt.model_dump(mode="json"))


@app.command(epilog=EXIT_CODES)
def get(
    context: typer.Context,
    definition: Definition,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where to write; - for standard output.")
    ],
    key: Key = None,
    receipt: Annotated[
        Path | None, typer.Option(help="Receipt of the store; what comes must have its digest.")
    ] = None,
) -> None:
    """Fetch an artifact into a file; on an error it is untouched."""
    storage = files.load(definition)
    wanted = files.read_receipt(receipt, key) if receipt else key
    if str(output) != "-":
        target = files.target_of(output)
        with _sender(context):
            storage.download(target, wanted)
        return
    with _sender(context):
        content = storage.get(wanted)
    sys.stdout.buffer.write(content)


@app.command("put-many", epilog=EXIT_CODES)
def put_many(
    context: typer.Context,
    definition: Definition,
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders with all in them.")],
    prefix: Annotated[str, typer.Option(help="Begins each key, for example nightly/")] = "",
    receipts: Receipts = None,
    limit: Limit = 16,
    journal: JournalFile = None,
    trust_receipts: TrustReceipts = False,  # noqa: FBT002 - an option
) -> None:
    """Store many files, some at a time, and print a report as JSON; 1 if one of them failed.

    A file is stored under its name, one in a folder under its path from there. What the service
    has, by a receipt that is known, is not sent again.
    """
    from webhook_storage.cli import bulk  # noqa: PLC0415 - for this command only

    storage = files.load(definition)
    known = bulk.receipts_in(receipts) if receipts else {}
    how: BulkOptions = {
        "limit": limit, "journal": journal, "trust_receipts": trust_receipts, "receipts": known,
    }  # fmt: skip
    raise typer.Exit(bulk.put(storage, _sender(context), paths, prefix, how))


@app.command("get-many", epilog=EXIT_CODES)
def get_many(
    context: typer.Context,
    definition: Definition,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write into; made if missing.")
    ],
    keys: Annotated[list[str] | None, typer.Argument(help="Names of the artifacts.")] = None,
    everything: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--all", help="Fetch all that 'list' gives.")
    ] = False,
    receipts: Receipts = None,
    limit: Limit = 16,
    journal: JournalFile = None,
    trust_receipts: TrustReceipts = False,  # noqa: FBT002 - an option
) -> None:
    """Fetch many artifacts into a folder, some at a time, and print a report as JSON.

    Each file has the name that its key says, below the folder. With --receipts and without keys all
    that has a receipt is fetched; what comes must have its digest.
    """
    from webhook_storage.cli import bulk  # noqa: PLC0415 - for this command only

    storage = files.load(definition)
    known = bulk.receipts_in(receipts) if receipts else {}
    if bool(keys) + everything > 1 or not (keys or everything or known):
        message = "say what to fetch: keys, or --all, or --receipts"
        raise ConfigurationError(message, hint="webhook-storage get-many --help")
    named: list[str | Receipt] | None = None
    if not everything:
        named = [*keys] if keys else [*known.values()]
    how: BulkOptions = {
        "limit": limit, "journal": journal, "trust_receipts": trust_receipts, "receipts": known,
    }  # fmt: skip
    raise typer.Exit(bulk.get(storage, _sender(context), named, output, how))


@app.command(epilog=EXIT_CODES)
def exists(context: typer.Context, definition: Definition, key: Key = None) -> None:
    """Print what the service says of an artifact; 4 if there is none."""
    storage = files.load(definition)
    with _sender(context):
        stat = storage.stat(key)
    if stat is None:
        message = f"there is no artifact {key!r}" if key else "the artifact is not there"
        raise typer.Exit(show_error(ObjectNotFoundError(message, status=404)))
    say_json(stat.model_dump(mode="json", exclude_none=True))


@app.command(epilog=EXIT_CODES)
def delete(context: typer.Context, definition: Definition, key: Key = None) -> None:
    """Delete an artifact."""
    storage = files.load(definition)
    with _sender(context):
        storage.delete(key)


@app.command("list", epilog=EXIT_CODES)
def list_(context: typer.Context, definition: Definition) -> None:
    """Print the keys of what is there, one a line."""
    storage = files.load(definition)
    with _sender(context):
        keys = storage.list()
    say_lines(keys)


@app.command(epilog=EXIT_CODES)
def render(
    context: typer.Context,
    definition: Definition,
    operation: Annotated[Operation, typer.Option(help="Whose request to show.")] = "store",
    key: Key = None,
    file: Annotated[Path | None, typer.Option(help="What would be stored.")] = None,
    curl: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--curl", help="Show a curl command, secrets as shell variables.")
    ] = False,
) -> None:
    """Show the exact request, secrets masked; nothing is sent."""
    storage = files.load(definition)
    with _sender(context) as sender:
        preview = sender.preview(storage.exchange(operation, key, file or b""))
    sys.stdout.write((preview.curl() if curl else preview.text()) + "\n")


@app.command(epilog=EXIT_CODES)
def check(context: typer.Context, definition: Definition) -> None:
    """Show which resolver answers each placeholder, never the value.

    The exit code is 1 when a secret is not to be had.
    """
    from webhook_storage.cli.check import rows  # noqa: PLC0415

    storage = files.load(definition)
    with _sender(context) as sender:
        table = rows(storage, sender)
    say_table(("placeholder", "used to", "outcome", "asked"), [row.cells for row in table])
    if not all(row.good for row in table):
        raise typer.Exit(1)


@app.command(epilog=EXIT_CODES)
def verify(
    context: typer.Context,
    definition: Definition,
    key: Annotated[
        str | None, typer.Option("--key", help="Name of the flow, or of the artifact.")
    ] = None,
    receipt: Annotated[
        Path | None, typer.Option(help="Receipt of the store; what comes must have its digest.")
    ] = None,
) -> None:
    """Show what vouches for a flow or an artifact; nothing of it is loaded.

    The exit code is 0 only when a signature or the digest of a receipt does.
    """
    from webhook_storage.cli.verify import document  # noqa: PLC0415

    storage = files.load(definition)
    known = files.read_receipt(receipt, storage.flows.get(key or "", key)) if receipt else None
    with _sender(context):
        told = document(storage, key, known)
    say_json(told)


@app.command(epilog=EXIT_CODES)
def serve(
    directory: Annotated[Path, typer.Argument(help="What to serve.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = 0,
    user: Annotated[str, typer.Option(help="Name of the only user.")] = "user",
    password_variable: Annotated[
        str | None,
        typer.Option(help="Environment variable with the password; else one is made and shown."),
    ] = None,
    allow_remote: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--allow-remote", help="Allow a host that others can reach.")
    ] = False,
) -> None:
    """Serve a directory for trying things out, until Ctrl-C."""
    from webhook_storage.cli.serve import run  # noqa: PLC0415

    run(directory, host, port, user, password_variable, allow_remote=allow_remote)


@app.command(epilog=EXIT_CODES)
def demo() -> None:
    """Store a flow over HTTP and run it in another process."""
    from webhook_storage.demo import show  # noqa: PLC0415 - the server's libraries are an extra

    show()


def _sender(context: typer.Context) -> Sender:
    """Return the sender that the configuration describes."""
    from webhook_storage.sender import Sender  # noqa: PLC0415

    return Sender.from_config(context.obj)
