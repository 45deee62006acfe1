"""The load and the arm of one case: what the scenario says, at a choice of levels."""

from __future__ import annotations

from collections.abc import Mapping

from bmtlib.params.arms import Arm
from bmtlib.params.factors import Level
from bmtlib.params.load import Load


def misfits(load: Load, concurrency: int, clients: int) -> list[str]:
    """Why so many connections cannot be spread over the clients."""
    if load.per_client is not None and concurrency > load.per_client * clients:
        return [
            f"{concurrency} connections are more than {clients} clients hold with {load.per_client} each (per_client)"
        ]
    if load.per_client is None and concurrency < clients:
        return [f"{concurrency} connections cannot be spread over {clients} clients: each needs one at least"]
    return []


def resolve(load: Load, arm: Arm, levels: Mapping[str, Level]) -> tuple[Load, Arm]:
    """The load and the arm at a choice of levels. Raises pydantic's ValidationError for a level that is not possible.

    What levels do to the director is not the arm's: `lever.director_tuning`.

    >>> from bmtlib.params.arms import ProxyArm
    >>> load, arm = resolve(Load(concurrency=10, seconds=1), ProxyArm(), {"concurrency": 20, "threads": 2})
    >>> load.concurrency, arm.threads
    (20, 2)
    >>> resolve(Load(concurrency=10, rounds=3), ProxyArm(), {"concurrency": 20})[0].requests
    60
    """
    own = {factor: level for factor, level in levels.items() if factor in type(arm).model_fields}
    ofload = {factor: level for factor, level in levels.items() if factor in Load.model_fields}
    wish = {**load.model_dump(), **ofload}
    if load.rounds is not None:  # all is spelt out
        wish["requests"] = load.rounds * wish["concurrency"]
    return (
        Load.model_validate(wish),
        type(arm).model_validate({**arm.model_dump(), **own}),
    )
