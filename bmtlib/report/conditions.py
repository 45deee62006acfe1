"""Under which conditions a run was measured: load, hosts, CPUs, programs, settings that were applied or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from bmtlib.analysis.naming import enumerated, factor_word, level
from bmtlib.cpus import to_list
from bmtlib.errors import BmtError, InputError
from bmtlib.params.factors import DIRECTOR_FACTORS
from bmtlib.params.repetitions import Repetitions, words
from bmtlib.params.units import size_text
from bmtlib.parsers import lscpu
from bmtlib.report.render import MISSING, Html, Number, link, render, table
from bmtlib.rundir import RunDir
from bmtlib.texts import msg, say, say_n, translated

# First words of what a tuning changes; the rest of a case's changes is its arm.
_TUNING = ("sysctl", "nic", "irq", "irqbalance", "steering", "cpu")
_GENERATORS = {
    "ab": msg("Apache Bench (ab), a closed loop"),
    "wrk": msg("wrk, a closed loop"),
    "h2load": msg("h2load, a closed loop"),
    "open_loop": msg("bmtlib's own open loop"),
}
_ROLES = {"client": msg("clients"), "director": msg("director"), "web": msg("web hosts")}


def load(folder: RunDir) -> Html:
    """What was asked of every arm, and what varied."""
    plan = folder.read_json("plan.json")
    scenario = plan["scenario"]
    wish = scenario["load"]
    facts = {
        say("File"): size_text(wish["file_size"]),
        **_offered(wish, scenario["clients"]),
        say("Each case ends after"): say(
            "{end}, behind {seconds} s of warm-up that do not count", end=_ends(wish), seconds=wish["warmup_seconds"]
        ),
        say("Connections"): say("kept alive") if wish["keepalive"] else say("a new one for each request"),
        say("Load generator"): say(
            "{generator}, all clients from one start instant", generator=translated(_GENERATORS[wish["engine"]])
        ),
        say("Blocks"): _blocks(folder.run_json(), scenario["repetitions"]),
        say("Order"): say("{order} (seed {seed})", order=scenario["order"], seed=scenario["seed"]),
    }
    for factor, levels in scenario["factors"].items():
        facts[say("Varied: {factor}", factor=factor_word(factor))] = ", ".join(
            _level(factor, level) for level in levels
        )
    if chosen := scenario.get("combinations"):
        named = (enumerated([f"{factor_word(factor)} {_level(factor, it[factor])}" for factor in it]) for it in chosen)
        facts[say("Varied together")] = "; ".join(named)
    if plan.get("search"):
        knee = scenario["knee"]
        facts.pop(say("Offered") if knee["vary"] == "rate" else say("Concurrency"), None)  # that is only its start
        facts[say("Searched: {factor}", factor=factor_word(knee["vary"]))] = say(
            "from {lowest} up to {highest}", lowest=f"{knee['lowest']:,}", highest=f"{knee['highest']:,}"
        )
    return render("facts", facts=facts)


def _blocks(run: Mapping[str, Any], wish: Any) -> str:
    """How many blocks, why no more, and whether they were measured in one go."""
    stopping = run.get("stopping") or {}
    count = words(wish if isinstance(wish, int) else Repetitions.model_validate(wish))
    texts = [say("{count}; each holds every case once", count=count)]
    if stopping.get("reason"):
        texts.append(
            say_n(
                "Ended {reason}. The interval is the plain one: that it was looked at {n} time, each ready to end the "
                "run, makes it hold a little less often than it says",
                "Ended {reason}. The interval is the plain one: that it was looked at {n} times, each ready to end the "
                "run, makes it hold a little less often than it says",
                len(stopping["looks"]),
                reason=stopping["reason"],
            )
        )
    elif stopping:
        texts.append(say("The run was broken off before its rule ended it"))
    if (sessions := len(run.get("sessions", []))) > 1:
        texts.append(say("Measured in {count} sessions on the same hosts (run.json has their times)", count=sessions))
    return ". ".join(texts)


def _ends(wish: Mapping[str, Any]) -> str:
    """What ends a case's load."""
    if wish.get("seconds") is not None:
        return say("{seconds} s", seconds=wish["seconds"])
    if wish.get("rounds") is not None:
        return say("{count} requests for each connection", count=wish["rounds"])
    return say("{count} requests", count=f"{wish['requests']:,}")


def _offered(wish: Mapping[str, Any], clients: int) -> dict[str, str]:
    if wish.get("rate") is None:
        values: dict[str, object] = {"count": f"{wish['concurrency']:,}", "clients": clients}
        over = say("{count} connections open at a time, over {clients} clients", **values)
        if wish.get("per_client"):
            over = say(
                "{count} connections open at a time, over as many of {clients} clients as {each} for each take",
                each=f"{wish['per_client']:,}",
                **values,
            )
        return {say("Concurrency"): over}
    return {
        say("Offered"): say(
            "{rate} requests/s at equal distances, by {clients} clients in turn",
            rate=f"{wish['rate']:,}",
            clients=clients,
        ),
        say("Concurrency"): say("{count} connections open at a time at the most", count=f"{wish['concurrency']:,}"),
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
            say("role"): translated(_ROLES.get(role, role)),
            say("hosts"): Number.of(len(members)),
            say("names"): _span([host["name"] for host in members]),
            say("front network"): _span([host["addresses"].get("front", "") for host in members]),
            say("back network"): _span([host["addresses"].get("back", "") for host in members]),
            say("CPUs"): to_list({cpu for host in members for cpu in host["cpus"]}),
            say("kernel"): ", ".join(sorted({host["kernel"] for host in members})),
        }
        for role, members in found.items()
    ]
    return table(say("Hosts, by role"), rows, empty=say("the run ended before its hosts were up"))


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
        say("Processor"): _processor(folder, run),
        **_director(run),
        say("CPUs of the director"): to_list(run["director_cpus"]) or MISSING,
        say("CPUs of all others"): to_list(run["other_cpus"]) or MISSING,
        say("Director apart from the others"): _yes(
            placement.get("separate"), say("its CPUs' busy time is its own cost")
        ),
        say("Packets steered to the director's CPUs (RPS)"): _yes(placement.get("rps"), ""),
        **_shared(run),
        "Rights": {"root": "root", "rootless": say("none (user namespace)")}.get(run["privilege"], MISSING),
        say("Engines"): ", ".join(f"{arm}: {engine}" for arm, engine in run["engine"].items()) or MISSING,
        say("Programs"): ", ".join(f"{name} {version}" for name, version in run["versions"].items()) or MISSING,
        say("bmtlib"): run["bmtlib"],
    }
    return render("facts", facts=facts)


def _shared(run: Mapping[str, Any]) -> dict[str, str]:
    """Settings of this machine that a lab's hosts have and its tuning leaves alone."""
    found = (run.get("controller") or {}).get("sysctls")
    return (
        {say("Kernel settings of all hosts"): ", ".join(f"{key} {value}" for key, value in found.items())}
        if found
        else {}
    )


def _director(run: Mapping[str, Any]) -> dict[str, str]:
    """A director that has a kernel of its own on this machine: what it is made of."""
    vm = run.get("machine")
    if not vm:
        return {}
    cpus = say_n(
        "{n} CPU on CPU {host_cpus} of this machine",
        "{n} CPUs on CPU {host_cpus} of this machine",
        vm["vcpus"],
        host_cpus=to_list(vm["cpus"]),
    )
    queues = say_n("{n} queue per card, ring {ring}", "{n} queues per card, ring {ring}", vm["queues"], ring=vm["ring"])
    given = vm["kernel_args"]
    arguments = say(", kernel arguments {arguments}", arguments=" ".join(given)) if given else ""
    return {
        say("Director"): say(
            "virtual machine, kernel {kernel}{arguments}; {cpus}; {queues}; {memory} MiB; up in {seconds} s",
            kernel=vm["kernel"],
            arguments=arguments,
            cpus=cpus,
            queues=queues,
            memory=vm["memory_mib"],
            seconds=f"{vm['boot_s']:.0f}",
        ),
        say("Accelerator"): f"{vm['accelerator']}: {vm['accelerator_reason']}",
    }


def _yes(value: object, why: str) -> str:
    if value is None:
        return MISSING
    if not value:
        return say("no")
    return say("yes: {why}", why=why) if why else say("yes")


def _processor(folder: RunDir, run: Mapping[str, Any]) -> str:
    """Of every machine that a host was asked about; whose it is, where there are several."""
    found = {}
    for host in run.get("hosts", []):
        path = folder.path / "facts" / host["name"] / "lscpu.once.txt"
        with suppress(OSError, BmtError):
            fields = {row["field"]: row["value"] for row in lscpu.parse(path.read_text())}
            vendor = fields.get("Hypervisor vendor")
            found[host["name"]] = say(
                "{model}, {count} CPUs{virtual}",
                model=fields.get("Model name", say("unknown")),
                count=fields.get("CPU(s)", "?"),
                virtual=say(", virtual machine ({vendor})", vendor=vendor) if vendor else "",
            )
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
                say("Not applied, of the profile {name}", name=repr(name)),
                _changes(folder, refused, (say("now"), say("why not"))),
                empty=say("nothing; every setting was taken")
                if done
                else say("the run ended before its hosts were up"),
            ),
            render(
                "details",
                summary=say_n("Applied: {n} change", "Applied: {n} changes", len(done)),
                content=table(
                    say("Applied, each read back"),
                    _changes(folder, done, (say("before"), say("reason"))),
                    empty=say("no change was made"),
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
            (say("Changed on the director for single cases, each read back"), done, say("reason")),
            (say("Not applied on the director in single cases"), refused, say("why not")),
        )
        if found
    ]
    return Html("\n").join(parts)


def _setting(row: tuple[str, ...], cases: list[str], why: str) -> dict[str, object]:
    what, before, want, reason = row
    where = "; ".join(dict.fromkeys(cases))
    return {say("what"): what, say("before"): before, say("wanted"): want, say("cases"): where, why: reason}


def _changes(
    folder: RunDir, found: Mapping[tuple[str, ...], list[str]], heads: tuple[str, str]
) -> list[dict[str, object]]:
    was, why = heads
    return [
        {say("what"): what, was: before, say("wanted"): want, say("hosts"): _hosts(folder, names), why: reason}
        for (what, before, want, reason), names in found.items()
    ]


def _value(value: object) -> str:
    return MISSING if value is None else str(value)


def _hosts(folder: RunDir, names: Iterable[str]) -> Html:
    """Host names, of which the first leads to its changes."""
    first, *others = names
    more = f" … {others[-1]} ({len(others) + 1})" if others else ""
    return link(folder, f"changes/{first}.json", first) + more
