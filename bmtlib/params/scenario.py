"""A scenario: a question, the arms that it compares, what it varies, and the load (params/scenarios/*.yml)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from bmtlib.params.factors import Concurrency, Factors, Level, Threads, combinations, slug
from bmtlib.params.units import Breach, Duration, FileSize, Params, rules_broken

Kind = Literal["direct", "proxy", "l2dsr"]
KINDS: tuple[str, ...] = get_args(Kind)

# A run of so many cases takes days: rather a typing error in a list of levels than a wish.
_MOST_CASES = 10_000
_INT_MAX = 2**31 - 1


class Load(Params):
    """What all clients together ask for in one case. One of `requests` and `seconds` says when it ends."""

    engine: Literal["ab"] = Field(
        default="ab", description="The load generator: ab is Apache Bench, as in the seed study."
    )
    concurrency: Concurrency = Field(description="Connections open at one time, over all clients together (ab -c).")
    requests: int | None = Field(
        default=None, ge=1, le=_INT_MAX, description="End after this many, over all clients (ab -n)."
    )
    seconds: int | None = Field(
        default=None, ge=1, le=86_400, description="End after this time (ab -t, which knows whole seconds only)."
    )
    warmup_seconds: int = Field(
        default=1, ge=0, le=3600, description="Load before the measurement, not counted; 0 for none."
    )
    keepalive: bool = Field(
        default=False, description="Several requests per connection (ab -k). Without: one, as in the seed."
    )
    ignore_socket_errors: bool = Field(
        default=True, description="Go on after a connection error (ab -r); without, one error ends the whole client."
    )
    timeout_s: int = Field(default=30, ge=1, le=86_400, description="Seconds that ab waits for an answer (ab -s).")
    file_size: FileSize = Field(default=5120, description="Size of the file that is asked for, e.g. 5 KiB.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if (self.requests is None) == (self.seconds is None):
            found = "neither" if self.requests is None else "both; write null for the one that shall not count"
            raise rules_broken([((), f"needs exactly one of 'requests' and 'seconds', found {found}")])
        if self.requests is not None and self.concurrency > self.requests:
            why = f"{self.concurrency} is more than the {self.requests} requests: ab refuses that"
            raise rules_broken([(("concurrency",), why)])
        return self


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

    @model_validator(mode="after")
    def _rules(self) -> Self:
        if self.maxrewrite > self.bufsize // 2:
            why = f"{self.maxrewrite} is more than half of bufsize ({self.bufsize}): HAProxy would silently cut it"
            raise rules_broken([(("maxrewrite",), why)])
        return self


class L2dsrArm(Params):
    """The director passes requests on by rewriting MAC addresses; web hosts answer the clients directly."""

    kind: Literal["l2dsr"] = "l2dsr"
    engine: Literal["auto", "ipvs", "nft"] = Field(
        default="auto",
        description="ipvs is LVS; nft (stateless hashing) where the kernel has none; auto: the better one.",
    )
    scheduler: Literal["rr", "wrr", "lc", "wlc", "sh", "mh"] = Field(
        default="rr", description="How LVS chooses a web host (ipvsadm -s). The engine nft always hashes."
    )
    upper_threshold: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="At so many connections LVS gives a web host no more (ipvsadm -x); 0: never.",
    )
    lower_threshold: int = Field(
        default=0, ge=0, le=65_535, description="Below so many it gets some again (ipvsadm -y); 0: 3/4 of the upper."
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        breaches: list[Breach] = []
        lower, upper = self.lower_threshold, self.upper_threshold
        if upper and lower > upper:
            why = f"{lower} must not be above upper_threshold ({upper})"
            breaches.append((("lower_threshold",), why))
        if lower and not upper:
            breaches.append((("lower_threshold",), "has no effect without upper_threshold"))
        if upper and self.engine == "nft":
            breaches.append((("upper_threshold",), "the engine nft keeps no connections to count; use ipvs or auto"))
        if breaches:
            raise rules_broken(breaches)
        return self


Arm = DirectArm | ProxyArm | L2dsrArm

_ARM_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)


def _check_arm_name(name: str) -> str:
    if not _ARM_NAME.fullmatch(name):
        raise ValueError(
            "an arm's name becomes part of folder names: lower-case letters, digits, '-', '_'; a letter first"
        )
    return name


ArmName = Annotated[str, AfterValidator(_check_arm_name)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]


class Scenario(Params):
    """A question with its arms, factors and load. Rules over several keys wait until each key is right."""

    title: str = Field(min_length=1, max_length=200, description="One line, for tables and the report's head.")
    question: str = Field(min_length=1, max_length=2000, description="What the scenario shall find out.")
    expect: str = Field(
        default="", max_length=2000, description="What you expect to see, written down before measuring."
    )
    arms: dict[ArmName, Annotated[Arm, Field(discriminator="kind")]] = Field(
        min_length=1,
        description="What is compared: name -> settings. Named direct, proxy or l2dsr an arm needs no `kind`, and none "
        "of its settings; other names (to compare two settings of one kind) need one.",
    )
    webs: int = Field(default=4, ge=1, le=60, description="Web hosts.")
    clients: int = Field(default=4, ge=1, le=200, description="Client hosts, each with one load generator.")
    load: Load = Field(description="What the clients ask for.")
    factors: Factors = Field(
        default=Factors(), description="What is varied: factor -> levels; all combinations are measured."
    )
    repetitions: int = Field(default=3, ge=1, le=1000, description="Blocks; each holds every case once.")
    order: Literal["shuffled", "listed"] = Field(
        default="shuffled", description="Order within a block; shuffled, a drift of the machine hits all arms alike."
    )
    seed: int = Field(
        default=2022, ge=0, le=_INT_MAX, description="Seed of the shuffling: the same seed gives the same order."
    )
    probes: Literal["all"] | Annotated[tuple[Slug, ...], Field(strict=False)] = Field(
        default="all", description="Which probes are taken around and during the load: all, or a list of names."
    )
    tuning: Slug = Field(
        default="recommended", description="Kernel and nginx settings (params/profiles): recommended, seed or none."
    )

    @field_validator("arms", mode="before")
    @classmethod
    def _kind_from_name(cls, arms: object) -> object:
        if not isinstance(arms, dict):
            return arms
        filled: dict[Any, Any] = {}
        for name, arm in arms.items():
            filled[name] = {} if arm is None else arm
            if name in KINDS and isinstance(filled[name], dict):
                filled[name] = {"kind": name, **filled[name]}
        return filled

    @model_validator(mode="after")
    def _rules(self) -> Self:
        breaches: list[Breach] = [
            (("arms", name, "kind"), f"an arm named {name!r} must be of kind {name!r}, found {arm.kind!r}")
            for name, arm in self.arms.items()
            if name in KINDS and arm.kind != name
        ]
        breaches += [
            (("load", "concurrency"), why) for why in _too_few_connections(self.load.concurrency, self.clients)
        ]
        breaches += self._factor_breaches()
        if not breaches:
            breaches = self._case_breaches()
        if breaches:
            raise rules_broken(breaches)
        return self

    def _factor_breaches(self) -> list[Breach]:
        """Each level must give a valid load and valid arms. No rule joins two factors, so one at a time is enough."""
        breaches: list[Breach] = []
        levels: Mapping[str, Any] = self.factors
        if "threads" in levels and not any(arm.kind == "proxy" for arm in self.arms.values()):
            breaches.append((("factors", "threads"), "varies the threads of a proxy, and no arm is of kind proxy"))
        for factor, values in levels.items():
            for i, level in enumerate(values):
                why: list[str] = []
                for arm in self.arms.values():
                    if factor == "threads" and arm.kind != "proxy":
                        continue
                    try:
                        resolve(self.load, arm, {factor: level})
                    except ValidationError as error:
                        why += [detail["msg"] for detail in error.errors()]
                if factor == "concurrency":
                    why += _too_few_connections(level, self.clients)
                breaches += [(("factors", factor, i), text) for text in dict.fromkeys(why)]
        return breaches

    def _case_breaches(self) -> list[Breach]:
        levels: Mapping[str, Any] = self.factors
        count = len(self.arms) * math.prod(len(values) for values in levels.values()) * self.repetitions
        if count > _MOST_CASES:
            return [(("factors",), f"{count} cases (arms x levels x repetitions) are too many: {_MOST_CASES} at most")]
        owner: dict[str, str] = {}
        for name, arm in self.arms.items():
            for choice in combinations(self.factors, arm.kind):
                other = owner.setdefault(slug(name, choice), name)
                if other != name:
                    return [(("arms", name), f"its cases would be named as those of {other!r}: {slug(name, choice)!r}")]
        return []


def _too_few_connections(concurrency: int, clients: int) -> list[str]:
    if concurrency >= clients:
        return []
    return [f"{concurrency} connections cannot be spread over {clients} clients: each needs one at least"]


def resolve(load: Load, arm: Arm, levels: Mapping[str, Level]) -> tuple[Load, Arm]:
    """The load and the arm at a choice of levels. Raises pydantic's ValidationError for a level that is not possible.

    >>> load, arm = resolve(Load(concurrency=10, seconds=1), ProxyArm(), {"concurrency": 20, "threads": 2})
    >>> load.concurrency, arm.threads
    (20, 2)
    """
    own = {factor: level for factor, level in levels.items() if factor not in Load.model_fields}
    ofload = {factor: level for factor, level in levels.items() if factor in Load.model_fields}
    return (
        Load.model_validate({**load.model_dump(), **ofload}),
        type(arm).model_validate({**arm.model_dump(), **own}),
    )
