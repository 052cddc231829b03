#!/usr/bin/env python3
"""Checks what can be checked of the documentation: the links in all Markdown files, and the drawing of the crates.

A relative link must lead to a file or folder, and its #anchor to a heading there, named as GitHub names it. Where the
link's text is a name in code (``[`a_test`](tests/a.rs)``), the file must have that name, or contain it. Links to other
hosts are not followed.

The arrows of docs/architecture.md under "Crates" are the dependencies in the crates' Cargo.toml.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
MADE = {"target", "venv", "node_modules"}
FENCE = re.compile(r"^ {0,3}(```+|~~~+).*?^ {0,3}\1[`~]* *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\(<?([^()<>\s]*(?:\([^()\s]*\))?[^()<>\s]*)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)
ARROW = re.compile(r"^\s*(\w+)(?:\[[^\]]*\])? (?:-->|-\. \w+ \.->) (\w+)", re.MULTILINE)
HTML_ID = re.compile(r"<[a-z]+[^>]*\s(?:id|name)=\"([^\"]+)\"")


def without_code(text: str) -> str:
    """The text with fenced blocks emptied, line numbers kept."""
    return FENCE.sub(lambda block: "\n" * block.group().count("\n"), text)


@cache
def anchors(path: Path) -> frozenset[str]:
    """What a link can name in a Markdown file."""
    text = without_code(path.read_text(encoding="utf-8"))
    found: set[str] = set(HTML_ID.findall(text))
    for heading in HEADING.findall(text):
        words = LINK.sub(lambda link: link.group(1), heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower().replace("`", "")).replace(" ", "-")
        name, number = slug, 0
        while name in found:
            number += 1
            name = f"{slug}-{number}"
        found.add(name)
    return frozenset(found)


def problem(page: Path, text: str, target: str) -> str | None:
    """What is wrong with a link, if anything is."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    name, _, anchor = unquote(target).partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.is_relative_to(ROOT):
        return "leads out of the repository"
    if not path.exists():
        return "there is no such file"
    if anchor and (path.suffix != ".md" or anchor not in anchors(path)):
        return f"no heading there is #{anchor}"
    code = re.fullmatch(r"`(\w+)`", text)
    if code is None or path.suffix not in (".rs", ".py") or code[1] == path.stem:
        return None
    return None if code[1] in path.read_text(encoding="utf-8") else f"there is no {code[1]} in that file"


def drawing() -> list[str]:
    """What of the drawing of the crates is not so."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    drawn = set(ARROW.findall(page.partition("\n## Crates\n")[2].partition("```mermaid\n")[2].partition("\n```")[0]))
    folders = re.findall(r'"([\w/]+)"', re.findall(r"^members = \[(.*)\]", read("Cargo.toml"), re.MULTILINE)[0])
    crates = {
        re.findall(r'^name = "(.*)"', read(f"{folder}/Cargo.toml"), re.MULTILINE)[0]: folder for folder in folders
    }
    drawn_as = {name: "events" if name == "bt-events" else folder.rpartition("/")[2] for name, folder in crates.items()}
    real = {
        (drawn_as[name], drawn_as[needed])
        for name, folder in crates.items()
        for needed in re.findall(r"^(bt-[\w-]+)[ .=]", read(f"{folder}/Cargo.toml"), re.MULTILINE)
        if needed != name
    }
    wrong = [f"{a} --> {b} is drawn, and not so" for a, b in sorted(drawn - real)]
    wrong += [f"{a} --> {b} is not drawn" for a, b in sorted(real - drawn)]
    return [f"docs/architecture.md: {what}" for what in wrong]


def read(name: str) -> str:
    """A file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def main() -> int:
    """Checks all pages; what is made by builds is no page of ours."""
    folders = (path.relative_to(ROOT).parts[:-1] for path in ROOT.rglob("*.md"))
    ours = {parts for parts in folders if not any(part.startswith(".") or part in MADE for part in parts)}
    pages = sorted(page for parts in ours for page in ROOT.joinpath(*parts).glob("*.md"))
    links = 0
    wrong = drawing()
    for page in pages:
        for number, line in enumerate(without_code(page.read_text(encoding="utf-8")).split("\n"), 1):
            # A link within code is none; code within a link's text is.
            inert = [code.span() for code in CODE.finditer(line)]
            for link in LINK.finditer(line):
                if any(start < link.start() and link.end() < end for start, end in inert):
                    continue
                links += 1
                if what := problem(page, link.group(1), link.group(2)):
                    wrong.append(f"{page.relative_to(ROOT)}:{number}: {link.group(2)}: {what}")
    print("\n".join([*wrong, f"{links} links in {len(pages)} pages: {len(wrong)} things are wrong"]))
    return 1 if wrong or not links else 0


if __name__ == "__main__":
    sys.exit(main())
