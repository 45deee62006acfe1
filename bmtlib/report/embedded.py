"""What a report carries of its run so that it can be run again from the page alone (`bmt rerun report.html`)."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from bmtlib.errors import InputError
from bmtlib.rundir import RunDir

ELEMENT = "bmt-run"  # id of the element, which the page's template has
FORM = 1  # raised when an older bmtlib would misread it
_TODO = "`bmt report RUN` builds the page of a run folder anew"
_KINDS: dict[str, type] = {"scenario": str, "testbed": str, "profiles": dict, "versions": dict}


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """scenario, testbed: YAML, every default spelt out. profiles: by file name, as YAML. versions: of programs.

    name: the scenario's; bmtlib: version that measured; search: "knee" of a search for it, else empty.
    """

    scenario: str
    testbed: str
    profiles: dict[str, str]
    versions: dict[str, str]
    name: str
    digest: str
    bmtlib: str
    search: str


def embedded(folder: RunDir) -> str:
    """JSON in which no text can end the element that holds it. Settings of the command line are in the scenario."""
    run = folder.run_json()
    found: dict[str, Any] = {
        "form": FORM,
        "run": run.get("id"),
        "name": run.get("scenario", {}).get("name"),
        "version": run.get("bmtlib"),
        "versions": run.get("versions", {}),
        "digest": run.get("digest"),
        "search": folder.read_json("plan.json").get("search"),
        "settings": [],
        "profiles": {
            path.name: path.read_text(errors="replace") for path in sorted(folder.path.glob("profiles/*.yml"))
        },
    }
    for name in ("scenario", "testbed"):
        with suppress(OSError):
            found[name] = (folder.path / f"{name}.yml").read_text(errors="replace")
    return json.dumps(found, ensure_ascii=False).replace("<", "\\u003c")


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
        form = found["form"]
        if type(form) is not int:
            raise TypeError("form is no number")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from None
    if form > FORM:
        raise InputError(
            f"{path} is of a newer bmtlib ({found.get('version')}): it carries form {form}, and this one reads {FORM}",
            todo="use the bmtlib that made it, or a newer one",
        )
    if "scenario" not in found or "testbed" not in found:
        raise InputError(f"{path} is of a run folder that had lost its scenario.yml or testbed.yml", todo=_TODO)
    try:
        if wrong := [key for key, kind in _KINDS.items() if not isinstance(found[key], kind)]:
            raise TypeError(f"{wrong[0]} is something else")
        return Embedded(
            scenario=found["scenario"],
            testbed=found["testbed"],
            profiles=found["profiles"],
            versions=found["versions"],
            name=str(found["name"] or ""),
            digest=str(found["digest"] or ""),
            bmtlib=str(found["version"]),
            search=str(found["search"] or ""),
        )
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
