"""Under which conditions a run was measured: load, hosts, CPUs, programs, settings that were applied or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from bmtlib.cpus import to_list
from bmtlib.errors import BmtError
from bmtlib.params.units import size_text
from bmtlib.parsers import lscpu
from bmtlib.report.render import MISSING, Html, Number, link, render, table
from bmtlib.rundir import RunDir

_ROLES = {"client": "clients", "director": "director", "web": "web hosts"}


def load(folder: RunDir) -> Html:
    """What was asked of every arm, and what varied."""
    plan = folder.read_json("plan.json")
    scenario = plan["scenario"]
    wish = scenario["load"]
    ends = f"{wish['seconds']} s" if wish.get("seconds") is not None else f"{wish['requests']:,} requests"
    facts = {
        "File": size_text(wish["file_size"]),
        "Concurrency": f"{wish['concurrency']:,} connections open at a time, over {scenario['clients']} clients",
        "Each case ends after": f"{ends}, behind {wish['warmup_seconds']} s of warm-up that do not count",
        "Connections": "kept alive" if wish["keepalive"] else "a new one for each request",
        "Load generator": "Apache Bench (ab), all clients from one start instant",
        "Blocks": f"{scenario['repetitions']}; each holds every case once",
        "Order": f"{scenario['order']} (seed {scenario['seed']})",
    }
    for factor, levels in scenario["factors"].items():
        facts[f"Varied: {factor.replace('_', ' ')}"] = ", ".join(_level(factor, level) for level in levels)
    return render("facts", facts=facts)


def _level(factor: str, level: Any) -> str:
    return size_text(level) if factor == "file_size" and isinstance(level, int) else str(level)


def hosts(folder: RunDir) -> Html:
    """The hosts by role: how many, where, on which CPUs, with which kernel."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for host in folder.run_json().get("hosts", []):
        found.setdefault(host["role"], []).append(host)
    rows = [
        {
            "role": _ROLES.get(role, role),
            "hosts": Number.of(len(members)),
            "names": _span([host["name"] for host in members]),
            "front network": _span([host["addresses"].get("front", "") for host in members]),
            "back network": _span([host["addresses"].get("back", "") for host in members]),
            "CPUs": to_list({cpu for host in members for cpu in host["cpus"]}),
            "kernel": ", ".join(sorted({host["kernel"] for host in members})),
        }
        for role, members in found.items()
    ]
    return table("Hosts, by role", rows, empty="the run ended before its hosts were up")


def _span(texts: list[str]) -> str:
    known = [text for text in texts if text]
    if not known:
        return MISSING
    return known[0] if len(known) == 1 else f"{known[0]} … {known[-1]}"


def machine(folder: RunDir) -> Html:
    """The machine, the engines and the versions of what measured and was measured."""
    run = folder.run_json()
    placement = run.get("placement", {})
    facts = {
        "Processor": _processor(folder, run),
        "CPUs of the director": to_list(run["director_cpus"]) or MISSING,
        "CPUs of all others": to_list(run["other_cpus"]) or MISSING,
        "Director apart from the others": _yes(placement.get("separate"), "its CPUs' busy time is its own cost"),
        "Packets steered to the director's CPUs (RPS)": _yes(placement.get("rps"), ""),
        "Rights": {"root": "root", "rootless": "none (user namespace)"}.get(run["privilege"], MISSING),
        "Engines": ", ".join(f"{arm}: {engine}" for arm, engine in run["engine"].items()) or MISSING,
        "Programs": ", ".join(f"{name} {version}" for name, version in run["versions"].items()) or MISSING,
        "bmtlib": run["bmtlib"],
    }
    return render("facts", facts=facts)


def _yes(value: object, why: str) -> str:
    if value is None:
        return MISSING
    return (f"yes: {why}" if why else "yes") if value else "no"


def _processor(folder: RunDir, run: Mapping[str, Any]) -> str:
    for host in run.get("hosts", []):
        path = folder.path / "facts" / host["name"] / "lscpu.once.txt"
        with suppress(OSError, BmtError):
            fields = {row["field"]: row["value"] for row in lscpu.parse(path.read_text())}
            virtual = f", virtual machine ({fields['Hypervisor vendor']})" if fields.get("Hypervisor vendor") else ""
            return f"{fields.get('Model name', 'unknown')}, {fields.get('CPU(s)', '?')} CPUs{virtual}"
    return MISSING


def tuning(folder: RunDir) -> Html:
    """What was changed on the hosts, and which wishes of the tuning profile they could not be given, and why."""
    done: dict[tuple[str, ...], list[str]] = {}
    refused: dict[tuple[str, ...], list[str]] = {}
    for path in sorted((folder.path / "changes").glob("*.json")):
        changes = folder.read_json(f"changes/{path.name}")
        for change in changes["applied"]:
            key = (change["what"], _value(change["before"]), _value(change["want"]), change["reason"])
            done.setdefault(key, []).append(path.stem)
        for wish in changes["not_applied"]:
            key = (wish["key"], _value(wish["now"]), _value(wish["want"]), wish["why"])
            refused.setdefault(key, []).append(path.stem)
    name = folder.read_json("plan.json")["scenario"]["tuning"]
    return Html("\n").join(
        [
            table(
                f"Not applied, of the profile {name!r}",
                _changes(folder, refused, ("now", "why not")),
                empty="nothing; every setting was taken" if done else "the run ended before its hosts were up",
            ),
            render(
                "details",
                summary=f"Applied: {len(done)} change{'' if len(done) == 1 else 's'}",
                content=table(
                    "Applied, each read back", _changes(folder, done, ("before", "reason")), empty="no change was made"
                ),
            ),
        ]
    )


def _changes(
    folder: RunDir, found: Mapping[tuple[str, ...], list[str]], heads: tuple[str, str]
) -> list[dict[str, object]]:
    was, why = heads
    return [
        {"what": what, was: before, "wanted": want, "hosts": _hosts(folder, names), why: reason}
        for (what, before, want, reason), names in found.items()
    ]


def _value(value: object) -> str:
    return MISSING if value is None else str(value)


def _hosts(folder: RunDir, names: Iterable[str]) -> Html:
    """Host names, of which the first leads to its changes."""
    first, *others = names
    more = f" … {others[-1]} ({len(others) + 1})" if others else ""
    return link(folder, f"changes/{first}.json", first) + more
