"""The table of probes: what is read from which host, when, and which parser understands it.

To add one: a row here, a parser, a golden pair, a line in data/README.md (CONTRIBUTING has the recipe).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bmtlib.parsers import (
    clock,
    conntrack,
    ethtool,
    ethtool_flows,
    haproxy,
    hardware,
    interrupts,
    ip_link,
    ip_vs_percpu,
    ipvsadm,
    link_speed,
    lscpu,
    module_parameters,
    nft,
    nstat,
    proc_net,
    processes,
    qdisc,
    softirqs,
    softnet,
    ss,
    stat,
    sysctl,
    thermal,
)
from bmtlib.setup.hardware_script import DUMP

When = Literal["once", "around", "during"]
ALL = ("client", "director", "web")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One command whose output is kept.

    `when`: "once" per run, "around" = before and after each case's load, "during" = around and each second between (on
    the director only: an observer on every host would itself be load). `machine` marks what covers the whole machine:
    hosts that share one (a lab) are asked once, on the director. `engines` limits it to arms driven by one of these.
    `per_interface` runs it for each interface, whose name ends the command and stands after "@" in the file name.
    `instead_of` names the probe that a host is asked otherwise: this one is of files below /proc/net, which those of a
    lab need not be entered for, so that hundreds of clients can be asked.
    """

    name: str
    command: tuple[str, ...]
    parse: Callable[[str], Sequence[Any]]
    when: When
    roles: tuple[str, ...] = ALL
    machine: bool = False
    engines: tuple[str, ...] | None = None
    per_interface: bool = False
    instead_of: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Of one that is taken `instead_of` another: the files that it reads, below /proc/net."""
        return tuple(word.removeprefix("/proc/net/") for word in self.command[1:])


def _haproxy_socket(question: str) -> tuple[str, ...]:
    return ("sh", "-c", f"echo '{question}' | socat -t 5 - UNIX-CONNECT:/run/bmt/haproxy.sock")


def _cat(*paths: str) -> tuple[str, ...]:
    return ("cat", *paths)


# The kernel sums up what LVS's services and servers have counted every 2 s only; its counts by CPU are of now. The sum
# of these is right (line "~") once it is that of the lines above, and a service's is, once it is that of its servers.
LVS_SETTLED = """\
settled() {
  sum=0
  while read -r cpu conns rest; do
    case $cpu in
      "~") [ $((0x$conns)) -eq $sum ] && break; return 1;;
      [0-9A-F]*) case $conns in *[!0-9A-F]*) ;; *) sum=$((sum + 0x$conns));; esac;;
    esac
  done < /proc/net/ip_vs_stats_percpu
  ipvsadm -Ln --stats --exact | awk '$1 == "TCP" { own += $3 } $1 == "->" && $3 ~ /^[0-9]/ { all += $3 }
                                     END { exit own != all }'
}
left=25; until settled || [ $left = 0 ]; do left=$((left - 1)); sleep 0.1; done
"""
_MOST_CONNECTIONS = 1000
_SYSCTLS = r"^(net\.(core|ipv4|netfilter)|vm\.|fs\.(file-max|nr_open)|kernel\.(numa_balancing|osrelease|sched))"

PROBES: tuple[Probe, ...] = (
    Probe(name="ss_summary", command=("ss", "-s"), parse=ss.parse_summary, when="during"),
    Probe(
        name="sockstat",
        command=_cat("/proc/net/sockstat"),
        parse=proc_net.parse_sockstat,
        when="during",
        instead_of="ss_summary",
    ),
    Probe(name="ss_listen", command=("ss", "-ltn"), parse=ss.parse_listen, when="during", roles=("director", "web")),
    Probe(name="nstat", command=("nstat", "-asz", "-j"), parse=nstat.parse, when="around"),
    Probe(
        name="snmp",
        command=_cat("/proc/net/snmp", "/proc/net/netstat", "/proc/net/snmp6"),
        parse=proc_net.parse_snmp,
        when="around",
        instead_of="nstat",
    ),
    Probe(name="softnet", command=_cat("/proc/net/softnet_stat"), parse=softnet.parse, when="during", machine=True),
    Probe(name="interrupts", command=_cat("/proc/interrupts"), parse=interrupts.parse, when="during", machine=True),
    Probe(name="softirqs", command=_cat("/proc/softirqs"), parse=softirqs.parse, when="during", machine=True),
    Probe(name="stat", command=_cat("/proc/stat"), parse=stat.parse, when="during", machine=True),
    Probe(name="clock", command=("sh", "-c", clock.COMMAND), parse=clock.parse, when="around", machine=True),
    Probe(name="thermal", command=("sh", "-c", thermal.COMMAND), parse=thermal.parse, when="around", machine=True),
    Probe(
        name="processes",
        # Not of clients: their load generators end before the second look, and the load script notes their times.
        command=("sh", "-c", processes.COMMAND),
        parse=processes.parse,
        when="around",
        roles=("director", "web"),
    ),
    Probe(
        name="qdisc",
        command=("tc", "-s", "-j", "qdisc", "show"),
        parse=qdisc.parse,
        when="around",
        roles=("director", "web"),
    ),
    Probe(name="link_speed", command=("sh", "-c", link_speed.COMMAND), parse=link_speed.parse, when="once"),
    Probe(name="ip_link", command=("ip", "-s", "-j", "link"), parse=ip_link.parse, when="around"),
    Probe(
        name="netdev",
        command=_cat("/proc/net/dev"),
        parse=proc_net.parse_dev,
        when="around",
        instead_of="ip_link",
    ),
    Probe(
        name="ethtool_stats", command=("ethtool", "-S"), parse=ethtool.parse_stats, when="around", per_interface=True
    ),
    Probe(name="ethtool_ring", command=("ethtool", "-g"), parse=ethtool.parse_ring, when="once", per_interface=True),
    Probe(
        name="ethtool_channels",
        command=("ethtool", "-l"),
        parse=ethtool.parse_channels,
        when="once",
        per_interface=True,
    ),
    Probe(
        name="ethtool_features",
        command=("ethtool", "-k"),
        parse=ethtool.parse_features,
        when="once",
        per_interface=True,
    ),
    Probe(
        name="ethtool_coalesce",
        command=("ethtool", "-c"),
        parse=ethtool_flows.parse_coalesce,
        when="once",
        per_interface=True,
    ),
    Probe(
        name="ethtool_rxfh", command=("ethtool", "-x"), parse=ethtool_flows.parse_rxfh, when="once", per_interface=True
    ),
    Probe(
        name="ethtool_driver", command=("ethtool", "-i"), parse=ethtool.parse_driver, when="once", per_interface=True
    ),
    Probe(
        name="conntrack",
        command=("sysctl", "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"),
        parse=conntrack.parse,
        when="around",
        roles=("director", "web"),
    ),
    Probe(
        name="ipvsadm",
        command=("ipvsadm", "-Ln"),
        parse=ipvsadm.parse,
        when="around",
        roles=("director",),
        engines=("ipvs",),
    ),
    Probe(
        name="ipvsadm_rate",
        command=("ipvsadm", "-Ln", "--rate", "--exact"),
        parse=ipvsadm.parse_rate,
        when="around",
        roles=("director",),
        engines=("ipvs",),
    ),
    Probe(
        name="ipvsadm_conns",
        # Of a table with a million entries a sample is enough; `ipvsadm` says how many there are.
        command=("sh", "-c", f"ipvsadm -Lnc | head -n {2 + _MOST_CONNECTIONS}"),
        parse=ipvsadm.parse_conns,
        when="around",
        roles=("director",),
        engines=("ipvs",),
    ),
    Probe(
        name="ipvsadm_timeouts",
        command=("ipvsadm", "-L", "--timeout"),
        parse=ipvsadm.parse_timeouts,
        when="around",
        roles=("director",),
        engines=("ipvs",),
    ),
    Probe(
        name="ip_vs_modules",
        command=("sh", "-c", "grep -H '' /sys/module/ip_vs*/parameters/*"),
        parse=module_parameters.parse,
        when="once",
        roles=("director",),
        engines=("ipvs",),
    ),
    Probe(
        name="ip_vs_percpu",
        command=_cat("/proc/net/ip_vs_stats_percpu"),
        parse=ip_vs_percpu.parse,
        when="around",
        roles=("director",),
        engines=("ipvs",),
    ),
    # The last of LVS's: it may have to wait, and nothing else that is read here may be later for that.
    Probe(
        name="ipvsadm_stats",
        command=("sh", "-c", f"{LVS_SETTLED}ipvsadm -Ln --stats --exact"),
        parse=ipvsadm.parse_stats,
        when="around",
        roles=("director",),
        engines=("ipvs",),
    ),
    Probe(
        name="haproxy_info",
        command=_haproxy_socket("show info json"),
        parse=haproxy.parse_info,
        when="around",
        roles=("director",),
        engines=("haproxy",),
    ),
    Probe(
        name="haproxy_stat",
        command=_haproxy_socket("show stat json"),
        parse=haproxy.parse_stat,
        when="around",
        roles=("director",),
        engines=("haproxy",),
    ),
    Probe(
        name="nft_counters",
        command=("nft", "-j", "list", "ruleset"),
        parse=nft.parse,
        when="around",
        roles=("director",),
        engines=("nft",),
    ),
    Probe(name="hardware", command=("sh", "-c", DUMP), parse=hardware.parse, when="once", roles=("director",)),
    Probe(name="lscpu", command=("lscpu", "-J"), parse=lscpu.parse, when="once", machine=True),
    Probe(name="sysctl", command=("sysctl", "-a", "-r", _SYSCTLS), parse=sysctl.parse, when="once"),
)

BY_NAME = {probe.name: probe for probe in PROBES}


def probe_of(file_name: str) -> Probe | None:
    """The probe that made a raw file, None for other files (ab's).

    >>> probe_of("ethtool_stats@eth0.before.txt").name
    'ethtool_stats'
    """
    return BY_NAME.get(file_name.split(".")[0].split("@")[0])
