"""A report's scenario, made ready to be run again on this machine; and what is not as it was."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import bmtlib
from bmtlib.errors import InputError
from bmtlib.programs import program_versions
from bmtlib.report.embedded import Embedded, read_embedded
from bmtlib.run import Loaded, load


def load_again(page: Path | str, testbed: str | None = None, settings: Sequence[str] = ()) -> tuple[Loaded, list[str]]:
    """The plan of a report, and a line for each thing that differs from the run in it.

    `testbed`, `settings`: as of `bmt run`, where they shall be others. Raises InputError when the page is no report,
    damaged, of a newer bmtlib, or holds what this bmtlib does not take.
    """
    found = read_embedded(page)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", found.name or "rerun").strip("-.") or "rerun"
    with tempfile.TemporaryDirectory(prefix="bmt-rerun-") as folder:
        scenario, bed = Path(folder) / f"{name}.yml", Path(folder) / "testbed.yml"
        scenario.write_text(found.scenario, encoding="utf-8")
        bed.write_text(found.testbed, encoding="utf-8")
        try:
            loaded = load(str(scenario), testbed or str(bed), settings, search=found.search == "knee")
        except InputError as error:
            texts = [text.replace(f"{folder}/", f"{page}: ") for text in (error.what, error.where, error.todo)]
            raise InputError(texts[0], where=texts[1], todo=texts[2]) from None
    return loaded, _differs(found, loaded)


def _differs(found: Embedded, loaded: Loaded) -> list[str]:
    lines = []
    for name, text in found.profiles.items():
        if loaded.texts.get(f"profiles/{name}", text) != text:
            lines.append(f"profile {name}: params/profiles has another one now, and that is taken")
    if found.digest != loaded.plan.digest and not lines:
        lines.append("plan: another one than that of the run (settings, profiles, or what bmtlib makes of them)")
    if found.bmtlib != bmtlib.__version__:
        lines.append(f"bmtlib: was {found.bmtlib}, is {bmtlib.__version__}")
    if loaded.plan.testbed.kind == "ssh":  # its hosts are asked when the run begins
        return lines
    before, now = found.versions, program_versions()
    for name in before:
        if now.get(name) != before[name]:
            lines.append(f"{name}: was {before[name]}, is {now.get(name) or 'absent'}")
    return lines
