"""Which probes are taken: those that a scenario names, by host, moment and engine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from bmtlib.errors import InputError
from bmtlib.measure.probes import BY_NAME, PROBES, Probe, When
from bmtlib.params.document import closest


def check_names(names: Sequence[str] | str) -> None:
    """Raise InputError for a name in a scenario's `probes` that is not in the table."""
    wrong = [name for name in names if name not in BY_NAME] if names != "all" else []
    if wrong:
        raise InputError(
            f"no probe is named {', '.join(map(repr, wrong))}; {closest(wrong[0], BY_NAME)}",
            where="probes",
            todo="`all`, or names from the table of probes in data/README.md",
        )


def select(
    when: Iterable[When],
    *,
    role: str,
    interfaces: Iterable[str],
    engine: str | Collection[str] | None,
    names: Sequence[str] | str,
    shared_machine: bool,
    from_outside: bool = False,
) -> list[Probe]:
    """Probes for one host at one moment, one for each interface where that applies.

    `engine`: the case's, or all of the run; `names` are the scenario's: "all" or a list. With `shared_machine` another
    host of the machine answers for it; the director always answers for its own. `from_outside`: what can be read of
    the host without entering it, and nothing else; otherwise nothing of this.
    """
    engines = {engine} if isinstance(engine, str) else set(engine or ())
    chosen = []
    for probe in PROBES:
        named = names == "all" or probe.name in names or (from_outside and probe.instead_of in names)
        wanted = probe.when in when and role in probe.roles and named
        if (
            not wanted
            or from_outside != bool(probe.instead_of)
            or (probe.machine and shared_machine and role != "director")
        ):
            continue
        if probe.engines is not None and not engines & set(probe.engines):
            continue
        if probe.per_interface:
            chosen += [
                replace(probe, name=f"{probe.name}@{interface}", command=(*probe.command, interface))
                for interface in sorted(set(interfaces))
            ]
        else:
            chosen.append(probe)
    return chosen
