"""By how much a host's clock is off, from round trips over one channel."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import paramiko

from bmtlib.errors import HostError
from bmtlib.hosts.ssh import SshHost

_SAMPLES = 8
_SECONDS = 5
# One channel for all samples, or its opening would be part of each. A round trip then holds the way there, two starts
# of `date`, and the way back: the first date is read in its middle. The second is for that alone.
_ANSWER = "while read -r _; do date +%s%N; date +%s%N; done"


@dataclass(frozen=True, kw_only=True)
class ClockOffset:
    """`offset_s`: what the host's clock shows more than ours. It is right to within `uncertainty_s`."""

    host: str
    offset_s: float
    uncertainty_s: float


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One round trip, in seconds of the epoch: sent and come back by our clock, read in between by the host's."""

    sent: float
    there: float
    back: float


def estimate(host: str, samples: Sequence[Sample]) -> ClockOffset:
    """From the shortest round trip, which had the least to wait for.

    >>> estimate("web01", [Sample(sent=10.0, there=12.1, back=10.4), Sample(sent=20.0, there=22.01, back=20.02)])
    ClockOffset(host='web01', offset_s=2.0, uncertainty_s=0.01)
    """
    best = min(samples, key=lambda sample: sample.back - sample.sent)
    return ClockOffset(
        host=host,
        offset_s=round(best.there - (best.sent + best.back) / 2, 6),
        uncertainty_s=round((best.back - best.sent) / 2, 6),
    )


def measure_offset(host: SshHost) -> ClockOffset:
    """The offset of `host`'s clock, in about 50 ms. HostError when it does not answer."""
    channel = host.channel()
    try:
        channel.settimeout(_SECONDS)
        channel.exec_command(_ANSWER)
        return estimate(host.name, [_sample(host, channel) for _ in range(_SAMPLES)])
    except (OSError, EOFError) as error:
        raise HostError(host.name, ["date"], None, str(error) or "no answer") from error
    finally:
        channel.close()


def _sample(host: SshHost, channel: paramiko.Channel) -> Sample:
    sent = time.time()
    channel.sendall(b"\n")
    said = b""
    while said.count(b"\n") < 2:
        if not (more := channel.recv(100)):
            raise HostError(host.name, ["date", "+%s%N"], None, said.decode(errors="replace") or "no answer")
        said += more
    back = time.time()
    try:
        return Sample(sent=sent, there=int(said.split()[0]) / 1e9, back=back)
    except ValueError as error:
        raise HostError(host.name, ["date", "+%s%N"], 0, said.decode(errors="replace")) from error
