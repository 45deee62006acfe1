"""Guards on what was offered: whether as many requests were sent as planned, and whether each began when it was due."""

from __future__ import annotations

from collections.abc import Sequence

from bmtlib.measure.guards.guard import Guard, Verdict, graded
from bmtlib.measure.outcome import ClientOutcome
from bmtlib.params.load import Load

# Waits of those that could not be sent are missing, and they would have been the longest.
UNSENT_MARK = 0.001
UNSENT_REJECT = 0.05
# Waits count from the instant when a request was due, so what the client was late is in them, and is none of the arm's.
LATE_MARK_MS = 5.0


def rate_guards(load: Load, clients: Sequence[ClientOutcome]) -> list[Guard]:
    """Of a load that says how many requests there shall be what was not sent; of an open loop how late they began."""
    counted = [client for client in clients if client.planned]
    planned, unsent = sum(client.planned or 0 for client in counted), sum(client.unsent or 0 for client in counted)
    if not planned:
        return []
    at = f" at {load.rate} requests/s" if load.rate is not None else ""
    text = f"of the planned requests were not sent ({unsent} of {planned}{at})"
    evidence = ("case.json clients[].planned", "case.json clients[].unsent", f"client*/{load.engine}.txt")
    share = unsent / planned
    found = [graded("send-rate", share, UNSENT_MARK, UNSENT_REJECT, text, evidence, ("waits",), count=unsent)]
    late = [client.late_p99_ms for client in counted if client.late_p99_ms is not None]
    if late:
        value = max(late)
        verdict: Verdict = "mark" if value > LATE_MARK_MS else "ok"
        text = f"with the latest client 99 % of the requests began within {value:.1f} ms after they were due"
        rows = ("case.json clients[].late_p99_ms", f"client*/{load.engine}.tsv late_us")
        found.append(
            Guard(
                name="lateness",
                verdict=verdict,
                value=value,
                limit=LATE_MARK_MS,
                text=text,
                evidence=rows,
                spoils=("waits",),
            )
        )
    return found
