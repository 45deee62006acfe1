"""Random tables, written as the tool would write them, come back as they went in."""

from __future__ import annotations

import random

import pytest

from bmtlib.errors import ParseError
from bmtlib.parsers import ab_tsv, interrupts, ip_vs_percpu, ipvsadm, softnet

SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_softnet(seed: int) -> None:
    chance = random.Random(seed)
    width = chance.choice((11, 13, 15))
    table = [[chance.randrange(2**32) for _ in range(width)] for _ in range(chance.randint(1, 130))]
    text = "".join(" ".join(f"{value:08x}" for value in values) + "\n" for values in table)
    for values, row in zip(table, softnet.parse(text), strict=True):
        known = values + [None] * (15 - width)
        assert [row["processed"], row["dropped"], row["squeezed"]] == known[:3]
        assert [row["received_rps"], row["flow_limit"], row["backlog_packets"], row["cpu"]] == known[9:13]
        assert [row["input_packets"], row["process_packets"]] == known[13:]


@pytest.mark.parametrize("seed", SEEDS)
def test_interrupts(seed: int) -> None:
    chance = random.Random(seed)
    cpus = sorted(chance.sample(range(256), chance.randint(1, 64)))
    names = [str(chance.randrange(1000)), "LOC", "IPI0"]
    counts = {name: [chance.randrange(2**32) for _ in cpus] for name in names}
    text = "           " + " ".join(f"{'CPU' + str(cpu):<10}" for cpu in cpus) + "\n"
    for name in names:
        text += (
            f"{name:>3}:" + "".join(f" {count:10}" for count in counts[name]) + "   PCI-MSI 1-edge      eth0-rx-0, 7\n"
        )
    rows = interrupts.parse(text + "ERR:          9\n")
    assert rows.pop() == {"irq": "ERR", "cpu": None, "count": 9, "description": ""}
    assert [(row["irq"], row["cpu"], row["count"]) for row in rows] == [
        (name, cpu, count) for name in names for cpu, count in zip(cpus, counts[name], strict=True)
    ]
    assert {row["description"] for row in rows} == {"PCI-MSI 1-edge eth0-rx-0, 7"}


@pytest.mark.parametrize("seed", SEEDS)
def test_ip_vs_percpu(seed: int) -> None:
    chance = random.Random(seed)
    table = [[chance.getrandbits(chance.randint(1, 64)) for _ in range(5)] for _ in range(chance.randint(3, 20))]
    *cpus, total, rates = table
    text = (
        "       Total Incoming Outgoing         Incoming         Outgoing\n"
        "CPU    Conns  Packets  Packets            Bytes            Bytes\n"
    )
    for cpu, values in [*enumerate(cpus), ("~", total)]:
        name = f"{cpu:3X}" if isinstance(cpu, int) else f"  {cpu}"
        text += f"{name} " + "{:8X} {:8X} {:8X} {:16X} {:16X}\n".format(*values)
    text += "\n     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n"
    text += "    {:8X} {:8X} {:8X} {:16X} {:16X}\n".format(*rates)
    rows = ip_vs_percpu.parse(text)
    assert [row["cpu"] for row in rows] == [*range(len(cpus)), None]
    assert [list(row.values())[1:6] for row in rows] == [*cpus, total]
    assert list(rows[-1].values())[6:] == rates


@pytest.mark.parametrize("seed", SEEDS)
def test_ipvsadm_conns(seed: int) -> None:
    chance = random.Random(seed)
    text = "IPVS connection entries\npro expire state       source             virtual            destination\n"
    ages = [chance.randrange(200_000) for _ in range(chance.randint(0, 50))]
    for age in ages:
        client = f"10.0.0.1:{chance.randrange(65536)}"
        text += f"TCP {age // 60:02}:{age % 60:02}  FIN_WAIT    {client:<18} [fd00::1]:80 [fd00::2]:80\n"
    assert [row["expire_s"] for row in ipvsadm.parse_conns(text)] == ages


@pytest.mark.parametrize("seed", SEEDS)
def test_ab_tsv_refuses_every_damage(seed: int) -> None:
    """One character that is replaced by one that does not belong there is always found."""
    chance = random.Random(seed)
    heading = "starttime\tseconds\tctime\tdtime\tttime\twait\n"
    table = [[chance.randrange(10**k) for k in (10, 3, 5, 5, 4)] for _ in range(200)]
    text = heading + "".join("Mon Nov  2 01:39:39 2026\t" + "\t".join(map(str, values)) + "\n" for values in table)
    assert [list(row.values()) for row in ab_tsv.parse(text)] == table
    for _ in range(20):
        place = chance.randrange(len(text))
        damage = chance.choice([c for c in "x-_ \n\t.\u0663" if c != text[place]])
        with pytest.raises(ParseError):
            ab_tsv.parse_columns(text[:place] + damage + text[place + 1 :])
