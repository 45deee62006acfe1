"""Run folders made up for tests: what the runner would have written, with texts and endings as a test wants them."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from bmtlib.params.paths import project_root
from bmtlib.params.scenario import Scenario
from bmtlib.params.testbed import Testbed
from bmtlib.plan import Plan, make_plan
from bmtlib.report import build_report, page, parameters
from bmtlib.rundir import RunDir

_HOSTILE = """<script>alert('x')</script> "quoted" 'too' & <img src=http://evil.example/x onerror=alert(1)> ${x} `y` [z](http://evil.example)"""

_RATES = {"direct": 20_000.0, "proxy": 7000.0, "l2dsr": 9000.0}


def _make_run(
    folder: Path,
    *,
    title: str = "Proxy against L2DSR",
    arms: tuple[str, ...] = ("direct", "proxy", "l2dsr"),
    repetitions: int = 3,
    factors: dict[str, list[object]] | None = None,
    levers: dict[str, object] | None = None,
    claims: list[object] | None = None,
    cases: int | None = None,
    status: str = "done",
    case_status: dict[str, str] | None = None,
    said: str = "fine",
) -> RunDir:
    """A run with every case's record and no raw files.

    `cases`: how many of the plan were tried (default: all). `case_status`: by case id, when not done. `said`: what
    hosts said, wherever a host may say something.
    """
    scenario = Scenario.model_validate(
        {
            "title": title,
            "question": f"Which is it? {said}",
            "expect": said,
            "arms": dict.fromkeys(arms),
            "load": {"concurrency": 200, "seconds": 5},
            "repetitions": repetitions,
            "factors": factors or {},
            "levers": levers or {},
            "claims": claims or [],
            "tuning": "none",
        }
    )
    plan = make_plan(scenario, Testbed())
    run = RunDir(folder)
    run.write("plan.json", plan.to_json())
    run.write("scenario.yml", "")
    run.write_json("run.json", _run_json(plan, folder.name, status, said))
    run.write_json(
        "changes/director.json",
        {
            "applied": [{"what": said, "before": said, "want": said, "scope": "netns", "reason": said}],
            "not_applied": [{"host": "director", "key": said, "want": said, "now": None, "why": said}],
        },
    )
    for case in plan.cases[: len(plan.cases) if cases is None else cases]:
        state = (case_status or {}).get(case.id, "done")
        run.write_json(f"cases/{case.id}/case.json", _case_json(case, state, said))
    return run


def _run_json(plan: Plan, name: str, status: str, said: str) -> dict[str, Any]:
    roles = {"director": ["director"], "web": ["web01", "web02"], "client": ["client01", "client02"]}
    return {
        "format": 1,
        "id": name,
        "scenario": {"name": "made-up", "title": plan.scenario.title, "question": plan.scenario.question},
        "testbed": "netns",
        "fidelity": "namespace",
        "privilege": "root",
        "digest": plan.digest,
        "status": status,
        "started": "2026-11-23T02:07:02Z",
        "ended": "2026-11-23T02:08:10Z",
        "engine": {"direct": "none", "proxy": "haproxy", "l2dsr": "nft"},
        "versions": {"nginx": said, "haproxy": "2.6"},
        "bmtlib": "0.1.0",
        "director_cpus": [1],
        "other_cpus": [0],
        "placement": {"rps": True, "separate": True},
        "error": None if status == "done" else {"what": said, "where": "", "todo": ""},
        "hosts": [
            {
                "name": host,
                "role": role,
                "addresses": {"front": "192.168.16.1"},
                "interfaces": {"front": "eth0"},
                "kernel": said,
                "cpus": [1] if role == "director" else [0],
            }
            for role, names in roles.items()
            for host in names
        ],
    }


def _case_json(case: Any, status: str, said: str) -> dict[str, Any]:
    window_s = 5.0
    completed = 0 if status == "empty" else int(_RATES.get(case.arm, 5000.0) * window_s * (1 + case.block / 100))
    verdict = {"done": "ok", "empty": "ok", "rejected": "reject"}.get(status, "mark")
    measured = status in ("done", "empty", "rejected")
    client = {
        "host": "client01",
        "url": "http://192.168.16.100:80/dummy_file_5120",
        "concurrency": 200,
        "status": "done",
        "rc": 0,
        "start_epoch_s": 1000.0,
        "seconds": window_s,
        "completed": completed,
        "failed": 0,
        "opened": completed,
        "document_bytes": 5120,
        "said": said,
    }
    return {
        "format": 1,
        "id": case.id,
        "arm": case.arm,
        "kind": case.kind,
        "engine": {"direct": "none", "proxy": "haproxy", "l2dsr": "nft"}[case.kind],
        "block": case.block,
        "index": case.index,
        "levels": case.levels,
        "load": case.load.model_dump(mode="json"),
        "status": "done" if status == "empty" else status,
        "error": {"what": said, "where": said, "todo": said} if status == "failed" else None,
        "started_epoch_s": 999.0,
        "start_epoch_s": 1000.0 if measured else None,
        "end_epoch_s": 1000.0 + window_s if measured else None,
        "window_s": window_s if measured else None,
        "skew_ms": 3.0 if measured else None,
        "requests": {"sent": completed, "completed": completed, "failed": 0, "cut_off": 0, "opened": completed},
        "clients": [client] if measured else [],
        "guards": [{"name": "answers", "verdict": verdict, "value": 0.0, "limit": 0.001, "text": said}],
        "preflight": [{"name": "arp", "ok": True, "text": said}],
        "director_cpus": [1],
        "phase_s": {"load": 5.4},
        "changes": [
            {"host": "director", "what": f"{word} eth0", "before": said, "want": said, "scope": "host", "reason": said}
            for word in ("steering", "file")
        ],
        "not_applied": [{"host": "director", "key": said, "want": said, "now": None, "why": said}],
    }


@pytest.fixture(scope="session")
def make_run() -> Callable[..., RunDir]:
    """Makes a run folder; see `_make_run`."""
    return _make_run


@pytest.fixture(scope="session")
def write_notebook() -> Callable[..., Path]:
    """Writes a notebook of code cells, the first of which holds the parameters; returns its path."""

    def write(path: Path, *cells: str) -> Path:
        made = [nbformat.v4.new_code_cell(cell) for cell in cells]
        made[0].metadata["tags"] = ["parameters"]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel}), path)
        return path

    return write


@pytest.fixture(scope="session")
def hostile() -> str:
    """A text that does harm wherever it is not escaped."""
    return _HOSTILE


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with figures of its own (data/demo, if it is there) in which every text is hostile."""
    folder = tmp_path_factory.mktemp("runs") / "hostile"
    demo = project_root() / "data" / "demo"
    if demo.is_dir():
        skipped = shutil.ignore_patterns("report.html", "notebooks", "tables", "figures")
        shutil.copytree(demo, folder, ignore=skipped)
        _poison(folder)
    else:
        _make_run(folder, title=_HOSTILE, said=_HOSTILE)
    return build_report(folder)


@pytest.fixture
def page_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[RunDir], str]:
    """Makes a run's page without kernels: the report notebook's cells, one after the other, in this process."""
    monkeypatch.setattr(parameters, "check_parameters", lambda *_, **__: None)

    def made(folder: RunDir) -> str:
        notebook = nbformat.read(project_root() / "notebooks" / "90-report.ipynb", as_version=4)
        known: dict[str, Any] = {}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                *before, last = ast.parse(cell.source).body
                shown = isinstance(last, ast.Expr)
                exec(compile(ast.Module(before if shown else [*before, last], []), cell.id, "exec"), known)
                known["run"] = str(folder.path)
                if isinstance(last, ast.Expr):
                    value = eval(compile(ast.Expression(last.value), cell.id, "eval"), known)
                    data = {"text/plain": repr(value), "text/html": value._repr_html_()}
                    cell.outputs = [nbformat.v4.new_output("execute_result", data, execution_count=1)]
        executed = tmp_path / "executed.ipynb"
        nbformat.write(notebook, executed)
        return page.make_page(folder, executed, folder.path, "en", [], "")

    return made


def _poison(folder: Path) -> None:
    """Replace what a scenario's author or a host may write."""
    free = {"title", "question", "expect", "text", "said", "reason", "source", "why", "kernel", "nginx", "what"}

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poisoned(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [poisoned(inner, key) for inner in value]
        return _HOSTILE if key in free and isinstance(value, str) else value

    files = [
        folder / "run.json",
        folder / "plan.json",
        *folder.glob("changes/*.json"),
        *folder.glob("cases/*/case.json"),
    ]
    for path in files:
        path.write_text(json.dumps(poisoned(json.loads(path.read_text()))))
    for path in (folder / "scenario.yml", folder / "testbed.yml"):
        path.write_text(f"{path.read_text()}# </script>{_HOSTILE}\n")
