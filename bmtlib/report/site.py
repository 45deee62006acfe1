"""Reports of one or many runs as a folder for static hosting: an index, a feed of runs, and what the reports link to.

Nothing in it loads anything from elsewhere. The same runs give the same files. Only files that an earlier `bmt site`
made are ever replaced or removed: their names stand in .bmt-site.json.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from markupsafe import Markup

from bmtlib.errors import InputError, MachineError
from bmtlib.files import write_whole
from bmtlib.report.archive import archive
from bmtlib.report.feed import Entry, feed
from bmtlib.report.render import TEMPLATES, render
from bmtlib.rundir import RunDir
from bmtlib.texts import LANGUAGES, say

MADE = ".bmt-site.json"  # what an earlier call wrote
_PAGES = "report*.html"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A run in the index. `place`: its folder's name in the site; `archive`: its zip's address there, or empty."""

    run: RunDir
    place: str
    about: dict[str, Any]
    sentences: tuple[str, ...]
    archive: str = ""


def build_site(
    runs: Sequence[RunDir], to: Path | str, *, title: str = "", address: str = "", archives: bool = False
) -> Path:
    """Write the site of `runs` into `to`; the path of its index. Runs without a report get one.

    address: where the site will be, for the links of the feed; without, they are relative. archives: each run also as
    a zip of all its raw files. Raises InputError (a run twice, a folder that holds another site, a bad address),
    MachineError (it cannot be written), and what `build_report` raises.
    """
    folder = Path(to)
    _check_address(address)
    before = _made_before(folder)
    shown = _shown(runs, archives)
    site = _Site(folder)
    for it in shown:
        _write_run(site, it)
    heading = title or say("Load balancer benchmarks")
    order = sorted(shown, key=lambda it: (str(it.about.get("started") or ""), it.place), reverse=True)
    site.write("feed.xml", feed(heading, [_entry(it) for it in order], address))
    site.write(".nojekyll", "")  # GitHub Pages would leave out names that begin with "_"
    index = site.write("index.html", _index(heading, [_card(it) for it in order]))
    site.finish(before)
    return index


class _Site:
    """The folder, and what was written into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def write(self, name: str, content: str | bytes) -> Path:
        """A file, whole or not at all; untouched where it is the same already."""
        data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
        path = self.folder / name
        self.names.append(name)
        try:
            if path.is_file() and path.read_bytes() == data:
                return path
            write_whole(path, data)
        except OSError as error:
            why = f"cannot write the site: {error.strerror}"
            raise MachineError(why, where=str(path), todo="choose a folder you may write with --to DIR") from error
        return path

    def finish(self, before: Sequence[str]) -> None:
        """Take away what an earlier call wrote and this one did not, and note what there is now."""
        for name in sorted(set(before) - set(self.names), reverse=True):
            path = self.folder / name
            with suppress(OSError):
                path.unlink()
                for above in path.relative_to(self.folder).parents[:-1]:
                    (self.folder / above).rmdir()  # as far as they are empty
        self.write(MADE, json.dumps({"files": sorted({*self.names, MADE})}, indent=1) + "\n")


def _made_before(folder: Path) -> list[str]:
    """Names of the files that an earlier call wrote. InputError when the folder holds a page of somebody else."""
    try:
        found = json.loads((folder / MADE).read_text())["files"]
    except (FileNotFoundError, NotADirectoryError):
        if (folder / "index.html").exists():
            raise InputError(
                f"{folder} holds an index.html that `bmt site` did not make", todo="choose another folder with --to DIR"
            ) from None
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{MADE} cannot be read: {error}", where=str(folder), todo="choose another folder") from error
    return [name for name in found if isinstance(name, str) and _inside(folder, folder / name)]


def _inside(folder: Path, path: Path) -> bool:
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise InputError(
            f"{address!r} is no web address", where="--url", todo="such as https://example.org/benchmarks/"
        )


def _shown(runs: Sequence[RunDir], archives: bool) -> list[Shown]:
    from bmtlib.analysis.answer import answer
    from bmtlib.analysis.tables import read_tables
    from bmtlib.report.build import build_report

    found: dict[str, Shown] = {}
    for run in runs:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", run.path.resolve().name).strip("-.") or "run"
        if name in found:
            raise InputError(
                f"two runs are named {name}", where=str(run.path), todo="give each run once; rename a copy"
            )
        if not (run.path / "report.html").is_file():
            build_report(run.path)
        found[name] = Shown(
            run=run,
            place=name,
            about=run.run_json(),
            sentences=answer(read_tables(run)).sentences,
            archive=f"{name}/{name}.zip" if archives else "",
        )
    return list(found.values())


def _write_run(site: _Site, it: Shown) -> None:
    """The run's report in each language, the files of the run folder that it links to, and the archive."""
    linked: set[str] = set()
    for page in sorted(it.run.path.glob(_PAGES)):
        text = page.read_text(encoding="utf-8")
        site.write(f"{it.place}/{page.name}", text)
        linked |= set(_links(text))
    for name in sorted(linked):
        path = it.run.path / name
        if not _inside(it.run.path, path) or path.is_symlink() or re.fullmatch(r"report.*\.html", name):
            continue
        if path.is_file():
            site.write(f"{it.place}/{name}", path.read_bytes())
        elif path.is_dir():  # static hosts show no folders
            files = sorted(below for below in path.iterdir() if below.is_file() and not below.is_symlink())
            for file in files:
                site.write(f"{it.place}/{name}/{file.name}", file.read_bytes())
            style = Markup((TEMPLATES / "page" / "style.css").read_text())
            listing = render(
                "listing", style=style, title=name, files=[(quote(file.name), file.name) for file in files]
            )
            site.write(f"{it.place}/{name}/index.html", listing)
    if it.archive:
        archive(it.run, site.folder / it.archive, unfinished=True)
        site.names.append(it.archive)


def _style() -> Markup:
    """The report's own."""
    return Markup((TEMPLATES / "page" / "style.css").read_text())


def _index(title: str, cards: Sequence[dict[str, Any]]) -> str:
    counted = say("{n} runs", n=len(cards)) if len(cards) != 1 else say("1 run")
    words = {"feed": say("Feed of runs (Atom)"), "contents": say("Contents"), "more": say("the answer in full")}
    return render("site", title=title, style=_style(), runs=cards, counted=counted, words=words)


class _Hrefs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _links(page: str) -> Iterator[str]:
    """Relative addresses of a page, as names below its folder."""
    parser = _Hrefs()
    parser.feed(page)
    for address in parser.found:
        parts = urlsplit(address)
        name = unquote(parts.path).strip("/")
        if not parts.scheme and not parts.netloc and name and ".." not in name.split("/"):
            yield name


def _entry(it: Shown) -> Entry:
    scenario = it.about.get("scenario", {})
    return Entry(
        id=str(it.about.get("id") or it.place),
        digest=str(it.about.get("digest") or ""),
        title=str(scenario.get("title") or it.place),
        updated=str(it.about.get("ended") or it.about.get("started") or ""),
        summary=" ".join(it.sentences),
        page=f"{quote(it.place)}/report.html",
    )


def _card(it: Shown) -> dict[str, Any]:
    """What the index says of a run."""
    about, scenario = it.about, it.about.get("scenario", {})
    versions = about.get("versions", {})
    kernels = sorted({str(host.get("kernel")) for host in about.get("hosts", [])})
    facts = {
        say("Measured"): f"{(about.get('started') or '')[:16].replace('T', ' ')} UTC" if about.get("started") else "–",
        say("Status"): about.get("status"),
        say("Testbed"): say(
            "{testbed}, fidelity {fidelity}", testbed=about.get("testbed"), fidelity=about.get("fidelity")
        ),
        say("Arms"): ", ".join(f"{arm} ({engine})" for arm, engine in about.get("engine", {}).items()) or "–",
        say("Kernel"): ", ".join(kernels) or "–",
        say("Programs"): ", ".join(
            f"{name} {versions[name]}" for name in ("nginx", "haproxy", "ab") if name in versions
        ),
    }
    links = [
        (f"{quote(it.place)}/{quote(page.name)}", _page_name(page.name)) for page in sorted(it.run.path.glob(_PAGES))
    ]
    if it.archive:
        links.append((quote(it.archive), say("All raw files (zip)")))
    return {
        "id": about.get("id") or it.place,
        "anchor": it.place,
        "title": scenario.get("title") or it.place,
        "question": scenario.get("question") or "",
        "answer": it.sentences[0] if it.sentences else "",
        "more": it.sentences[1:],
        "facts": facts,
        "links": links,
    }


def _page_name(name: str) -> str:
    """Of a report in another language its name tells which: report.ko.html."""
    spoken = name.removeprefix("report").removesuffix(".html").strip(".")
    return say("The report ({language})", language=LANGUAGES.get(spoken, spoken)) if spoken else say("The report")
