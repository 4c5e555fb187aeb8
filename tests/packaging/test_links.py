"""Every link from one of our documents to another file or heading leads there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "resolvers", "presets", "examples", "tests", "benchmarks")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*.md"))]
)
CODE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^]]*]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^]]+]:\s*(\S+)", re.MULTILINE)


def links_in(document: Path) -> list[str]:
    """All link targets outside code."""
    text = CODE.sub("", document.read_text())
    return [inline or reference for inline, reference in LINK.findall(text)]


def anchors_in(document: Path) -> set[str]:
    """The anchors a Markdown renderer makes of the headings."""
    text = re.sub(r"^(```|~~~).*?^\1 *$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*?) *$", text, flags=re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


def leads_somewhere(document: Path, link: str) -> bool:
    """Whether a link within the repository has a target."""
    path, _, anchor = link.partition("#")
    target = (document.parent / path).resolve() if path else document
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors_in(target)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(document: Path) -> None:
    """No link within the repository is broken."""
    local = [link for link in links_in(document) if not re.match(r"[a-z]+:", link)]
    assert [] == [link for link in local if not leads_somewhere(document, link)]


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """The check itself can fail: a file or heading that is not there is noticed."""
    document = tmp_path / "a.md"
    document.write_text("# One two!\n[a](#one-two) [b](b.md) [c](#three) `[d](d.md)`\n")
    assert ["b.md", "#three"] == [
        link for link in links_in(document) if not leads_somewhere(document, link)
    ]
