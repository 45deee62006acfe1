"""What a scenario compares: its arms, by kind, each with the settings of the engine that drives it."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from bmtlib.params.factors import Threads
from bmtlib.params.proxy_options import Build, Tls
from bmtlib.params.units import Breach, Duration, Params, rules_broken

Kind = Literal["direct", "proxy", "l2dsr", "l3dsr", "nat"]
KINDS: tuple[str, ...] = get_args(Kind)

_INT_MAX = 2**31 - 1
# The kernel keeps IPVS's timeouts in jiffies (at most 1000 a second) in an int, and refuses more (ip_vs_ctl.c).
_LONGEST_S = _INT_MAX // 1000


class DirectArm(Params):
    """Clients ask the web hosts directly: what the hosts can do without a load balancer."""

    kind: Literal["direct"] = "direct"


class Timeouts(Params):
    """HAProxy's timeouts. The defaults are the seed's."""

    connect: Duration = Field(default="210s", description="timeout connect")
    client: Duration = Field(default="200s", description="timeout client")
    server: Duration = Field(default="200s", description="timeout server")
    http_request: Duration = Field(default="180s", description="timeout http-request (mode http)")
    http_keep_alive: Duration = Field(default="180s", description="timeout http-keep-alive (mode http)")


class ProxyArm(Params):
    """A proxy on the director ends every connection and opens one of its own to a web host. Defaults: the seed's."""

    kind: Literal["proxy"] = "proxy"
    engine: Literal["haproxy"] = Field(default="haproxy", description="The proxy's program.")
    threads: Threads = Field(default=1, description="nbthread; each thread gets a CPU of the director for itself.")
    mode: Literal["http", "tcp"] = Field(
        default="http", description="http reads each request; tcp only passes bytes on."
    )
    balance: Literal["roundrobin", "leastconn", "source", "static-rr", "random"] = Field(
        default="roundrobin", description="How HAProxy chooses a web host."
    )
    maxconn: Annotated[int, Field(ge=1, le=_INT_MAX)] | Literal["auto"] = Field(
        default="auto", description="Connections at one time; auto: as many as the limit of open files allows."
    )
    backlog: int = Field(
        default=15_000, ge=1, le=_INT_MAX, description="Length of the listen queue; somaxconn bounds it."
    )
    retries: int = Field(
        default=3, ge=0, le=1000, description="Further tries when a web host does not take a connection."
    )
    redispatch: bool = Field(default=True, description="option redispatch: the last try goes to another web host.")
    checks: bool = Field(
        default=False, description="Health checks. Off, because LVS has none: the comparison stays fair."
    )
    dontlognull: bool = Field(
        default=True, description="option dontlognull: no log line for a connection without data."
    )
    bufsize: int = Field(default=16_384, ge=1024, le=16 * 1024**2, description="tune.bufsize, bytes.")
    maxrewrite: int = Field(default=1024, ge=0, description="tune.maxrewrite, bytes: at most half of bufsize.")
    rate_limit_sessions: int | None = Field(
        default=None, ge=1, le=_INT_MAX, description="rate-limit sessions, new connections per second; null: no limit."
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="HAProxy's timeouts.")
    log: bool = Field(default=False, description="Send a log line per request to 127.0.0.1:514, as the seed did.")
    tls: Tls | None = Field(
        default=None, description="A second front, in HTTPS (the seed has one, which no load asks); null: none."
    )
    build: Build | None = Field(
        default=None, description="Build HAProxy from source, as the seed did; null: the distribution's."
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        breaches: list[Breach] = []
        if self.maxrewrite > self.bufsize // 2:
            why = f"{self.maxrewrite} is more than half of bufsize ({self.bufsize}): HAProxy would silently cut it"
            breaches.append((("maxrewrite",), why))
        if self.tls is not None and self.build is not None and not self.build.openssl:
            breaches.append((("build", "openssl"), "the front in HTTPS (tls) needs it"))
        if breaches:
            raise rules_broken(breaches)
        return self


class LvsTimeouts(Params):
    """How long LVS keeps an entry of its connection table. Without a key: as the kernel has it."""

    tcp: int | None = Field(
        default=None, ge=1, le=_LONGEST_S, description="Seconds for an open TCP connection; the kernel's: 900."
    )
    tcp_fin: int | None = Field(
        default=None,
        ge=1,
        le=_LONGEST_S,
        description="Seconds after the client's FIN (FIN_WAIT); the kernel's: 120. The threshold counts these too.",
    )
    udp: int | None = Field(default=None, ge=1, le=_LONGEST_S, description="Seconds for UDP; the kernel's: 300.")


_MOST_WEIGHT = 20  # the preflight asks 40 times for each web host until it has met all

# Schedulers that take no notice of a weight (ip_vs_rr.c, ip_vs_lc.c), but for 0.
_WITHOUT_WEIGHTS = ("rr", "lc")


class LvsArm(Params):
    """What all arms have in common that LVS can drive."""

    scheduler: Literal["rr", "wrr", "lc", "wlc", "sh", "mh"] = Field(
        default="rr", description="How LVS chooses a web host (ipvsadm -s). The engine nft always hashes."
    )
    weights: Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], Field(strict=False, min_length=1)] | None = (
        Field(default=None, description="A weight for each web host (ipvsadm -w); null: all alike.")
    )
    upper_threshold: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="At so many connections LVS gives a web host no more (ipvsadm -x); 0: never. It counts closed ones "
        "too, for as long as their entry lives (120 s).",
    )
    lower_threshold: int = Field(
        default=0, ge=0, le=65_535, description="Below so many it gets some again (ipvsadm -y); 0: 3/4 of the upper."
    )
    timeouts: LvsTimeouts | None = Field(
        default=None, description="How long entries live (ipvsadm --set); null: as the kernel has it."
    )
    conn_reuse_mode: int | None = Field(
        default=None,
        ge=0,
        le=3,
        description="net.ipv4.vs.conn_reuse_mode: what a client's re-used port does; null: as tuned, or the kernel's.",
    )
    expire_nodest_conn: bool | None = Field(
        default=None,
        description="net.ipv4.vs.expire_nodest_conn: entries of a removed web host go at once; null: yes, so that each "
        "case begins with an empty table.",
    )
    conntrack: bool | None = Field(
        default=None,
        description="net.ipv4.vs.conntrack: netfilter follows each connection too; null: as tuned, or the kernel's.",
    )

    @model_validator(mode="after")
    def _lvs_rules(self) -> Self:
        breaches: list[Breach] = []
        lower, upper = self.lower_threshold, self.upper_threshold
        if upper and lower > upper:
            why = f"{lower} must not be above upper_threshold ({upper})"
            breaches.append((("lower_threshold",), why))
        if lower and not upper:
            breaches.append((("lower_threshold",), "has no effect without upper_threshold"))
        if self.weights is not None and len(set(self.weights)) > 1 and self.scheduler in _WITHOUT_WEIGHTS:
            why = f"the scheduler {self.scheduler} takes no notice of weights; wrr, wlc, sh and mh do"
            breaches.append((("weights",), why))
        if self.weights is not None and max(self.weights) > _MOST_WEIGHT * min(self.weights):
            why = (
                f"the largest is more than {_MOST_WEIGHT} times the smallest: the preflight may not meet all web hosts"
            )
            breaches.append((("weights",), why))
        if breaches:
            raise rules_broken(breaches)
        return self

    def of_lvs_alone(self) -> dict[str, object]:
        """The settings that are not at their default, and that only LVS knows: any other engine drops them.

        >>> L2dsrArm(scheduler="wlc", upper_threshold=9).of_lvs_alone()
        {'scheduler': 'wlc', 'upper_threshold': 9}
        """
        return {
            name: getattr(self, name)
            for name, field in LvsArm.model_fields.items()
            if getattr(self, name) != field.default
        }


class L2dsrArm(LvsArm):
    """The director passes requests on by rewriting MAC addresses; web hosts answer the clients directly."""

    kind: Literal["l2dsr"] = "l2dsr"
    engine: Literal["auto", "ipvs", "nft"] = Field(
        default="auto",
        description="ipvs is LVS; nft (stateless hashing) where the kernel has none; auto: the better one.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.engine == "nft" and (dropped := self.of_lvs_alone()):
            why = {
                "scheduler": "the engine nft always hashes; use ipvs or auto",
                "upper_threshold": "the engine nft keeps no connections to count; use ipvs or auto",
            }
            other = "is a setting of LVS, and the engine nft has none such; use ipvs or auto"
            # Without an upper threshold, a lower one was refused already.
            raise rules_broken([((name,), why.get(name, other)) for name in dropped if name != "lower_threshold"])
        return self


class L3dsrArm(LvsArm):
    """The director sends requests on in IP packets of their own (IPIP), over routers too; web hosts answer directly."""

    kind: Literal["l3dsr"] = "l3dsr"
    engine: Literal["ipvs"] = Field(default="ipvs", description="LVS tunnelling (ipvsadm -i).")


class NatArm(LvsArm):
    """The director rewrites addresses in requests and in answers: both pass it, as packets and not as connections."""

    kind: Literal["nat"] = "nat"
    engine: Literal["ipvs"] = Field(default="ipvs", description="LVS masquerading (ipvsadm -m).")


AnyLvsArm = L2dsrArm | L3dsrArm | NatArm
Arm = DirectArm | ProxyArm | AnyLvsArm
