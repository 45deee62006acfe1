"""What a report carries of its run so that it can be run again from the page alone (`bmt rerun report.html`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from bmtlib.errors import InputError
from bmtlib.report.render import Html
from bmtlib.rundir import RunDir

ELEMENT = "bmt-run"  # id of the element
VERSION = 1  # raised when an older bmtlib would misread it
_TODO = "`bmt report RUN` builds the page of a run folder anew"


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """scenario, testbed: YAML, every default spelt out. settings: profiles by file name, as YAML. run: of run.json."""

    scenario: str
    testbed: str
    settings: dict[str, str]
    run: dict[str, Any]


def script(folder: RunDir) -> Html:
    """The element for a page: JSON that no browser runs. Empty when the folder lacks one of both inputs."""
    texts = {}
    for name in ("scenario", "testbed"):
        path = folder.path / f"{name}.yml"
        if not path.is_file():
            return Html("")
        texts[name] = path.read_text(encoding="utf-8")
    about = folder.run_json()
    hosts = about.get("hosts", [])
    content = {
        "version": VERSION,
        **texts,
        "settings": {
            path.name: path.read_text(encoding="utf-8") for path in sorted(folder.path.glob("profiles/*.yml"))
        },
        "run": {
            "id": about.get("id"),
            "name": about.get("scenario", {}).get("name"),
            "digest": about.get("digest"),
            "bmtlib": about.get("bmtlib"),
            "versions": about.get("versions", {}),
            "kernels": sorted({str(host.get("kernel")) for host in hosts}),
            "search": folder.read_json("plan.json").get("search"),
        },
    }
    # In a script element nothing is escaped but by JSON's own means: no text of a scenario can end it.
    text = json.dumps(content, ensure_ascii=True).replace("<", "\\u003c").replace("&", "\\u0026")
    return Html(f'<script type="application/json" id="{ELEMENT}">{text}</script>')


def read_embedded(page: Path | str) -> Embedded:
    """What a report carries. InputError when the page is no report, damaged, or of a newer bmtlib."""
    path = Path(page)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"{path} cannot be read: {why}", todo="the path of a report.html") from None
    parser = _Element()
    parser.feed(text)
    if parser.content is None:
        raise InputError(
            f"{path} is no report of bmtlib that can be run again", where=f"no element {ELEMENT!r}", todo=_TODO
        )
    try:
        found = json.loads(parser.content)
        version = found["version"]
        if type(version) is not int:
            raise TypeError("version is no number")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from None
    if version > VERSION:
        raise InputError(
            f"{path} is of a newer bmtlib: what it carries has version {version}, and this one reads {VERSION}",
            todo="use the bmtlib that made it, or a newer one",
        )
    try:
        kinds = {"scenario": str, "testbed": str, "settings": dict, "run": dict}
        if wrong := [key for key, kind in kinds.items() if not isinstance(found[key], kind)]:
            raise TypeError(f"{wrong[0]} is something else")
        return Embedded(**{key: found[key] for key in kinds})
    except (KeyError, TypeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is damaged: what it carries of its run cannot be read: {error}", todo=_TODO)


class _Element(HTMLParser):
    """The text of the first element with our id."""

    def __init__(self) -> None:
        super().__init__()
        self.content: str | None = None
        self._open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.content is None and ("id", ELEMENT) in attrs:
            self.content, self._open = "", True

    def handle_data(self, data: str) -> None:
        if self._open and self.content is not None:
            self.content += data

    def handle_endtag(self, tag: str) -> None:
        self._open = False
