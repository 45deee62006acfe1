"""What the hosts of a case showed, for guards to judge: raw files, read by their parsers when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bmtlib.errors import ParseError
from bmtlib.measure.outcome import counters
from bmtlib.measure.probes import BY_NAME, PROBES
from bmtlib.parsers.samples import split_samples

Files = Mapping[str, Mapping[str, bytes]]  # of a case: by host, by name


_INSTEAD = {probe.instead_of: probe.name for probe in PROBES if probe.instead_of}
_TICKS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


class Seen:
    """`files` of a case; `roles` and `machines` by host; `director_cpus`: those that are the director's own.

    What was not probed, or not understood, is None: a guard then says that it does not know. (Files that a parser
    refuses are told of in the report, as `problems`.)
    """

    def __init__(
        self, files: Files, roles: Mapping[str, str], machines: Mapping[str, str], director_cpus: frozenset[int]
    ) -> None:
        self.files, self.machines, self.director_cpus = files, machines, director_cpus
        self.roles = roles
        self._rows: dict[tuple[str, str, str], Sequence[Any] | None] = {}

    def hosts(self, *roles: str) -> list[str]:
        """Hosts of these roles, all when none is named."""
        return [name for name, role in self.roles.items() if not roles or role in roles]

    @property
    def director(self) -> str:
        return self.hosts("director")[0]

    def taken(self, host: str, probe: str, moment: str = "after") -> str:
        """Which of the two probes that can say the same a host was asked."""
        other = _INSTEAD.get(probe, probe)
        return other if f"{other}.{moment}.txt" in self.files.get(host, {}) else probe

    def rows(self, host: str, probe: str, moment: str) -> Sequence[Any] | None:
        """Rows of a probe, or of that which was taken instead of it: it has all that is judged here, by those names."""
        probe = self.taken(host, probe, moment)
        key = (host, probe, moment)
        if key not in self._rows:
            content = self.files.get(host, {}).get(f"{probe}.{moment}.txt")
            try:
                self._rows[key] = (
                    None if content is None else BY_NAME[probe.split("@")[0]].parse(content.decode(errors="replace"))
                )
            except ParseError:
                self._rows[key] = None
        return self._rows[key]

    def around(self, host: str, probe: str) -> tuple[Sequence[Any], Sequence[Any]] | None:
        """Rows before and after the load; None unless both are there."""
        before, after = self.rows(host, probe, "before"), self.rows(host, probe, "after")
        return None if before is None or after is None else (before, after)

    def counters(self, host: str) -> tuple[Mapping[str, int], Mapping[str, int]] | None:
        """The kernel's counters (nstat, or snmp) before and after the load; None unless both are there."""
        before, after = self._counters(host, "before"), self._counters(host, "after")
        return None if before is None or after is None else (before, after)

    def _counters(self, host: str, moment: str) -> Mapping[str, int] | None:
        probe = self.taken(host, "nstat", moment)
        content = self.files.get(host, {}).get(f"{probe}.{moment}.txt")
        try:
            return None if content is None else counters(probe, content.decode(errors="replace"))
        except ParseError:
            return None

    def growth(self, host: str, counter: str) -> int | None:
        """By how much one of the kernel's counters grew."""
        found = self.counters(host)
        if found is None or counter not in found[0] or counter not in found[1]:
            return None
        return found[1][counter] - found[0][counter]

    def cpu_shares(self, host: str, start_epoch_s: float, end_epoch_s: float) -> dict[int, tuple[float, float]] | None:
        """By CPU of the machine that `host` speaks for: the shares of the time in which it was busy (stolen time
        among it: the CPU could not do more), and in which it was stolen.

        Between the first and the last sample within the load; where there are no two, from before it to after it.
        """
        rows = [parsed for at, parsed in self.samples(host, "stat") if start_epoch_s <= at <= end_epoch_s]
        around = (rows[0], rows[-1]) if len(rows) > 1 else self.around(host, "stat")
        if around is None:
            return None
        before, after = ({row["cpu"]: row for row in part if row["cpu"] is not None} for part in around)
        shares = {}
        for cpu in before.keys() & after.keys():
            spent = {kind: max(0, after[cpu][f"{kind}_ticks"] - before[cpu][f"{kind}_ticks"]) for kind in _TICKS}
            if total := sum(spent.values()):
                shares[cpu] = (1 - (spent["idle"] + spent["iowait"]) / total, spent["steal"] / total)
        return shares

    def samples(self, host: str, probe: str) -> list[tuple[float, Sequence[Any]]]:
        """What was read while the load ran: (epoch seconds by the host's clock, rows), if anything was."""
        probe = self.taken(host, probe, "during")
        content = self.files.get(host, {}).get(f"{probe}.during.txt", b"")
        try:
            parse = BY_NAME[probe].parse
            return [(at, parse(text)) for at, text in split_samples(content.decode(errors="replace"))]
        except ParseError:
            return []
