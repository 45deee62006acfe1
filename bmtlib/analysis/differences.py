"""Under which conditions runs were measured, side by side: what must be equal before their figures are compared."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import yaml
from pydantic import ValidationError

from bmtlib.analysis.raw import Raw
from bmtlib.analysis.read_limits import speeds
from bmtlib.errors import InputError
from bmtlib.params.profile import Profile
from bmtlib.params.scenario import Scenario
from bmtlib.parsers import ethtool, lscpu
from bmtlib.rundir import RunDir
from bmtlib.texts import msg

# What must be equal, in the words of `bmt report --despite`.
GROUPS = {
    "scenario": msg("what was asked: arms, factors, hosts, tuning"),
    "load": msg("what clients asked for, and with which load generator"),
    "testbed": msg("its kind, what it can show, which CPUs the director had"),
    "engine": msg("what drove each arm"),
    "kernel": msg("kernels of the hosts"),
    "cpu": msg("processors"),
    "nic": msg("network cards: driver, firmware, speed"),
    "versions": msg("versions of the programs that served, balanced and asked"),
    "settings": msg("kernel settings: profiles, and what hosts refused"),
}
UNKNOWN = "unknown"
# Parts of a scenario that are words, or say how often and in which order: no condition of a single case.
_FREE = ("title", "question", "expect", "claims", "repetitions", "order", "seed", "probes")
_WORDS = ("title", "source", "reason", "reasons", "holds")  # of a profile
_VM = ("accelerator", "kernel_args", "vcpus", "queues", "ring", "memory_mib")

_Row = tuple[str, str, bool, list[str]]


def names(runs: Sequence[RunDir]) -> list[str]:
    """What each run is called: its id. InputError when two are the same run."""
    found = [str(run.run_json().get("id", run.path.name)) for run in runs]
    for name in found:
        if found.count(name) > 1:
            raise InputError(f"the run {name} is named twice", todo="give each run once")
    return found


def differences(runs: Sequence[RunDir]) -> pd.DataFrame:
    """One row per condition. group: of GROUPS, or "other"; what; must: it has to be equal; equal; a column per run.

    Values are texts, "unknown" where a run folder does not tell: known and unknown are not equal. Of scenario, load
    and settings only what differs has a row.
    """
    columns = names(runs)
    rows = [
        {
            "group": group,
            "what": what,
            "must": must,
            "equal": len(set(values)) == 1,
            **dict(zip(columns, values, strict=True)),
        }
        for group, what, must, values in _rows(runs)
    ]
    types: dict[str, str] = {"group": "string", "what": "string", "must": "bool", "equal": "bool"}
    types |= dict.fromkeys(columns, "string")
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def refuse(found: pd.DataFrame, despite: Collection[str] = ()) -> None:
    """Raise one InputError with what must be equal and is not, but for the groups in `despite`."""
    if wrong := sorted(set(despite) - GROUPS.keys()):
        raise InputError(f"no condition is named {wrong[0]!r}", where="--despite", todo=f"of {', '.join(GROUPS)}")
    bad = found[found["must"] & ~found["equal"] & ~found["group"].isin(list(despite))]
    if bad.empty:
        return
    runs = list(found.columns[4:])
    lines = [
        f"    {row['group']}: {row['what']}: {' | '.join(_cut(row[run]) for run in runs)}" for _, row in bad.iterrows()
    ]
    more = [f"    ... and {len(lines) - 20} more"] if len(lines) > 20 else []
    groups = ",".join(group for group in GROUPS if group in set(bad["group"]))
    raise InputError(
        "these runs were not measured under the same conditions:\n" + "\n".join([*lines[:20], *more]),
        where=" | ".join(runs),
        todo=f"compare them all the same with --despite {groups}, or --anyway; the page shows what differs",
    )


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _rows(runs: Sequence[RunDir]) -> Iterator[_Row]:
    about = [run.run_json() for run in runs]
    wishes = [_scenario(run) for run in runs]
    yield from _leaves("scenario", [_without(wish, ("load", *_FREE)) for wish in wishes], must=True)
    yield from _leaves("load", [wish.get("load", {}) for wish in wishes], must=True)
    yield from _leaves("other", [{key: wish.get(key) for key in ("repetitions", "order", "seed")} for wish in wishes])
    yield from _testbed(about)
    arms = list(dict.fromkeys(arm for run in about for arm in (run.get("engine") or {})))
    for arm in arms:
        yield "engine", arm, True, [(run.get("engine") or {}).get(arm, UNKNOWN) for run in about]
    roles = [Raw(run) for run in runs]
    for role in ("director", "web", "client"):
        yield "kernel", role, True, [_joined(host["kernel"] for host in _of(run, role)) for run in about]
    yield "cpu", "processor", True, [_processors(raw) for raw in roles]
    for role in ("director", "web", "client"):
        yield "nic", role, True, [_cards(raw, role) for raw in roles]
    yield from _versions(about, wishes)
    yield from _settings(runs, about)


def _scenario(run: RunDir) -> dict[str, Any]:
    """As today's bmtlib spells it out: what an older run did not say had today's default."""
    wish = run.read_json("plan.json").get("scenario")
    with suppress(ValidationError):
        return Scenario.model_validate(wish).model_dump(mode="json")
    return wish if isinstance(wish, dict) else {}


def _without(wish: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in wish.items() if key not in keys}


def _leaves(group: str, values: Sequence[object], path: str = "", must: bool = False) -> Iterator[_Row]:
    """Each value that is not the same everywhere, with its key path."""
    if all(value == values[0] for value in values):
        return
    if all(isinstance(value, dict) for value in values):
        for key in dict.fromkeys(key for value in values for key in value):  # type: ignore[attr-defined]
            below = [value.get(key) for value in values]  # type: ignore[attr-defined]
            yield from _leaves(group, below, f"{path}.{key}" if path else str(key), must)
    else:
        yield group, path, must, [_text(value) for value in values]


def _text(value: object) -> str:
    """As people read it."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _joined(values: Iterator[str]) -> str:
    return ", ".join(sorted(set(values))) or UNKNOWN


def _of(run: Mapping[str, Any], role: str) -> list[dict[str, Any]]:
    return [host for host in run.get("hosts") or [] if host["role"] == role]


def _testbed(about: Sequence[Mapping[str, Any]]) -> Iterator[_Row]:
    for key, must in (("testbed", True), ("fidelity", True), ("privilege", False)):
        yield (
            "testbed" if must else "other",
            {"testbed": "kind"}.get(key, key),
            must,
            [str(run.get(key) or UNKNOWN) for run in about],
        )
    yield "testbed", "number of the director's CPUs", True, [str(len(run.get("director_cpus") or [])) for run in about]
    for key, what in (("separate", "director on CPUs of its own"), ("rps", "packets steered to each host's CPUs")):
        yield "testbed", what, True, [_text((run.get("placement") or {}).get(key)) for run in about]
    if any(run.get("machine") for run in about):
        machines = [{key: (run.get("machine") or {}).get(key) for key in _VM} for run in about]
        yield from _leaves("testbed", machines, "virtual director", must=True)


def _processors(raw: Raw) -> str:
    """Model and number of CPUs of each machine that was asked; of older runs of a lab what the controller said."""
    found = []
    for host in raw.hosts():
        if rows := raw.fact(host, "lscpu.once.txt", lscpu.parse):
            fields = {row["field"]: row["value"] for row in rows}
            found.append(f"{fields.get('Model name', UNKNOWN)}, {fields.get('CPU(s)', '?')} CPUs")
    controller = raw.run.run_json().get("controller") or {}
    if not found and controller.get("cpu"):
        found.append(f"{controller['cpu']}, {controller['cpus']} CPUs")
    return _joined(iter(found))


def _cards(raw: Raw, role: str) -> str:
    found = []
    for host in raw.hosts(role):
        paths = sorted((raw.run.path / "facts" / host).glob("ethtool_driver@*.once.txt"))
        speed = speeds(raw, host) if paths else {}
        for path in paths:
            for card in raw.fact(host, path.name, ethtool.parse_driver) or []:
                mbit = speed.get(path.name.removeprefix("ethtool_driver@").removesuffix(".once.txt"))
                words = (card["driver"], card["version"], card["firmware_version"], f"{mbit} Mbit/s" if mbit else "")
                found.append(" ".join(word for word in words if word))
    return _joined(iter(found))


def _versions(about: Sequence[Mapping[str, Any]], wishes: Sequence[Mapping[str, Any]]) -> Iterator[_Row]:
    """Of programs that a request meets its version must be equal; others are told where they differ."""
    engines = {engine for run in about for engine in (run.get("engine") or {}).values()}
    needed = {"nginx", *(wish.get("load", {}).get("engine", "ab") for wish in wishes)}
    needed |= {"haproxy"} & engines | ({"ipvsadm"} if "ipvs" in engines else set()) | ({"nft"} & engines)
    needed.discard("open_loop")  # bmtlib's own
    versions = [(run.get("versions") or {}) for run in about]
    for name in dict.fromkeys(name for found in versions for name in found):
        row = [str(found.get(name, UNKNOWN)) for found in versions]
        if name in needed or len(set(row)) > 1:
            yield "versions" if name in needed else "other", name, name in needed, row
    yield "other", "bmtlib", False, [str(run.get("bmtlib", UNKNOWN)) for run in about]
    yield "other", "measured", False, [str(run.get("started") or UNKNOWN) for run in about]


def _settings(runs: Sequence[RunDir], about: Sequence[Mapping[str, Any]]) -> Iterator[_Row]:
    """What profiles wish; wishes that hosts could not be given; what a lab's hosts have of their machine."""
    yield from _leaves("settings", [_profiles(run) for run in runs], must=True)
    shared = [(run.get("controller") or {}).get("sysctls") for run in about]
    if all(shared):  # older runs do not tell, and testbed ssh has none
        yield from _leaves("settings", shared, must=True)
    yield from _leaves("settings", [_refused(run) for run in runs], must=True)


def _profiles(run: RunDir) -> dict[str, Any]:
    """Each profile without its words, as today's bmtlib spells it out."""
    found = {}
    for path in sorted(run.path.glob("profiles/*.yml")):
        try:
            wish = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise InputError(f"profiles/{path.name} cannot be read: {error}", where=str(path)) from None
        with suppress(ValidationError):
            wish = Profile.model_validate(wish).model_dump(mode="json")
        found[f"profile {path.stem}"] = _wishes(wish)
    return found


def _wishes(value: object) -> object:
    if isinstance(value, dict):
        return {key: _wishes(below) for key, below in value.items() if key not in _WORDS}
    return value


def _refused(run: RunDir) -> dict[str, bool]:
    """Wishes that were not applied, by role and key."""
    roles, found = Raw(run).roles, dict[str, bool]()
    for path in sorted(run.path.glob("changes/*.json")):
        for wish in run.read_json(f"changes/{path.name}").get("not_applied", []):
            found[f"refused by {roles.get(path.stem, 'host')}: {wish['key']} = {wish['want']}"] = True
    return found
