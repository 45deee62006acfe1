"""A director that is a virtual machine: real LVS on its own kernel, and what happens when it dies or hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bmtlib.errors import HostError, MachineError
from bmtlib.measure.case import CaseRun
from bmtlib.measure.ready import check
from bmtlib.parsers import ipvsadm
from bmtlib.run import load, measure, start
from bmtlib.rundir import RunDir
from bmtlib.testbeds import vm
from bmtlib.testbeds.placement import place
from bmtlib.testbeds.vm import VmLab

SHORT = ("load.warmup_seconds=0", "repetitions=1", "load.concurrency=20", "webs=2", "clients=2")

pytestmark = [pytest.mark.lab, pytest.mark.vm, pytest.mark.usefixtures("no_leftovers")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = start(load("quick", "vm", [*SHORT, "load.seconds=3"]), tmp_path_factory.mktemp("runs"))
    measure(folder)
    return folder


def _case(run: RunDir, arm: str) -> dict[str, Any]:
    return run.case(f"b1-{arm}")


def test_lvs_itself_forwards(run: RunDir) -> None:
    assert run.run_json()["status"] == "done"
    assert run.run_json()["fidelity"] in ("emulated", "virtual")
    case = _case(run, "l2dsr")
    assert case["engine"] == "ipvs"
    assert case["status"] in ("done", "rejected"), case["error"]
    assert case["requests"]["completed"] > 0
    assert [proof["name"] for proof in case["preflight"] if proof["ok"]] == ["answers", "arp", "path"]


def test_the_director_has_a_kernel_of_its_own(run: RunDir) -> None:
    hosts = {host["name"]: host for host in run.run_json()["hosts"]}
    assert hosts["director"]["machine"] != hosts["web01"]["machine"] == hosts["client01"]["machine"]
    assert hosts["director"]["kernel"] == run.run_json()["machine"]["kernel"]


def test_counters_of_lvs_agree_with_those_of_ab(run: RunDir) -> None:
    case = _case(run, "l2dsr")
    texts = [run.raw(case["id"], "director", f"ipvsadm_stats.{moment}.txt") or "" for moment in ("before", "after")]
    rows = [ipvsadm.parse_stats(text) for text in texts]
    before, after = ({row["server"]: row["connections"] for row in part if row["server"]} for part in rows)
    grown = {server: after[server] - before[server] for server in after}
    assert len(grown) == 2
    # What ab opened and gave up at the end of its time was a connection too.
    assert sum(grown.values()) == pytest.approx(case["requests"]["opened"], rel=0.02, abs=5)
    assert min(grown.values()) > 0.4 * sum(grown.values())  # round robin


def test_answers_go_past_lvs_and_through_the_proxy(run: RunDir) -> None:
    for arm, passes in (("l2dsr", False), ("proxy", True)):
        path = next(proof["text"] for proof in _case(run, arm)["preflight"] if proof["name"] == "path")
        share = float(path.rpartition("(")[2].rstrip(")"))
        assert (share > 0.9) == passes, path


@pytest.fixture
def small_lab() -> Iterator[Callable[..., VmLab]]:
    """Brings up a virtual director with two hosts; ends it."""
    made = []

    def make(*settings: str) -> VmLab:
        plan = load("quick", "vm", settings).plan
        lab = VmLab(
            plan.testbed.network,
            plan.testbed.vm,
            vcpus=1,
            webs=1,
            clients=1,
            placement=place("auto"),
            rootless=check(plan).rootless,
        )
        made.append(lab)
        return lab

    yield make
    for lab in made:
        lab.close()


def test_kernel_arguments_and_module_options_arrive(small_lab: Callable[..., VmLab]) -> None:
    lab = small_lab("testbed.vm.kernel_args=[nohz=off]", "testbed.vm.conn_tab_bits=10")
    assert " nohz=off" in lab.director.read("/proc/cmdline")
    assert lab.director.read("/sys/module/ip_vs/parameters/conn_tab_bits").strip() == "10"
    assert lab.director.run(["nproc"]).stdout.strip() == "1"
    # Bytes come as they are, and a command that does not end is ended there too.
    assert lab.director.run_bytes(["cat"], stdin=bytes(range(256)) * 1000)[1] == bytes(range(256)) * 1000
    with pytest.raises(HostError, match="sleep 77"):
        lab.director.run(["sleep", "77"], timeout_s=1)
    assert lab.director.run(["pgrep", "-f", "sleep 77"], check=False).rc == 1


def test_guest_that_panics_is_told_with_its_last_lines(small_lab: Callable[..., VmLab]) -> None:
    with pytest.raises(MachineError, match=r"has ended; its last lines: .*panic"):
        small_lab("testbed.vm.kernel_args=[rdinit=/usr/bin/false]")


def test_guest_that_hangs_is_given_up(small_lab: Callable[..., VmLab], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "_BOOT_DEADLINE_S", 20.0)
    with pytest.raises(MachineError, match=r"is not up after \d+ s; its last lines: .*Run /usr/bin/cat as init"):
        small_lab("testbed.vm.kernel_args=[rdinit=/usr/bin/cat, loglevel=7]")


def _qemu(lab: VmLab) -> int:
    assert lab.machine is not None
    return next(thread for name, thread in lab.machine.threads().items() if name.startswith("qemu"))


def test_director_that_dies_in_mid_load_costs_one_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The case fails, the machine is booted anew, and the next case is measured."""
    original = CaseRun._load
    killed: list[str] = []

    def load_and_kill(self: CaseRun) -> list[Any]:
        if not killed and isinstance(self.lab, VmLab):
            killed.append(self.case.id)
            os.kill(_qemu(self.lab), signal.SIGKILL)
        return original(self)

    monkeypatch.setattr(CaseRun, "_load", load_and_kill)
    settings = [*SHORT, "load.seconds=2", "load.timeout_s=5", "arms={l2dsr: {}}", "repetitions=2"]
    folder = start(load("quick", "vm", settings), tmp_path)
    started = time.monotonic()
    assert measure(folder)["status"] == "done"
    first, second = (folder.case(case_id) for case_id in ("b1-l2dsr", "b2-l2dsr"))
    assert first["status"] == "failed"
    assert "virtual machine has ended" in f"{first['error']}"
    assert second["status"] in ("done", "rejected"), second["error"]
    assert time.monotonic() - started < 180


def _machines() -> set[str]:
    found = subprocess.run(["pgrep", "-f", "name bmt-director"], capture_output=True, text=True, check=False)
    return set(found.stdout.split())


def test_sigkill_of_the_controller_leaves_no_virtual_machine(tmp_path: Path) -> None:
    """QEMU lives in the lab's sandbox and ends with it; `no_leftovers` looks for both."""
    before = _machines()
    code = "from bmtlib.run import *; import sys; print('go', flush=True)\n"
    code += f"measure(start(load('quick', 'vm', {[*SHORT, 'load.seconds=60']!r}), {str(tmp_path)!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 90
    while not list(tmp_path.glob("*/cases/*/")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while _machines() - before:
        assert time.monotonic() < deadline, "QEMU is still there"
        time.sleep(0.1)
