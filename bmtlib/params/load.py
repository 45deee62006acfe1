"""The load of a case: what all clients together ask for, with which engine, and when it ends."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bmtlib.params.factors import Concurrency
from bmtlib.params.units import FileSize, Params, rules_broken

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
