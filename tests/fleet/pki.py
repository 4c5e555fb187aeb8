"""A certificate authority for the tests, and one that nobody trusts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Pki:
    """What a TLS server and its clients need, right and wrong."""

    ca: Path
    foreign_ca: Path
    server: Certificate
    wrong_host: Certificate
    client: Certificate
    foreign_client: Certificate


def create_pki(directory: Path) -> Pki:
    """Write two authorities and the certificates they issued."""
    directory.mkdir(parents=True, exist_ok=True)
    ours, foreign = trustme.CA(), trustme.CA()

    def issue(name: str, authority: trustme.CA, *hosts: str) -> Certificate:
        leaf = authority.issue_cert(*hosts)
        issued = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
        leaf.cert_chain_pems[0].write_to_path(issued.cert)
        leaf.private_key_pem.write_to_path(issued.key)
        return issued

    ours.cert_pem.write_to_path(directory / "ca.pem")
    foreign.cert_pem.write_to_path(directory / "foreign-ca.pem")
    return Pki(
        ca=directory / "ca.pem",
        foreign_ca=directory / "foreign-ca.pem",
        server=issue("server", ours, "localhost", "127.0.0.1"),
        wrong_host=issue("wrong-host", ours, "example.test"),
        client=issue("client", ours, "alice@example.test"),
        foreign_client=issue("foreign-client", foreign, "alice@example.test"),
    )
