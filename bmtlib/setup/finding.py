"""The words of `bmt lint`: what is asked of a profile, and what is found for each of its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bmtlib.params.profile import Profile, Role
from bmtlib.setup.kernel_keys import Kernel, find

# ok: does what it says. absent: the kernel has no such key. inert: changes nothing, here or because of another setting.
# lower-than-default: takes something away. harmful. global: no namespace has it for itself. unknown: no knowledge.
Verdict = Literal["ok", "absent", "inert", "lower-than-default", "harmful", "global", "unknown"]
FINE: tuple[Verdict, ...] = ("ok", "unknown")
# What a rule returns: a verdict and its reason, None when it has nothing to say.
Judgement = tuple[Verdict, str] | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The judgement of one setting. `source`: where the reason can be read."""

    key: str
    value: str
    verdict: Verdict
    reason: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A profile, for a role (None: not known), on a kernel; `namespace`: for hosts that are network namespaces."""

    profile: Profile
    kernel: Kernel
    role: Role | None
    namespace: bool

    def sysctl(self, key: str) -> str | None:
        """The value in force once the profile is applied: its own, else the default; None where that is not known."""
        if key in self.profile.sysctl:
            return self.profile.sysctl[key].value
        known = find(key)
        return known.default_on(self.kernel) if known else None
