"""The report's page: it needs nothing from outside, shows hostile text as text, and is made for all readers."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from bmtlib.report.page import make_page
from bmtlib.rundir import RunDir

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Page(HTMLParser):
    """A page taken apart: elements with their attributes, in order; the text outside of style; the data it keeps."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = self.kept = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.kept = data
        elif "style" not in self.open:
            self.text += data

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="session")
def page(report: Path) -> Page:
    return Page(report.read_text())


def test_a_chapter_that_says_nothing_of_a_run_is_left_out(tmp_path: Path, report: Path) -> None:
    def said(html: str) -> nbformat.NotebookNode:
        output = nbformat.v4.new_output("execute_result", data={"text/html": html, "text/plain": "<Html>"})
        return nbformat.v4.new_code_cell("x", outputs=[output])

    new = nbformat.v4.new_markdown_cell
    stream = nbformat.v4.new_code_cell("y", outputs=[nbformat.v4.new_output("stream", text="printed")])
    cells = [said("<p>head</p>"), new("## Contents"), new("## Hollow\n\nWords."), said(""), said(" \n")]
    cells += [new("## Half"), said(""), said("<p>half</p>"), new("## Words alone\n\nA method."), new("## Loud"), stream]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "x.ipynb")
    made = Page(make_page(RunDir(report.parent), tmp_path / "x.ipynb", tmp_path, "en", [], "sign"))
    assert "Hollow" not in made.text
    for word in ("head", "Contents", "Half", "half", "A method.", "Loud", "printed"):
        assert word in made.text


def test_nothing_is_loaded_from_anywhere(page: Page, report: Path) -> None:
    loads = [a[name] for _, a in page.elements for name in ("src", "srcset", "data", "poster", "action") if name in a]
    assert loads
    assert all(address.startswith("data:image/svg+xml;base64,") for address in loads)
    assert page.all("script") == [{"type": "application/json", "id": "bmt-run"}]  # data, which is not run
    assert not page.all("iframe", "object", "embed", "base", "form")
    assert not [name for _, a in page.elements for name in a if name.startswith("on")]
    style = "".join(re.findall(r"<style>(.*?)</style>", report.read_text(), re.DOTALL))
    assert style
    assert not re.search(r"url\(|@import|//", style)
    assert all("style" not in attributes for _, attributes in page.elements)


def test_links_lead_into_the_page_or_to_files_of_the_run(page: Page, report: Path) -> None:
    links = [a["href"] for a in page.all("a")]
    assert links
    anchors = {a["id"] for _, a in page.elements if "id" in a}
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors
        elif not link.startswith(("data:text/csv;base64,", "data:application/gzip;base64,")):
            assert not re.match(r"[a-z]+:|/|\.\.", link), link
            assert (report.parent / link).exists(), link


def test_policy_forbids_what_the_page_does_not_need(page: Page) -> None:
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_hostile_text_is_shown_as_text(page: Page, report: Path, hostile: str) -> None:
    assert page.text.count(hostile) >= 8  # title, question, host, versions, guards, proofs, changes, errors
    assert page.all("title")
    assert report.read_text().count("<script") == 1
    assert all(a["src"].startswith("data:") for a in page.all("img"))


def test_run_can_be_repeated_from_the_page(page: Page, report: Path) -> None:
    kept = json.loads(page.kept)
    about = {"form", "run", "name", "version", "versions", "digest", "search", "settings", "profiles"}
    assert set(kept) == {*about, "scenario", "testbed"}
    assert kept["digest"] == json.loads((report.parent / "run.json").read_text())["digest"]
    for name in ("scenario", "testbed"):
        assert kept[name] == (report.parent / f"{name}.yml").read_text()


def test_notebooks_show_hostile_text_as_text_too(report: Path) -> None:
    for path in (report.parent / "notebooks").glob("*.ipynb"):
        for cell in path.read_text().split('"text/html": [')[1:]:
            assert "<script" not in cell.split('"text/plain"')[0]


def test_readable_by_all(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(headings))
    assert all(len(a["alt"]) > 20 for a in page.all("img"))
    assert {a.get("scope") for a in page.all("th")} == {"col", "row"}
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_small_enough_to_mail(report: Path) -> None:
    assert report.stat().st_size < 3_000_000


def test_tells_nothing_of_this_machine(report: Path) -> None:
    for path in [report, *(report.parent / "notebooks").glob("*.ipynb")]:
        assert str(report.parent) not in path.read_text()
        assert str(Path(__file__).parent) not in path.read_text()
