"""The lab with a virtual machine as its director: a kernel with LVS, NIC queues, IRQs, and CPUs that can be isolated.

    client01..  veth  --+
    web01..     veth  --+-- bridge --+-- tap (queues) -- eth0 front + VIP   director: QEMU
                                     +-- tap (queues) -- eth1 back
                          sandbox ------ tap ----------- eth2: SSH alone, so that it is in none of the counters

QEMU runs inside the lab's sandbox: it has no other network, and the kernel ends it with the sandbox.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress

from bmtlib.errors import MachineError
from bmtlib.hosts.ssh import SshHost
from bmtlib.params.testbed import Network, Vm
from bmtlib.testbeds.guest import Guest, network_script, write_initramfs
from bmtlib.testbeds.kernel import Kernel, find_kernel
from bmtlib.testbeds.kernel_image import bootable_image
from bmtlib.testbeds.kvm import find_qemu, kvm_works
from bmtlib.testbeds.machine import Machine
from bmtlib.testbeds.netns import Lab, mac_of
from bmtlib.testbeds.placement import Placement
from bmtlib.testbeds.way_in import GUEST_ADDRESS, WayIn, new_key, public_key

GUEST_NOFILE = 262_144  # open files per process in the guest: enough for 130,000 connections through HAProxy

_BOOT_DEADLINE_S = 60.0
_SANDBOX_ADDRESS, _PREFIX = "169.254.77.1", 30
_SIDES = ("front", "back")
_TUN = "/dev/net/tun"

# Without the self-tests of ciphers, which take an emulated CPU two seconds; panic=-1 with -no-reboot ends QEMU.
_KERNEL_ARGS = ("console=ttyS0", "loglevel=4", "panic=-1", "oops=panic", "cryptomgr.notests")
# Emulated code is translated anew for each address it is loaded to: with fixed addresses a process starts in a third of
# the time (20 times /bin/true: 2.1 s and 0.6 s). And the emulated clock need not be watched for being unstable.
_EMULATED_ARGS = ("norandmaps", "tsc=reliable")


class VmLab(Lab):
    """A lab whose director is a virtual machine. `fidelity` is "virtual" with KVM, "emulated" without.

    `boot_s` is the time from the start of QEMU to an open SSH connection. `about` describes the machine for run.json.
    """

    def __init__(
        self,
        network: Network,
        vm: Vm,
        *,
        vcpus: int,
        webs: int,
        clients: int,
        placement: Placement,
        rootless: bool,
    ) -> None:
        self.vm, self.vcpus = vm, vcpus
        self.queues: int = vcpus if vm.queues == "auto" else vm.queues
        self.kernel = find_kernel(vm.kernel)
        self.accel, self.accel_reason = choose_accelerator(vm, self.kernel)
        emulated = _EMULATED_ARGS if self.accel == "tcg" else ()
        self.kernel_args = (*_KERNEL_ARGS, *emulated, *vm.kernel_args)
        self.fidelity = "virtual" if self.accel == "kvm" else "emulated"
        self.machine: Machine | None = None
        super().__init__(network, webs=webs, clients=clients, placement=placement, rootless=rootless)

    def _about(self) -> dict[str, object]:
        return {
            "accelerator": self.accel,
            "accelerator_reason": self.accel_reason,
            "kernel": self.kernel.version,
            "kernel_args": list(self.kernel_args),
            "vcpus": self.vcpus,
            "cpus": sorted(self.placement.director),
            "queues": self.queues,
            "ring": self.vm.ring,
            "memory_mib": self.vm.memory_mib,
            "boot_s": round(self.boot_s, 1),
        }

    def _build(self, plan: dict[str, dict[str, str]]) -> None:
        addresses = plan["director"]
        started = time.monotonic()
        self.way_in = WayIn(
            sandbox_pid=self.sandbox.pid, rootless=self.rootless, host_key=new_key(), login_key=new_key()
        )
        self.machine = self._boot(addresses)
        # The guest boots while the others are built.
        super()._build({name: sides for name, sides in plan.items() if name != "director"})
        self.sandbox.run("".join(f"ip link set {_tap(side)} master br0\n" for side in _SIDES))
        self.machine.wait_until_ready(_BOOT_DEADLINE_S - (time.monotonic() - started))
        director = SshHost(
            name="director",
            role="director",
            machine="director",
            addresses=dict(addresses),
            interfaces={side: f"eth{i}" for i, side in enumerate(_SIDES)},
            cpus=frozenset(range(self.vcpus)),
            connection=self.way_in.open(),
            died=self.machine.died,
        )
        director.run(["date", "-s", f"@{time.time():.3f}"])  # the guest's own clock knows whole seconds only
        self.hosts = {"director": director, **self.hosts}
        self._pin()
        self.boot_s = time.monotonic() - started
        self.about = self._about()

    def _boot(self, addresses: dict[str, str]) -> Machine:
        qemu = find_qemu()
        if qemu is None:
            raise MachineError(
                "the testbed vm needs QEMU (qemu-system-x86_64), and this machine has none",
                todo="./bmt run SCENARIO --testbed vm   installs it; or take --testbed netns",
            )
        if not os.access(_TUN, os.R_OK | os.W_OK):
            raise MachineError(
                f"the virtual director's NICs need {_TUN}, and it is not yours to open (or not there)",
                todo=f"sudo modprobe tun; sudo chmod 666 {_TUN}   (most distributions have it so); or run as root",
            )
        many = "multi_queue " if self.queues > 1 else ""
        batch = [f"tuntap add dev {_tap(side)} mode tap {many}vnet_hdr" for side in _SIDES]
        batch += ["tuntap add dev bmt-ssh mode tap", f"address add {_SANDBOX_ADDRESS}/{_PREFIX} dev bmt-ssh"]
        batch += [f"link set {tap} up" for tap in ("bmt-ssh", *map(_tap, _SIDES))]
        self.sandbox.run("ip -batch - <<'END'\n" + "\n".join(batch) + "\nEND\n")
        initramfs = os.memfd_create("initramfs", 0)
        try:
            with os.fdopen(os.dup(initramfs), "wb") as file:
                write_initramfs(file, self._guest(addresses), self.kernel)
            return Machine(self.sandbox, self._qemu(qemu, initramfs, addresses), initramfs)
        finally:
            os.close(initramfs)

    def _guest(self, addresses: dict[str, str]) -> Guest:
        prefixes = {"front": self.network.front, "back": self.network.back}
        interfaces = {
            f"eth{i}": [f"{addresses[side]}/{prefixes[side].partition('/')[2]}"] for i, side in enumerate(_SIDES)
        }
        bits = self.vm.conn_tab_bits
        return Guest(
            hostname="director",
            address=GUEST_ADDRESS,
            network=network_script({**interfaces, "eth2": [f"{GUEST_ADDRESS}/{_PREFIX}"]}),
            host_key=self.way_in.host_key,
            authorized_key=public_key(self.way_in.login_key),
            module_options={} if bits is None else {"ip_vs": f"conn_tab_bits={bits}"},
            nofile=GUEST_NOFILE,
        )

    def _qemu(self, qemu: str, initramfs: int, addresses: dict[str, str]) -> list[str]:
        """QEMU's command line. The NICs' places on the bus give their names in the guest: eth0, eth1, eth2."""
        kvm = self.accel == "kvm"
        words = [qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"]
        words += ["-name", "bmt-director,debug-threads=on", "-machine", "q35"]
        words += ["-accel", "kvm", "-cpu", "host"] if kvm else ["-accel", "tcg,thread=multi", "-cpu", "max"]
        words += ["-smp", str(self.vcpus), "-m", f"{self.vm.memory_mib}M", "-serial", "stdio"]
        words += ["-kernel", str(bootable_image(self.kernel)), "-initrd", f"/proc/self/fd/{initramfs}"]
        words += ["-append", " ".join(self.kernel_args), "-device", "virtio-rng-pci,addr=3"]
        for i, side in enumerate(_SIDES):
            queues = f",queues={self.queues}" if self.queues > 1 else ""
            words += ["-netdev", f"tap,id={side},ifname={_tap(side)},script=no,downscript=no,vhost=off{queues}"]
            device = f"virtio-net-pci,netdev={side},mac={mac_of(addresses[side])},addr={4 + i}"
            device += f",rx_queue_size={self.vm.ring}"
            if self.queues > 1:  # a vector for each queue's two directions, one for configuration, one to spare
                device += f",mq=on,vectors={2 * self.queues + 2}"
            words += ["-device", device]
        words += ["-netdev", "tap,id=ssh,ifname=bmt-ssh,script=no,downscript=no,vhost=off"]
        return [*words, "-device", "virtio-net-pci,netdev=ssh,mac=02:00:a9:fe:4d:02,addr=8"]

    def _pin(self) -> None:
        """vCPU i on the i-th of the director's CPUs in turn; QEMU's other threads, its devices, on the rest."""
        assert self.machine is not None
        cpus = sorted(self.placement.director)
        for name, thread in self.machine.threads().items():
            vcpu = re.match(r"CPU (\d+)/", name)
            wanted = {cpus[int(vcpu[1]) % len(cpus)]} if vcpu else set(self.placement.others)
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, wanted)

    def trouble(self) -> list[str]:
        return self.machine.complaints() if self.machine else []

    def close(self) -> None:
        director = self.hosts.get("director")
        if isinstance(director, SshHost):
            with suppress(Exception):
                director.connection.close()
        if self.machine is not None:
            self.machine.close()
        super().close()


def _tap(side: str) -> str:
    return f"director-{side[0]}"


def choose_accelerator(vm: Vm, kernel: Kernel, *, tell: Callable[[str], None] = lambda _: None) -> tuple[str, str]:
    """ "kvm" or "tcg", and why. MachineError when the testbed demands kvm and it does not work."""
    if vm.accel == "tcg":
        return "tcg", "the testbed asks for it"
    qemu = find_qemu()
    works, reason = kvm_works(qemu, kernel, tell=tell) if qemu else (False, "no QEMU")
    if vm.accel == "kvm" and not works:
        raise MachineError(f"KVM does not work here: {reason}", todo="--set testbed.vm.accel=auto takes emulation then")
    return ("kvm" if works else "tcg"), reason
