"""The rules for sysctls. A rule looks at one key, and at others where its effect depends on them.

The first rule of RULES that has something to say decides; each returns the verdict and the reason, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from bmtlib.params.document import closest
from bmtlib.params.profile import Role
from bmtlib.setup.finding import Asked, Finding, Judgement, Verdict
from bmtlib.setup.kernel_keys import CHECKED, KernelKey, find, known_keys, shown

_PAGES_PER_GIB = 2**30 // 4096
_TCP_MEM_SHARE = (0.0469, 0.0625, 0.0937)  # of the memory: tcp_init_mem() in net/ipv4/tcp.c
# Frames per microsecond at 10 Gbit/s, all of the smallest size: more than one CPU takes through the kernel's stack.
_FRAMES_PER_US = 14.88
_TIME_WAIT_S = 60  # TCP_TIMEWAIT_LEN, include/net/tcp.h
_NO_LIMIT = 2**63 - 1
_NUMBER = re.compile(r"-?(\d{1,20}|0x[0-9a-f]{1,16})", re.ASCII)
_FIRST_FREE_PORT = 1024  # net.ipv4.ip_unprivileged_port_start

# Modules that are there before the profile is applied. Without LVS a director has no arm that these keys matter to.
_LOADED: dict[Role | None, frozenset[str]] = {"director": frozenset({"ip_vs"})}

# only_for -> roles that have such sockets, and what to say of the others.
_SOCKETS: dict[str, tuple[tuple[Role, ...], str]] = {
    "listening": (("director", "web"), "It concerns listening sockets, and a client has none."),
    "connecting": (("client", "director"), "It concerns connections that a host opens, and a web host opens none."),
    "keepalive": ((), "It acts only on sockets with SO_KEEPALIVE, which neither ab nor nginx nor HAProxy sets here."),
    "sndbuf": ((), "It bounds SO_SNDBUF, which neither ab nor nginx nor HAProxy sets here."),
    "not-tcp": ((), "TCP takes the second value of {tcp} instead."),
}
_SCOPES = {
    "netns-readonly": "a network namespace sees it, and only the machine can set it",
    "host": "belongs to all network namespaces of the machine together",
    "machine": "belongs to the whole machine, and not to its network alone",
}
_PLACES = (" (first value)", " (second value)", " (third value)")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One key of the profile that is asked about, its value, and what is known of it."""

    key: str
    value: str
    known: KernelKey
    asked: Asked

    @property
    def default(self) -> str | None:
        return self.known.default_on(self.asked.kernel)

    @property
    def numbers(self) -> list[int]:
        """The words of the value, as the kernel reads them; [] when one is no number."""
        words = self.value.split()
        return [int(word, 16 if "x" in word else 10) for word in words] if all(map(_NUMBER.fullmatch, words)) else []


def _absent(it: Setting) -> Judgement:
    known, kernel = it.known, it.asked.kernel
    if known.instead:
        return "absent", f"{known.does} {known.instead} is meant; `sysctl -p` only prints an error."
    if kernel < known.since:
        return "absent", f"It came with Linux {shown(known.since)}."
    if known.until and kernel >= known.until:
        return "absent", f"{known.does} Linux {shown(known.until)} has it no more."
    if known.module and known.module not in _LOADED.get(it.asked.role, ()):
        return "absent", f"The key exists only while the module {known.module} is loaded; before, setting it fails."
    return None


def _global(it: Setting) -> Judgement:
    if it.asked.namespace and it.known.scope != "netns":
        return "global", f"It {_SCOPES[it.known.scope]}."
    return None


def _refused(it: Setting) -> Judgement:
    default = it.default or "0"
    if _NUMBER.fullmatch(default.split()[0]) and not it.numbers:
        return "inert", f"The kernel refuses it: {it.value!r} is not made of numbers."
    return None


def _smaller_than_another(it: Setting) -> Judgement:
    if not it.known.larger:
        return None
    family, _, rest = it.key.partition(".conf.")
    interface, _, name = rest.rpartition(".")
    if interface == "all":
        if it.value == "0":
            return "inert", "The larger of `all` and the interface's own value counts, so 0 here disables nothing."
        return None
    every = it.asked.sysctl(f"{family}.conf.all.{name}") or "0"
    if every.isdecimal() and it.numbers and it.numbers[0] < int(every):
        return "inert", f"The larger of `all` and the interface's own value counts, and `all` has {every}."
    return None


def _as_it_is(it: Setting) -> Judgement:
    if it.default is not None and it.value.split() == it.default.split():
        return "ok", f"The default{_where(it)}. {it.known.does}"
    return None


def _no_such_socket(it: Setting) -> Judgement:
    if not it.known.only_for:
        return None
    roles, why = _SOCKETS[it.known.only_for]
    if roles and (it.asked.role is None or it.asked.role in roles):
        return None
    tcp = it.key.replace("net.core.", "net.ipv4.tcp_").removesuffix("_default")
    return "inert", why.format(tcp=tcp)


def _syn_backlog(it: Setting) -> Judgement:
    cookies = it.asked.sysctl("net.ipv4.tcp_syncookies")
    if it.key == "net.ipv4.tcp_max_syn_backlog" and cookies != "0":
        why = f"It is not looked at while net.ipv4.tcp_syncookies is {cookies}"
        return "inert", f"{why}; the queue of handshakes is then as long as the listen queue."
    return None


def _budget(it: Setting) -> Judgement:
    us = it.asked.sysctl("net.core.netdev_budget_usecs")
    if it.key != "net.core.netdev_budget" or us is None or not us.isdecimal():
        return None
    packets = int(int(us) * _FRAMES_PER_US)
    if it.numbers[0] <= packets:
        return None
    why = f"net.core.netdev_budget_usecs ({us} us) ends the round before"
    return "inert", f"{why}: 10 Gbit/s of the smallest frames are {packets} packets in that time."


def _fin_timeout(it: Setting) -> Judgement:
    if it.key != "net.ipv4.tcp_fin_timeout" or it.numbers[0] <= _TIME_WAIT_S:
        return None
    return "harmful", (
        "It bounds orphans in FIN_WAIT_2 only; TIME_WAIT is a constant 60 s. Above 60 an orphan waits as a whole "
        "socket, which counts against net.ipv4.tcp_max_orphans."
    )


def _swappiness(it: Setting) -> Judgement:
    if it.key != "vm.swappiness" or it.numbers[0] <= int(it.default or 60):
        return None
    return "harmful", "Swaps programs out more readily than by default: no use here, harm where memory is short."


def _strict_filter(it: Setting) -> Judgement:
    if not it.key.endswith(".rp_filter") or it.value != "1" or it.asked.role not in ("director", "web"):
        return None
    return (
        "harmful",
        "Strict: it drops requests that come in by another interface than leads to the client; 2 is loose.",
    )


def _tcp_mem(it: Setting) -> Judgement:
    if it.key != "net.ipv4.tcp_mem" or len(it.numbers) != 3:
        return None
    gib = [pages / _PAGES_PER_GIB for pages in it.numbers]
    if gib[2] > 2 * gib[1]:
        why = f"The third value is {gib[2]:.1f} GiB, and bounds nothing on a host with less memory"
        return "inert", f"{why}; pressure begins at {gib[1]:.1f} GiB. By default it is 1.5 times that."
    hosts = min(size / share for size, share in zip(gib, _TCP_MEM_SHARE, strict=True))
    return "lower-than-default", f"Below the default of hosts with more than {hosts:.0f} GiB of memory."


def _ports(it: Setting) -> Judgement:
    if it.key != "net.ipv4.ip_local_port_range":
        return None
    if len(it.numbers) != 2 or not _FIRST_FREE_PORT <= it.numbers[0] <= it.numbers[1] <= 65_535:
        return "inert", f"The kernel refuses it: two ports from {_FIRST_FREE_PORT} to 65535, the lower first."
    (first, last), (low, high) = it.numbers, map(int, (it.default or "").split())
    count, usual = last - first + 1, high - low + 1
    if count < usual:
        return "lower-than-default", f"{count} ports; by default {usual}."
    return "ok", f"{it.known.does} {count} instead of {usual}."


def _lower(it: Setting) -> Judgement:
    if it.known.choice:
        return None
    memory = it.known.memory
    if it.default is not None:
        pairs = list(zip(it.numbers, map(int, it.default.split()), strict=False))
        below = [
            f"{have} instead of {'no limit' if want == _NO_LIMIT else want}{which if len(pairs) > 1 else ''}"
            for which, (have, want) in zip(_PLACES, pairs, strict=False)
            if have < want
        ]
        if below:
            return "lower-than-default", f"Below the default{_where(it)}: {', '.join(below)}. {it.known.does}"
    elif memory is not None and (memory.most is None or it.numbers[0] < memory.most):
        gib = memory.gib_above(it.numbers[0])
        why = f"Below the default of hosts with more than {gib:.3g} GiB of memory"
        return "lower-than-default", f"{why}. {it.known.does}"
    elif memory is None:
        return "unknown", f"{it.known.does} Its default is not known here: {it.known.varies}."
    return None


def _no_objection(it: Setting) -> tuple[Verdict, str]:
    if it.default is not None:
        return "ok", f"{it.known.does} Default{_where(it)}: {it.default}."
    memory = it.known.memory
    default = f"by memory, {memory.most} at the most" if memory else it.known.varies
    return "ok", f"{it.known.does} Default: {default}."


def _where(it: Setting) -> str:
    """Whose default it is, where distributions differ."""
    return f" of {CHECKED[it.asked.kernel]}" if it.asked.kernel in it.known.distribution else ""


RULES: tuple[Callable[[Setting], Judgement], ...] = (
    _absent,
    _global,
    _refused,
    _smaller_than_another,
    _as_it_is,
    _no_such_socket,
    _syn_backlog,
    _budget,
    _fin_timeout,
    _swappiness,
    _strict_filter,
    _tcp_mem,
    _ports,
    _lower,
)


def sysctl_finding(asked: Asked, key: str, value: str) -> Finding:
    """The judgement of one sysctl of the profile."""
    known = find(key)
    if known is None:
        hint = closest(key, known_keys())
        reason = f"Nothing is known of this key{'; ' + hint if hint.startswith('did') else ''}."
        return Finding(key=key, value=value, verdict="unknown", reason=reason, source="")
    it = Setting(key=key, value=value, known=known, asked=asked)
    verdict, reason = next((judged for rule in RULES if (judged := rule(it))), None) or _no_objection(it)
    return Finding(key=key, value=value, verdict=verdict, reason=reason, source=known.source)
