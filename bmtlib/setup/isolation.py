"""CPUs that are set aside: at run time by a cgroup v2 cpuset partition; at boot by kernel arguments (advice only).

A partition takes its CPUs away from everything outside it, kernel threads included, without moving a process. It lies
directly below the root of the hierarchy, the only place where the kernel allows one (cgroup-v2.rst, cpuset.cpus.
partition). On a host with systemd that place is systemd's: there the partition is a slice that systemd makes
(`systemctl set-property --runtime`), and who wants in goes through `systemd-run --scope --slice` (tried: systemd 252,
Linux 6.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bmtlib.cpus import parse_list, to_list
from bmtlib.setup.change import command
from bmtlib.setup.hardware_facts import HardwareFacts
from bmtlib.setup.ledger import Ledger

SLICE = "bmt.slice"
_FOLDER = f"/sys/fs/cgroup/{SLICE}"

# $1 CPUs. A partition, and its end, reset the affinity of processes that had chosen fewer CPUs than there are: who
# they were is kept in a file, and given back at the end. Linux 6.1 and later know `isolated` (no load balancing
# either), older ones `root`.
_SET_ASIDE = f"""
all=$(cat /sys/devices/system/cpu/online); kept=${{KEEP:?no folder to keep affinities in}}/affinities
[ -e "$kept" ] || {{ grep -s '^Cpus_allowed_list:' /proc/[0-9]*/task/[0-9]*/status | grep -v "[[:space:]]$all$" |
  while read -r status list; do
    task=${{status%/status:*}}
    [ ! -e "$task/exe" ] || echo "${{task##*/}} $(sed 's/.*) //' "$task/stat" | cut -d ' ' -f 20) $list"
  done > "$kept.part" && mv -f "$kept.part" "$kept"; }} || exit
if [ -d /run/systemd/system ]; then
  systemctl set-property --runtime {SLICE} AllowedCPUs="$1" && systemctl start {SLICE} || exit
else
  echo +cpuset > /sys/fs/cgroup/cgroup.subtree_control && mkdir -p {_FOLDER} || exit
  echo "$1" > {_FOLDER}/cpuset.cpus || exit
fi
echo isolated > {_FOLDER}/cpuset.cpus.partition 2>/dev/null || echo root > {_FOLDER}/cpuset.cpus.partition
"""
_LOOK = f"""
kind=$(cat {_FOLDER}/cpuset.cpus.partition); cpus=$(cat {_FOLDER}/cpuset.cpus.effective)
case $kind in isolated|root) echo "$cpus";; *) echo "no partition: $kind";; esac
"""
# $1 whether the controller was on before. A slice that could not be started has left its settings behind.
_GIVE_BACK = f"""
kept=${{KEEP:?no folder to keep affinities in}}/affinities; settings=/run/systemd/system.control/{SLICE}.d
[ -e "$kept" ] || exit 0
if [ -d {_FOLDER} ]; then
  [ ! -e {_FOLDER}/cpuset.cpus.partition ] || echo member > {_FOLDER}/cpuset.cpus.partition
  for pid in $(cat {_FOLDER}/cgroup.procs); do echo "$pid" > /sys/fs/cgroup/cgroup.procs; done
fi
if [ -d /run/systemd/system ]; then
  systemctl stop {SLICE} && rm -rf "$settings" && systemctl daemon-reload || exit
fi
[ ! -d {_FOLDER} ] || rmdir {_FOLDER} || exit
[ "$1" = yes ] || [ -d /run/systemd/system ] || echo -cpuset > /sys/fs/cgroup/cgroup.subtree_control || exit
while read -r task start list; do
  [ "$(sed 's/.*) //' "/proc/$task/stat" 2>/dev/null | cut -d ' ' -f 20)" = "$start" ] || continue
  grep -q "^Cpus_allowed_list:[[:space:]]*$list$" "/proc/$task/status" || taskset -p -c "$list" "$task" >/dev/null
done < "$kept"
rm -f "$kept"
"""

# For a shell that is about to run "$@" on the CPUs $cpus: where it may not, the partition has them. It enters.
ENTER = f"""\
if [ -d {_FOLDER} ] && ! taskset -c "$cpus" true 2>/dev/null; then
  if [ -d /run/systemd/system ]; then set -- systemd-run --quiet --scope --slice={SLICE} "$@"
  else set -- sh -c 'echo $$ > {_FOLDER}/cgroup.procs && exec "$@"' sh "$@"; fi
fi
"""


def isolation_changes(
    ledger: Ledger, cpus: frozenset[int], facts: HardwareFacts, *, proxy_cpus: frozenset[int]
) -> None:
    """Everything of the host leaves `cpus`; only what is pinned to them later runs there."""
    key, what, want = "cpu.isolate", "cpu isolate", to_list(cpus)
    online = parse_list(facts.cpus)
    if facts.controllers == "" or "cpuset" not in facts.controllers.split():
        how = kernel_arguments_advice(kernel_arguments(cpus), facts)
        ledger.cannot(what, want, facts.cpus, f"no cgroup v2 with cpusets on this host. At boot it can be done: {how}")
    elif not facts.cgroup_root:
        ledger.cannot(what, want, facts.cpus, "this host is a container: only the machine itself can set CPUs aside")
    elif cpus >= online:
        todo = "fewer CPUs in cpu.isolate, or more for the host"
        ledger.beyond(key, what, want, facts.cpus, "no CPU would be left for everything else", todo=todo)
    elif proxy_cpus & cpus and not proxy_cpus <= cpus:
        why = f"the proxy runs on {to_list(proxy_cpus)}: it cannot be half in and half out"
        ledger.beyond(key, what, want, facts.cpus, why, todo="`proxy`, or a list with all or none of its CPUs")
    elif want != (before := _set_aside(facts)):
        was_on = "yes" if "cgroup.subtree_control:cpuset" in facts.cpusets else "no"
        give_back = command("sh", "-c", _GIVE_BACK, "sh", was_on)
        ledger.change(
            key,
            what,
            before=before or "none",
            want=want,
            do=command("sh", "-c", _SET_ASIDE, "sh", want),
            undo=command("sh", "-c", _SET_ASIDE, "sh", before) if before else give_back,
            check=command("sh", "-c", _LOOK),
            expect=want,
            scope="machine",
        )


def _set_aside(facts: HardwareFacts) -> str:
    """The CPUs that a profile has set aside already, "" for none."""
    start = f"{SLICE}/cpuset.cpus:"
    return next((line.removeprefix(start) for line in facts.cpusets if line.startswith(start)), "")


def kernel_arguments(cpus: Iterable[int]) -> list[str]:
    """Arguments that set `cpus` aside at boot: no scheduling, no timer ticks, no RCU callbacks, no interrupts there.

    Source: Documentation/admin-guide/kernel-parameters.txt.

    >>> kernel_arguments([1, 2])
    ['isolcpus=managed_irq,domain,1-2', 'nohz_full=1-2', 'rcu_nocbs=1-2']
    """
    text = to_list(cpus)
    return [f"isolcpus=managed_irq,domain,{text}", f"nohz_full={text}", f"rcu_nocbs={text}"]


def kernel_arguments_advice(arguments: Sequence[str], facts: HardwareFacts) -> str:
    """What to type on a physical host. Nobody's boot loader is changed from here, and nobody's host is rebooted."""
    words = " ".join(arguments)
    edit = f"add {words} to GRUB_CMDLINE_LINUX in /etc/default/grub, then"
    ways = {
        "grubby": f'grubby --update-kernel=ALL --args="{words}"',
        "update-grub": f"{edit} update-grub",
        "grub2-mkconfig": f"{edit} grub2-mkconfig -o /boot/grub2/grub.cfg",
        "grub-mkconfig": f"{edit} grub-mkconfig -o /boot/grub/grub.cfg",
    }
    how = next((way for tool, way in ways.items() if tool in facts.boot_tools), None)
    if how is None:
        return f"give the kernel the arguments {words} in the boot loader's configuration, and reboot"
    return f"{how}; and reboot (afterwards `cat /sys/devices/system/cpu/isolated` shows them)"
