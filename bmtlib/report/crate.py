"""A run folder described for machines: ro-crate-metadata.json (RO-Crate 1.1, profile Process Run Crate).

Made of the folder alone, so the same folder gives the same bytes, whoever writes it and when.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from bmtlib.errors import InputError
from bmtlib.rundir import RunDir

NAME = "ro-crate-metadata.json"
_SPECIFICATION = "https://w3id.org/ro/crate/1.1"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_TYPES = {
    "html": "text/html",
    "ipynb": "application/x-ipynb+json",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "pdf": "application/pdf",
    "yml": "application/yaml",
}
# What lies right below a run folder: data/README.md has it in full.
_FILES = {
    "run.json": "The run as a whole: testbed, hosts, versions, status",
    "scenario.yml": "The question with its arms, factors and load, every default spelt out",
    "testbed.yml": "The hosts, every default spelt out",
    "plan.json": "Every case in the order in which it was measured",
    "knee.json": "Each case of a search for the knee, and whether it kept the objective",
    "events.jsonl": "Every step with its time",
    "report.html": "The report: one page that opens offline",
    "report.pdf": "The report, printed",
}
_FOLDERS = {
    "cases": "Raw output and verdicts, case by case",
    "facts": "The hosts before any change, and probes that are taken once",
    "changes": "What was changed on each host, and what could not be",
    "profiles": "Kernel and nginx settings that the scenario's tuning meant",
    "failed": "Earlier tries of cases",
    "sessions": "Facts and changes of later sessions of a run that was gone on with",
    "tables": "Tidy tables (Parquet), made from the raw files",
    "notebooks": "Executed notebooks",
    "figures": "Figures (SVG, PNG) and the tables that they draw (CSV)",
}
_ENDED = {"done": "CompletedActionStatus", "failed": "FailedActionStatus", "interrupted": "FailedActionStatus"}

Entity = dict[str, Any]


def crate(run: RunDir, license_name: str = "") -> str:
    """The text of ro-crate-metadata.json. `license_name`: an SPDX identifier or an address; empty: none is stated.

    Raises InputError when run.json cannot be read, or the licence is no such name.
    """
    about = run.run_json()
    files, folders = list(_files(run)), list(_folders(run))
    cases = [entity for entity in folders if entity["@id"].startswith("cases/") and entity["@id"] != "cases/"]
    below = [entity for entity in folders if entity not in cases]
    for entity in below:
        if entity["@id"] == "cases/" and cases:
            entity["hasPart"] = _ids(cases)
    licence = _licence(license_name)
    action = _action(about, [entity["@id"] for entity in (*files, *below)])
    scenario = about.get("scenario", {})
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"{scenario.get('title', 'A run')} ({about.get('id', run.path.name)})",
        "description": f"{scenario.get('question', '')} Measured by bmtlib {about.get('bmtlib', '')} on the testbed "
        f"{about.get('testbed')}, fidelity {about.get('fidelity')}; status {about.get('status')}.".strip(),
        "identifier": about.get("id", run.path.name),
        "datePublished": about.get("ended") or about.get("started") or _date(str(about.get("id", ""))),
        "license": {"@id": licence["@id"]},
        "conformsTo": {"@id": _PROFILE},
        "keywords": ["load balancer", "benchmark", "direct server return", *about.get("engine", {})],
        "hasPart": _ids([*files, *below]),
        "mentions": [{"@id": action["@id"]}],
    }
    descriptor = {
        "@id": NAME,
        "@type": "CreativeWork",
        "conformsTo": {"@id": _SPECIFICATION},
        "about": {"@id": "./"},
    }
    profile = {"@id": _PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    graph = [descriptor, root, *files, *below, *cases, action, *_programs(about), licence, profile]
    return json.dumps({"@context": f"{_SPECIFICATION}/context", "@graph": graph}, indent=1, ensure_ascii=False) + "\n"


def write_crate(run: RunDir) -> None:
    """Put ro-crate-metadata.json into the folder. Raises MachineError when it cannot be written."""
    run.write(NAME, crate(run))


def _ids(entities: list[Entity]) -> list[Entity]:
    return [{"@id": entity["@id"]} for entity in entities]


def _files(run: RunDir) -> Iterator[Entity]:
    found = [path for path in sorted(run.path.glob("report.*.*")) if path.suffix in (".html", ".pdf")]
    for name in [*_FILES, *(path.name for path in found)]:
        if (run.path / name).is_file():
            about = _FILES.get(name, "The report in another language")
            yield {
                "@id": quote(name),
                "@type": "File",
                "name": name,
                "description": about,
                "encodingFormat": _TYPES[name.rpartition(".")[2]],
                "contentSize": str((run.path / name).stat().st_size),
            }


def _folders(run: RunDir) -> Iterator[Entity]:
    for name, about in _FOLDERS.items():
        if (run.path / name).is_dir() and any((run.path / name).iterdir()):
            yield {"@id": f"{name}/", "@type": "Dataset", "name": name, "description": about}
    with suppress(InputError):  # no plan: a run that failed before it had one
        for case_id in run.case_ids():
            case = run.case(case_id)
            yield {
                "@id": f"cases/{quote(case_id)}/",
                "@type": "Dataset",
                "name": f"{case['arm']}, block {case['block']}: {case['status']}",
                "identifier": case_id,
            }


def _action(about: Entity, parts: list[str]) -> Entity:
    asked = [name for name in parts if name in ("scenario.yml", "testbed.yml", "profiles/")]
    status = _ENDED.get(str(about.get("status")))
    error = (about.get("error") or {}).get("what")
    scenario = about.get("scenario", {})
    found = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run of the scenario {scenario.get('name')}",
        "description": scenario.get("question"),
        "startTime": about.get("started"),
        "endTime": about.get("ended"),
        "actionStatus": {"@id": f"http://schema.org/{status}"} if status else None,
        "error": error if status == "FailedActionStatus" else None,
        "instrument": {"@id": "#bmtlib"},
        "object": [{"@id": name} for name in asked],
        "result": [{"@id": name} for name in parts if name not in asked],
    }
    return {key: value for key, value in found.items() if value}


def _programs(about: Entity) -> Iterator[Entity]:
    versions = about.get("versions", {})
    yield {
        "@id": "#bmtlib",
        "@type": "SoftwareApplication",
        "name": "bmtlib",
        "softwareVersion": str(about.get("bmtlib")),
        "softwareRequirements": [{"@id": f"#{quote(name)}"} for name in versions],
    }
    for name, version in versions.items():
        yield {"@id": f"#{quote(name)}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version}


def _licence(name: str) -> Entity:
    if not name:
        why = "Nobody has said yet who may use these data and how: ask whoever gave them to you."
        return {"@id": "#licence", "@type": "CreativeWork", "name": "No licence is stated", "description": why}
    if not re.fullmatch(r"https?://\S+|[A-Za-z0-9][A-Za-z0-9.+-]*", name):
        raise InputError(
            f"{name!r} is no licence's name",
            where="--license",
            todo="an SPDX identifier such as CC-BY-4.0, or an address",
        )
    address = name if "://" in name else f"https://spdx.org/licenses/{name}"
    return {"@id": address, "@type": "CreativeWork", "name": name}


def _date(name: str) -> str:
    """Of a run that was never begun: when its folder was made, which its name tells."""
    match = re.match(r"(\d{4})(\d\d)(\d\d)T", name)
    return "-".join(match.groups()) if match else "1970-01-01"
