"""Under which conditions a run was measured: load, hosts, CPUs, programs, settings that were applied or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from bmtlib.analysis.naming import level
from bmtlib.cpus import to_list
from bmtlib.errors import BmtError, InputError
from bmtlib.params.factors import DIRECTOR_FACTORS
from bmtlib.params.repetitions import Repetitions, words
from bmtlib.params.units import size_text
from bmtlib.parsers import lscpu
from bmtlib.report.render import MISSING, Html, Number, link, render, table
from bmtlib.rundir import RunDir

# First words of what a tuning changes; the rest of a case's changes is its arm.
_TUNING = ("sysctl", "nic", "irq", "irqbalance", "steering", "cpu")
_GENERATORS = {
    "ab": "Apache Bench (ab), a closed loop",
    "wrk": "wrk, a closed loop",
    "h2load": "h2load, a closed loop",
    "open_loop": "bmtlib's own open loop",
}
_ROLES = {"client": "clients", "director": "director", "web": "web hosts"}


def load(folder: RunDir) -> Html:
    """What was asked of every arm, and what varied."""
    plan = folder.read_json("plan.json")
    scenario = plan["scenario"]
    wish = scenario["load"]
    facts = {
        "File": size_text(wish["file_size"]),
        **_offered(wish, scenario["clients"]),
        "Each case ends after": f"{_ends(wish)}, behind {wish['warmup_seconds']} s of warm-up that do not count",
        "Connections": "kept alive" if wish["keepalive"] else "a new one for each request",
        "Load generator": f"{_GENERATORS[wish['engine']]}, all clients from one start instant",
        "Blocks": _blocks(folder.run_json(), scenario["repetitions"]),
        "Order": f"{scenario['order']} (seed {scenario['seed']})",
    }
    for factor, levels in scenario["factors"].items():
        facts[f"Varied: {factor.replace('_', ' ')}"] = ", ".join(_level(factor, level) for level in levels)
    if chosen := scenario.get("combinations"):
        named = (
            " and ".join(f"{factor.replace('_', ' ')} {_level(factor, it[factor])}" for factor in it) for it in chosen
        )
        facts["Varied together"] = "; ".join(named)
    return render("facts", facts=facts)


def _blocks(run: Mapping[str, Any], wish: Any) -> str:
    """How many blocks, why no more, and whether they were measured in one go."""
    stopping = run.get("stopping") or {}
    count = words(wish if isinstance(wish, int) else Repetitions.model_validate(wish))
    text = f"{count}; each holds every case once"
    if stopping.get("reason"):
        times = f"{len(stopping['looks'])} time{'s' if len(stopping['looks']) != 1 else ''}"
        text += (
            f". Ended {stopping['reason']}. The interval is the plain one: that it was looked at {times}, each ready "
            "to end the run, makes it hold a little less often than it says"
        )
    elif stopping:
        text += ". The run was broken off before its rule ended it"
    if (sessions := len(run.get("sessions", []))) > 1:
        text += f". Measured in {sessions} sessions on the same hosts (run.json has their times)"
    return text


def _ends(wish: Mapping[str, Any]) -> str:
    """What ends a case's load."""
    if wish.get("seconds") is not None:
        return f"{wish['seconds']} s"
    if wish.get("rounds") is not None:
        return f"{wish['rounds']} requests for each connection"
    return f"{wish['requests']:,} requests"


def _offered(wish: Mapping[str, Any], clients: int) -> dict[str, str]:
    if wish.get("rate") is None:
        over = f"{clients} clients"
        if wish.get("per_client"):
            over = f"as many of {clients} clients as {wish['per_client']:,} for each take"
        return {"Concurrency": f"{wish['concurrency']:,} connections open at a time, over {over}"}
    return {
        "Offered": f"{wish['rate']:,} requests/s at equal distances, by {clients} clients in turn",
        "Concurrency": f"{wish['concurrency']:,} connections open at a time at the most",
    }


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
        **_director(run),
        "CPUs of the director": to_list(run["director_cpus"]) or MISSING,
        "CPUs of all others": to_list(run["other_cpus"]) or MISSING,
        "Director apart from the others": _yes(placement.get("separate"), "its CPUs' busy time is its own cost"),
        "Packets steered to the director's CPUs (RPS)": _yes(placement.get("rps"), ""),
        **_shared(run),
        "Rights": {"root": "root", "rootless": "none (user namespace)"}.get(run["privilege"], MISSING),
        "Engines": ", ".join(f"{arm}: {engine}" for arm, engine in run["engine"].items()) or MISSING,
        "Programs": ", ".join(f"{name} {version}" for name, version in run["versions"].items()) or MISSING,
        "bmtlib": run["bmtlib"],
    }
    return render("facts", facts=facts)


def _shared(run: Mapping[str, Any]) -> dict[str, str]:
    """Settings of this machine that a lab's hosts have and its tuning leaves alone."""
    found = (run.get("controller") or {}).get("sysctls")
    return (
        {"Kernel settings of all hosts": ", ".join(f"{key} {value}" for key, value in found.items())} if found else {}
    )


def _director(run: Mapping[str, Any]) -> dict[str, str]:
    """A director that has a kernel of its own on this machine: what it is made of."""
    vm = run.get("machine")
    if not vm:
        return {}
    cpus = f"{vm['vcpus']} CPU{'' if vm['vcpus'] == 1 else 's'} on CPU {to_list(vm['cpus'])} of this machine"
    queues = f"{vm['queues']} queue{'' if vm['queues'] == 1 else 's'} per card, ring {vm['ring']}"
    arguments = f", kernel arguments {' '.join(vm['kernel_args'])}" if vm["kernel_args"] else ""
    return {
        "Director": f"virtual machine, kernel {vm['kernel']}{arguments}; {cpus}; {queues}; {vm['memory_mib']} MiB; "
        f"up in {vm['boot_s']:.0f} s",
        "Accelerator": f"{vm['accelerator']}: {vm['accelerator_reason']}",
    }


def _yes(value: object, why: str) -> str:
    if value is None:
        return MISSING
    return (f"yes: {why}" if why else "yes") if value else "no"


def _processor(folder: RunDir, run: Mapping[str, Any]) -> str:
    """Of every machine that a host was asked about; whose it is, where there are several."""
    found = {}
    for host in run.get("hosts", []):
        path = folder.path / "facts" / host["name"] / "lscpu.once.txt"
        with suppress(OSError, BmtError):
            fields = {row["field"]: row["value"] for row in lscpu.parse(path.read_text())}
            virtual = f", virtual machine ({fields['Hypervisor vendor']})" if fields.get("Hypervisor vendor") else ""
            found[host["name"]] = f"{fields.get('Model name', 'unknown')}, {fields.get('CPU(s)', '?')} CPUs{virtual}"
    if len(found) < 2:
        return next(iter(found.values()), MISSING)
    return "; ".join(f"{name}: {text}" for name, text in found.items())


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


def settings(folder: RunDir) -> Html:
    """What the levers and numbers of queues of single cases changed on the director, and what it could not be given."""
    done: dict[tuple[str, ...], list[str]] = {}
    refused: dict[tuple[str, ...], list[str]] = {}
    for case_id in folder.case_ids():
        with suppress(InputError):
            case = folder.case(case_id)
            own = [level(factor, case["levels"][factor]) for factor in DIRECTOR_FACTORS if factor in case["levels"]]
            where = f"{case['arm']}, {', '.join(own)}"
            if own:
                for change in case.get("changes", []):
                    if change["what"].split()[0] in _TUNING:
                        row = (change["what"], _value(change["before"]), _value(change["want"]), change["reason"])
                        done.setdefault(row, []).append(where)
                for wish in case.get("not_applied", []):
                    row = (wish["key"], _value(wish["now"]), _value(wish["want"]), wish["why"])
                    refused.setdefault(row, []).append(where)
    parts = [
        table(caption, [_setting(row, cases, why) for row, cases in found.items()])
        for caption, found, why in (
            ("Changed on the director for single cases, each read back", done, "reason"),
            ("Not applied on the director in single cases", refused, "why not"),
        )
        if found
    ]
    return Html("\n").join(parts)


def _setting(row: tuple[str, ...], cases: list[str], why: str) -> dict[str, object]:
    what, before, want, reason = row
    return {"what": what, "before": before, "wanted": want, "cases": "; ".join(dict.fromkeys(cases)), why: reason}


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
