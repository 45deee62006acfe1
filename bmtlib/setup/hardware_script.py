"""Shell that looks at a host's CPUs, cards and interrupts, and finds the IRQ of a queue. hardware_facts.py reads it.

Which IRQs are a card's is taken from sysfs (`msi_irqs`, ABI/testing/sysfs-bus-pci), and which queue one serves from the
number that every driver ends its name with: virtio0-input.0, ens3-TxRx-0, mlx5_comp0@pci:0000:3b:00.0. Names of IRQs
that serve no queue are told by a word (config, async, event ...) or by having no number.
"""

from __future__ import annotations

# queue_irqs IF: a line "QUEUE IRQ AFFINITY NAME" for each IRQ of a card; "-" and "x" instead of a queue for those
# without. Numbers are ranked, as some drivers do not start with 0. Where no name has a number (a card with one IRQ,
# named after the interface), their order counts.
QUEUE_IRQS = r"""
# A virtio device has no interrupts and no place of its own: its parent, the PCI device, has them.
device_of() {
  device=/sys/class/net/$1/device; alias=
  read -r alias 2>/dev/null < "$device/modalias"
  case $alias in virtio:*) device=$device/..;; esac
}
irqs_of() {
  device_of "$1"
  if [ -d "$device/msi_irqs" ]; then for irq in "$device/msi_irqs"/*; do echo "${irq##*/}"; done
  elif read -r irq 2>/dev/null < "$device/irq" && [ "$irq" != 0 ]; then echo "$irq"; fi
}
queue_of() {
  queue=${1%%@*}; queue=${queue%")"}
  case $queue in
    *[Aa]sync*|*config*|*event*|*misc*|*mgmnt*|*mgmt*|*admin*|*ctrl*|*control*|*cmd*|*pages*|*fdir*|*ptp*|*error*)
      queue=x;;
    *) queue=${queue#*"$2"}; queue=${queue##*[!0-9]};;
  esac
}
queue_irqs() {
  irqs_of "$1" | while read -r irq; do
    read -r name 2>/dev/null < "/sys/kernel/irq/$irq/actions" && [ -n "$name" ] || continue
    read -r cpus < "/proc/irq/$irq/smp_affinity_list"
    queue_of "$name" "$1"; echo "${queue:--} $irq $cpus $name"
  done | LC_ALL=C sort -k 1,1n -k 2,2n | {
    # Those without a number sort as 0: they come first. Only when all have been seen it is known what "-" is.
    rank=-1; last=; held=
    while read -r queue rest; do
      case $queue in
        x) echo "x $rest"; continue;;
        -) held="$held$rest
"; continue;;
      esac
      [ "$queue" = "$last" ] || rank=$((rank+1)); last=$queue; echo "$rank $rest"
    done
    [ -n "$held" ] && printf %s "$held" | while read -r rest; do
      if [ -n "$last" ]; then echo "- $rest"; else rank=$((rank+1)); echo "$rank $rest"; fi
    done
    true
  }
}
"""

# Each section: "@@ EXIT-CODE TITLE", then what was said, each line behind "| ". "@@ 0 end" at the end.
_SECTIONS = (
    QUEUE_IRQS
    + r"""
say() { out=$("$@" 2>&1); printf '@@ %d %s\n' $? "$*"; [ -z "$out" ] || printf '%s\n' "$out"; }
# files FILE...: a line "FILE:CONTENT" for each that can be read. Builtins only: starting programs takes its time in an
# emulated machine. (Not for all files: dash reads single bytes, which those of /proc/sys and of nodes do not give.)
files() { for f in "$@"; do held=; read -r held 2>/dev/null < "$f" && echo "$f:$held"; done; true; }
cpus() { cd /sys/devices/system/cpu && files online isolated nohz_full; }
nodes() { cd /sys/devices/system/node && grep -s '' node[0-9]*/cpulist /dev/null; true; }
governors() { cd /sys/devices/system/cpu && files cpu[0-9]*/cpufreq/scaling_governor; }
cpusets() {
  cd /sys/fs/cgroup 2>/dev/null && [ -e cgroup.controllers ] || { echo "no cgroup v2"; return 1; }
  files cgroup.subtree_control */cpuset.cpus */cpuset.cpus.partition | while read -r line; do
    case $line in
      cgroup.subtree_control:*) case " ${line#*:} " in *" cpuset "*) echo "cgroup.subtree_control:cpuset";; esac;;
      *:member|*:) ;;
      *) echo "$line";;
    esac
  done
}
link() {
  read -r length < "/sys/class/net/$1/tx_queue_len"; echo "txqueuelen $length"
  device_of "$1"; read -r node 2>/dev/null < "$device/numa_node" && echo "numa_node $node"
  true
}
masks() { cd "/sys/class/net/$1/queues" && files rx-*/rps_cpus rx-*/rps_flow_cnt tx-*/xps_cpus; }
# wants LETTER: whether that part is asked for; all are without $parts.
wants() { case ${parts:-$1} in *"$1"*) ;; *) return 1;; esac; }
dump() {
  [ $# -gt 0 ] || { cd /sys/class/net && set -- *; cd /; }
  say cpus; say nodes; wants G && say governors; wants C && say cpusets
  for i in "$@"; do
    [ "$i" != lo ] && [ -e "/sys/class/net/$i/mtu" ] || continue
    say link "$i"
    for option in i l g c k x; do wants $option && say ethtool -$option "$i"; done
    wants n && say ethtool -n "$i" rx-flow-hash tcp4 && say ethtool -n "$i" rx-flow-hash udp4
    wants I && say queue_irqs "$i"
    say masks "$i"
  done
}
framed() { "$@" | sed 's/^/| /; s/^| @@ /@@ /'; echo "@@ 0 end"; }
"""
)

# Counts, not settings; and what may only be written, or only the owner may read.
_NO_SETTINGS = r"^net\.(netfilter\.nf_conntrack_count|ipv[46]\.route\.flush|ipv6\.conf\..*\.stable_secret) "
_SYSCTLS = rf"""
sysctls() {{ sysctl -a -r '^(net\.|kernel\.numa_balancing)' 2>/dev/null | grep -vE '{_NO_SETTINGS}' | sort; }}
"""

# What is no setting but has to be known before one is changed.
_EXTRAS = r"""
machine() {
  [ -d /run/systemd/system ] && echo "systemd yes"
  # Partitions can only be made below the root of the hierarchy; in a container we see another.
  [ -e /sys/fs/cgroup/cgroup.controllers ] && [ ! -e /sys/fs/cgroup/cgroup.type ] && echo "cgroup_root yes"
  held=; read -r held 2>/dev/null < /sys/fs/cgroup/cgroup.controllers; echo "controllers $held"
  for stat in /proc/[0-9]*/stat; do
    read -r pid name state _ 2>/dev/null < "$stat"
    case $name$state in "(irqbalance)"[!ZX]) echo "irqbalance $pid $(base64 -w 0 "/proc/$pid/cmdline")";; esac
  done
  [ -d /run/systemd/system ] && systemctl is-active --quiet irqbalance.service && echo "irqbalance_unit yes"
  held=; read -r held 2>/dev/null < /sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors
  echo "governors $held"
  entries=$(cat /proc/sys/net/core/rps_sock_flow_entries 2>/dev/null) && echo "rfs_entries $entries"
  for tool in grubby update-grub grub2-mkconfig grub-mkconfig; do
    command -v "$tool" >/dev/null && echo "boot_tool $tool"
  done
  true
}
"""

DUMP = _SECTIONS + _SYSCTLS + 'all() { dump "$@"; say sysctls; }\nframed all "$@"\n'
# $1 letters of the parts that are asked for, "" for all; then interfaces.
FACTS = _SECTIONS + _EXTRAS + 'parts=$1; shift; all() { dump "$@"; say machine; }\nframed all "$@"\n'
