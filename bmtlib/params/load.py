"""The load of a case: what all clients together ask for, with which engine, and when it ends."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bmtlib.params.factors import Concurrency, Rate
from bmtlib.params.units import Breach, FileSize, Params, rules_broken

_INT_MAX = 2**31 - 1

LoadEngine = Literal["ab", "wrk", "h2load", "open_loop"]


class Load(Params):
    """What all clients together ask for in one case. One of `requests`, `seconds` and `rounds` says when it ends."""

    engine: LoadEngine = Field(
        default="ab",
        description="The load generator. Closed loop, where a client's next request waits for an answer: ab (Apache "
        "Bench, as in the seed study), wrk, h2load. Open loop, which asks at `rate` whatever comes back: open_loop.",
    )
    concurrency: Concurrency = Field(
        description="Connections open at one time, over all clients together (ab -c); of open_loop the most there may "
        "be: above, requests wait for one to end."
    )
    rate: Rate | None = Field(
        default=None,
        description="Of open_loop: requests/s, each a new connection, over all clients together. They are due at equal "
        "distances, the clients in turn.",
    )
    requests: int | None = Field(
        default=None, ge=1, le=_INT_MAX, description="End after this many, over all clients (ab -n). Not with wrk."
    )
    seconds: int | None = Field(
        default=None, ge=1, le=86_400, description="End after this time, in whole seconds (ab -t)."
    )
    rounds: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="End after so many requests for each of the connections: the study's total is 3 x concurrency.",
    )
    per_client: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Connections of one client: as many clients take part as the concurrency needs; null: all.",
    )
    warmup_seconds: int = Field(
        default=1, ge=0, le=3600, description="Load before the measurement, not counted; 0 for none."
    )
    keepalive: bool = Field(
        default=False, description="Several requests per connection (ab -k). Without: one, as in the seed."
    )
    ignore_socket_errors: bool = Field(
        default=True,
        description="Go on after a connection error (ab -r); without, one error ends the whole client. Of ab only: "
        "h2load ends the one connection, the others go on.",
    )
    timeout_s: int = Field(default=30, ge=1, le=86_400, description="Seconds to wait for an answer (ab -s).")
    file_size: FileSize = Field(default=5120, description="Size of the file that is asked for, e.g. 5 KiB.")

    @property
    def loop(self) -> Literal["closed", "open"]:
        """Whether clients wait for an answer before they ask again."""
        return "open" if self.engine == "open_loop" else "closed"

    @property
    def planned(self) -> int | None:
        """Requests that an open loop makes in all; None of a closed loop that ends by its time."""
        return self.requests if self.requests is not None or self.rate is None else self.rate * (self.seconds or 0)

    @model_validator(mode="after")
    def _rules(self) -> Self:
        ends = [name for name in ("requests", "seconds", "rounds") if getattr(self, name) is not None]
        if ends == ["requests", "rounds"] and self.requests == (self.rounds or 0) * self.concurrency:
            ends = ["rounds"]  # of a case, where all is spelt out
        breaches: list[Breach] = []
        if len(ends) != 1:
            found = f"{' and '.join(ends)}; write null for what shall not count" if ends else "none"
            breaches.append(((), f"needs exactly one of 'requests', 'seconds' and 'rounds', found {found}"))
        elif self.engine != "open_loop" and self.requests is not None and self.concurrency > self.requests:
            why = f"{self.concurrency} is more than the {self.requests} requests: {self.engine} refuses that"
            breaches.append((("concurrency",), why))
        breaches += self._engine_breaches()
        if breaches:
            raise rules_broken(breaches)
        return self

    def _engine_breaches(self) -> list[Breach]:
        """What the load generator cannot do (docs/load-engines.md)."""
        breaches: list[Breach] = []
        if (self.rate is None) == (self.engine == "open_loop"):
            why = "the engine open_loop needs one" if self.rate is None else f"{self.engine} has none; open_loop has"
            breaches.append((("rate",), why))
        if self.engine == "open_loop" and self.keepalive:
            breaches.append((("keepalive",), "open_loop makes a connection for each request"))
        if self.engine == "open_loop" and self.rounds is not None:
            breaches.append((("rounds",), "the connections of open_loop are no more than a bound: give another end"))
        if self.engine == "wrk" and self.seconds is None:
            key = "requests" if self.rounds is None else "rounds"
            breaches.append(((key,), "wrk ends by its time only: give `seconds`, and null here"))
        if self.engine == "h2load" and self.seconds is not None and not self.keepalive:
            why = "h2load with a connection per request and a time limit does not end: give `requests`, and null here"
            breaches.append((("seconds",), why))
        if self.engine != "ab" and not self.ignore_socket_errors:
            breaches.append((("ignore_socket_errors",), f"{self.engine} always goes on; only ab can end there"))
        return breaches

    def clients(self, there: int) -> int:
        """How many of the clients that are there take part.

        >>> Load(concurrency=30_000, rounds=3, per_client=1000).clients(200)
        30
        """
        return there if self.per_client is None else min(there, -(-self.concurrency // self.per_client))
