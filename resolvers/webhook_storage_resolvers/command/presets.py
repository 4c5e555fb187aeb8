"""The command lines of well-known secret managers.

Facts: the manual pages of pass 1.7, secret-tool and macOS' security; "op read" and "environment
variables" of the 1Password command line; "gcloud secrets versions access"; "az keyvault secret
show" and the exit codes of the Azure command line (3: what was asked for is not there); "Vault
CLI"; the help texts and sources of gopass, sops and Bitwarden's bw. pass ends with 1 for an entry
that is not there and with gpg's own code, 2, when that cannot be decrypted; security ends with 44,
which is errSecItemNotFound. The others end with one code for "not there" and "could not ask".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HOLE = re.compile(r"\{(name|parent|last|keys)\}")
_BRANCHES = ("├", "└", "|--", "`--")
_ANYTHING = re.compile(r".+", re.DOTALL)
_WITH_PARENT = re.compile(r".+/[^/]+", re.DOTALL)

_NETWORK: Final = (
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE",
    "all_proxy", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """How one program is asked.

    Attributes:
        argv: Program and arguments. In them ``{name}`` is the name, ``{parent}`` and ``{last}`` are
            what stands before and after its last slash, ``{keys}`` is ``["a"]["b"]`` for ``a/b``.
            The argument ``{arguments}`` stands for those that the configuration adds.
        product: What to install when it is missing.
        environment: Names, or patterns, of the variables that it reads. Those that would change
            what it prints are left out.
        not_found: Exit codes that say that there is no such secret, and nothing else.
        unclear: Exit codes that say so, and mean other faults as well.
        needs: An example of an argument without which it cannot be asked.
        form: What a name looks like.
        form_in_words: The same for a message.
        lists: Whether it answers the name of a folder with a listing, as if that were a secret.
    """

    argv: Sequence[str]
    product: str
    environment: Sequence[str] = ()
    not_found: Sequence[int] = ()
    unclear: Sequence[int] = ()
    needs: str | None = None
    form: re.Pattern[str] = _ANYTHING
    form_in_words: str = ""
    lists: bool = False

    def command(self, name: str, arguments: Sequence[str]) -> list[str]:
        """Return the command line for a name, which is put in once and not looked at again."""
        parent, _, last = name.rpartition("/")
        keys = "".join(f'["{key}"]' for key in name.split("/"))
        values = {"name": name, "parent": parent, "last": last, "keys": keys}
        command: list[str] = []
        for part in self.argv:
            if part == "{arguments}":
                command += arguments
            else:
                command.append(_HOLE.sub(lambda hole: values[hole[1]], part))
        return command

    def is_listing(self, name: str, text: str) -> bool:
        """Tell whether the program listed a folder instead of printing a secret."""
        first, _, rest = text.partition("\n")
        return self.lists and first == name and (not rest or rest.startswith(_BRANCHES))


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "op": Preset(
            argv=("op", "read", "--no-newline", "{arguments}", "op://{name}"),
            product="the 1Password command line",
            environment=(
                "OP_ACCOUNT", "OP_BIOMETRIC_UNLOCK_ENABLED", "OP_CACHE", "OP_CONFIG_DIR",
                "OP_CONNECT_HOST", "OP_CONNECT_TOKEN", "OP_SERVICE_ACCOUNT_TOKEN", "OP_SESSION",
                "OP_SESSION_*", *_NETWORK,
            ),
            form=re.compile(r"[^/]+/[^/]+/[^/]+(/[^/]+)?"),
            form_in_words="vault/item/field",
        ),
        "pass": Preset(
            argv=("pass", "show", "{arguments}", "--", "{name}"),
            product="pass",
            environment=("GNUPGHOME", "PASSWORD_STORE_DIR", "PASSWORD_STORE_GPG_OPTS"),
            unclear=(1,),
            lists=True,
        ),
        "gopass": Preset(
            argv=("gopass", "show", "-o", "{arguments}", "--", "{name}"),
            product="gopass",
            environment=(
                "GNUPGHOME", "GOPASS_AGE_PASSWORD", "GOPASS_GPG_OPTS", "GOPASS_HOMEDIR",
                "PASSWORD_STORE_DIR",
            ),
            lists=True,
        ),
        "sops": Preset(
            argv=("sops", "-d", "--extract", "{keys}", "{arguments}"),
            product="sops",
            environment=(
                "AWS_*", "AZURE_*", "GNUPGHOME", "GOOGLE_APPLICATION_CREDENTIALS",
                "GOOGLE_CREDENTIALS", "SOPS_AGE_KEY", "SOPS_AGE_KEY_CMD", "SOPS_AGE_KEY_FILE",
                "SOPS_AGE_SSH_PRIVATE_KEY_FILE", "SOPS_GPG_EXEC", "VAULT_ADDR", "VAULT_TOKEN",
                *_NETWORK,
            ),
            needs="secrets.enc.yaml",
            form=re.compile(r"[^\[\]\"']+"),
            form_in_words="key/key, without brackets or quotes",
        ),
        "gcloud": Preset(
            argv=(
                "gcloud", "secrets", "versions", "access", "latest", "--quiet", "{arguments}",
                "--secret={name}",
            ),
            product="the Google Cloud command line",
            environment=("CLOUDSDK_*", "GOOGLE_APPLICATION_CREDENTIALS", *_NETWORK),
            form=re.compile(r"[0-9A-Za-z_-]{1,255}"),
            form_in_words="letters, digits, - and _",
        ),
        "az": Preset(
            argv=(
                "az", "keyvault", "secret", "show", "--query=value", "--output=tsv",
                "{arguments}", "--name={name}",
            ),
            product="the Azure command line",
            environment=("AZURE_*", "REQUESTS_CA_BUNDLE", *_NETWORK),
            not_found=(3,),
            needs="--vault-name=team",
            form=re.compile(r"[0-9A-Za-z-]{1,127}"),
            form_in_words="letters, digits and -",
        ),
        "bw": Preset(
            argv=("bw", "--nointeraction", "get", "password", "{arguments}", "--", "{name}"),
            product="the Bitwarden command line",
            environment=(
                "BITWARDENCLI_APPDATA_DIR", "BW_SESSION", "NODE_EXTRA_CA_CERTS", *_NETWORK,
            ),
            # With anything else it searches, and prints the password of what comes near.
            form=re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
            form_in_words="the id of an item, as 'bw list items' shows it",
        ),
        "vault": Preset(
            argv=("vault", "kv", "get", "-field={last}", "{arguments}", "--", "{parent}"),
            product="the Vault command line",
            environment=("VAULT_*", *_NETWORK),
            form=_WITH_PARENT,
            form_in_words="path/field",
        ),
        "secret-tool": Preset(
            argv=(
                "secret-tool", "lookup", "{arguments}", "service", "{parent}", "username", "{last}",
            ),
            product="secret-tool, of libsecret",
            environment=("DBUS_SESSION_BUS_ADDRESS",),
            form=_WITH_PARENT,
            form_in_words="service/user",
        ),
        "security": Preset(
            argv=(
                "security", "find-generic-password", "-w", "-s", "{parent}", "-a", "{last}",
                "{arguments}",
            ),
            product="security, a part of macOS",
            not_found=(44,),
            form=_WITH_PARENT,
            form_in_words="service/account",
        ),
    }
)  # fmt: skip
"""All presets, by the names of their programs."""
