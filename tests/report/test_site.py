"""The folder for static hosting: what is in it, that it needs nothing else, and that it harms nobody's files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from bmtlib.cli import main
from bmtlib.errors import InputError, MachineError
from bmtlib.report.site import MADE, build_site
from bmtlib.rundir import RunDir

MakeRun = Callable[..., RunDir]
ATOM = "{http://www.w3.org/2005/Atom}"
PAGE = (
    '<!DOCTYPE html><html lang="en"><a href="run.json">run</a><a href="cases/b1-proxy">raw</a><a href="#top">top</a>'
    '<a href="../../secret">up</a><a href="/etc/passwd">root</a><a href="data:text/csv;base64,YQ==">csv</a></html>'
)


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path, hostile: str) -> list[RunDir]:
    (tmp_path / "secret").write_text("mine")
    found = [
        make_run(tmp_path / "runs/20261123T000000Z-one-aaaaaa"),
        make_run(tmp_path / "runs/odd name & <b>", said=hostile),
    ]
    for run in found:
        run.write("report.html", PAGE)
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Addresses(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "object")
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]


def test_index_feed_and_all_that_they_lead_to(runs: list[RunDir], tmp_path: Path) -> None:
    index = build_site(runs, tmp_path / "site")
    made = files(tmp_path / "site")
    odd = "odd-name-b"
    assert {"index.html", "feed.xml", ".nojekyll", f"{odd}/report.html", f"{odd}/run.json"} <= made.keys()
    assert f"{odd}/cases/b1-proxy/case.json" in made
    assert made["20261123T000000Z-one-aaaaaa/report.html"].decode() == PAGE
    assert not any("secret" in name or "passwd" in name or content == b"mine" for name, content in made.items())
    addresses = Addresses(index.read_text()).found
    for address in addresses:
        if not address.startswith(("data:", "#")):
            assert not urlsplit(address).netloc
            assert (tmp_path / "site" / unquote(address)).is_file(), address
    assert {f"{odd}/report.html", "feed.xml"} <= set(addresses)
    listing = Addresses(made[f"{odd}/cases/b1-proxy/index.html"].decode()).found
    assert "case.json" in listing


def test_the_feed_is_atom_and_keeps_its_ids(runs: list[RunDir], tmp_path: Path) -> None:
    build_site(runs, tmp_path / "site", title="Ours")
    feed = ET.fromstring((tmp_path / "site/feed.xml").read_bytes())
    assert feed.findtext(f"{ATOM}title") == "Ours"
    assert len(feed.findall(f"{ATOM}entry")) == 2
    for part in (feed, *feed.findall(f"{ATOM}entry")):
        assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", part.findtext(f"{ATOM}id") or "")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", part.findtext(f"{ATOM}updated") or "")
    ids = {entry.findtext(f"{ATOM}id") for entry in feed.findall(f"{ATOM}entry")}
    build_site(runs[:1], tmp_path / "other", address="https://example.org/b")
    other = ET.fromstring((tmp_path / "other/feed.xml").read_bytes())
    assert other.findtext(f"{ATOM}entry/{ATOM}id") in ids
    links = [link.get("href") for link in other.iter(f"{ATOM}link")]
    assert all(link and link.startswith("https://example.org/b/") for link in links)


def test_twice_is_once_and_what_went_goes(runs: list[RunDir], tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(runs, site, archives=True)
    (site / "CNAME").write_text("example.org")
    before = files(site)
    times = {path: path.stat().st_mtime_ns for path in site.rglob("*.html")}
    build_site(runs, site, archives=True)
    assert files(site) == before
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*.html")} == times
    build_site(runs[:1], site)
    left = files(site)
    assert "CNAME" in left
    assert not [name for name in left if name.startswith("odd") or name.endswith(".zip")]
    assert not (site / "odd-name-b").exists()
    assert json.loads(left[MADE])["files"] == sorted(left.keys() - {"CNAME"})


def test_a_damaged_note_removes_nothing_outside(runs: list[RunDir], tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(runs[:1], site)
    (site / MADE).write_text(json.dumps({"files": ["../secret", "/etc/hostname", 3, "index.html"]}))
    build_site(runs[:1], site)
    assert (tmp_path / "secret").read_text() == "mine"
    (site / MADE).write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        build_site(runs[:1], site)


def test_what_is_refused(runs: list[RunDir], tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/index.html").write_text("theirs")
    with pytest.raises(InputError, match="did not make"):
        build_site(runs, tmp_path / "theirs")
    assert files(tmp_path / "theirs") == {"index.html": b"theirs"}
    with pytest.raises(InputError, match="two runs are named"):
        build_site([runs[0], runs[0]], tmp_path / "site")
    with pytest.raises(InputError, match="is no web address"):
        build_site(runs, tmp_path / "site", address="example.org")
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write the site"):
        build_site(runs, tmp_path / "file" / "site")
    assert not (tmp_path / "site").exists()


def test_a_run_without_a_report_gets_one(runs: list[RunDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (runs[0].path / "report.html").unlink()
    monkeypatch.setattr("bmtlib.report.build.build_report", lambda path: RunDir(path).write("report.html", PAGE))
    done = CliRunner().invoke(main, ["site", *(str(run.path) for run in runs), "--to", str(tmp_path / "site")])
    assert done.output == f"{tmp_path / 'site' / 'index.html'}\n", done.output
    assert (tmp_path / "site/20261123T000000Z-one-aaaaaa/report.html").is_file()


def test_linked_files_that_are_links_are_left_out(runs: list[RunDir], tmp_path: Path) -> None:
    shutil.copy(runs[0].path / "run.json", tmp_path / "run.json")
    (runs[0].path / "cases/b1-proxy/leak").symlink_to(tmp_path / "secret")
    build_site(runs[:1], tmp_path / "site")
    assert not list((tmp_path / "site").rglob("leak"))
