"""The load of a case: what all clients together ask for, with which engine, and when it ends."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bmtlib.params.factors import Concurrency
from bmtlib.params.units import FileSize, Params, rules_broken

_INT_MAX = 2**31 - 1


class Load(Params):
    """What all clients together ask for in one case. One of `requests`, `seconds` and `rounds` says when it ends."""

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
        default=True, description="Go on after a connection error (ab -r); without, one error ends the whole client."
    )
    timeout_s: int = Field(default=30, ge=1, le=86_400, description="Seconds that ab waits for an answer (ab -s).")
    file_size: FileSize = Field(default=5120, description="Size of the file that is asked for, e.g. 5 KiB.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        ends = [name for name in ("requests", "seconds", "rounds") if getattr(self, name) is not None]
        if ends == ["requests", "rounds"] and self.requests == (self.rounds or 0) * self.concurrency:
            ends = ["rounds"]  # of a case, where all is spelt out
        if len(ends) != 1:
            found = f"{' and '.join(ends)}; write null for what shall not count" if ends else "none"
            raise rules_broken([((), f"needs exactly one of 'requests', 'seconds' and 'rounds', found {found}")])
        if self.requests is not None and self.concurrency > self.requests:
            why = f"{self.concurrency} is more than the {self.requests} requests: ab refuses that"
            raise rules_broken([(("concurrency",), why)])
        return self

    def clients(self, there: int) -> int:
        """How many of the clients that are there take part.

        >>> Load(concurrency=30_000, rounds=3, per_client=1000).clients(200)
        30
        """
        return there if self.per_client is None else min(there, -(-self.concurrency // self.per_client))
