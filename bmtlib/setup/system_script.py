"""Shell that looks at what a host is and has, in one round trip; system.py reads it.

A line is "KEY REST"; what could not be found out is left out. Nothing is changed, and root is not needed: without it,
the processes behind sockets, firewalls' rules and the next boot's arguments stay unknown.
"""

from __future__ import annotations

from bmtlib.setup.packages import NAMES, PROGRAMS
from bmtlib.setup.pinning import ALIVE, ALLOWED

WORK = "/run/bmt"
SYSCTL_FILE = "/etc/sysctl.d/90-bmt.conf"
GRUB_FILE = "/etc/default/grub.d/90-bmt.cfg"
LIMITS_FILE = "/etc/security/limits.d/90-bmt.conf"
UNIT_FOLDER = "/etc/systemd/system"
MARK = "# Written by bmtlib"  # how each file of ours begins

# Programs of ours or in our way: by pid file, those that we start.
PID_FILES = {"nginx": "/run/nginx.pid", "haproxy": f"{WORK}/haproxy.pid"}
UNITS = ("nginx", "haproxy", "irqbalance", "firewalld", "ufw", "bmt-nginx", "bmt-haproxy")
MODULES = ("ip_vs", "ip_vs_rr", "nf_tables", "nf_conntrack", "ipip")
BOOT_TOOLS = ("grubby", "update-grub", "grub2-mkconfig")

_START = "export LC_ALL=C; PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin"
_WHAT_IT_IS = r"""
sed -n 's/^\(ID\|ID_LIKE\|VERSION_ID\|PRETTY_NAME\)=/os &/p' /etc/os-release 2>/dev/null
read -r kernel < /proc/sys/kernel/osrelease; echo "kernel $kernel"
echo "arch $(uname -m)"; echo "uid $(id -u)"; echo "nofile $(ulimit -Hn)"; echo "nr_open $(cat /proc/sys/fs/nr_open)"
while read -r key number _; do [ "$key" != MemTotal: ] || echo "memory_kib $number"; done < /proc/meminfo
df -Pk / /var 2>/dev/null | { read -r _; while read -r _ _ _ free _ place; do echo "free_kib $place $free"; done; }
nodes=0; for node in /sys/devices/system/node/node[0-9]*; do [ ! -d "$node" ] || nodes=$((nodes+1)); done
[ $nodes = 0 ] || echo "numa_nodes $nodes"
echo "virtualization $(systemd-detect-virt 2>/dev/null)"
echo "cmdline $(cat /proc/cmdline)"
"""
# rpm says "is not installed" on standard output, and so has its names behind a word of ours.
_PACKAGES = rf"""
if command -v dnf >/dev/null; then
  echo "manager dnf"
  rpm -q --qf 'installed %{{NAME}}\n' {" ".join(NAMES["dnf"])} 2>/dev/null | grep '^installed '
elif command -v apt-get >/dev/null; then
  echo "manager apt"
  dpkg-query -W -f '${{db:Status-Abbrev}}${{Package}}\n' {" ".join(NAMES["apt"])} 2>/dev/null |
    sed -n 's/^[ih]i /installed /p'
fi
for program in {" ".join(name for name in PROGRAMS if name != "arping")} semanage; do
  command -v "$program" >/dev/null && echo "program $program"
done
arping -V 2>/dev/null | grep -q iputils && echo "program arping" # there is another of this name
"""
_SERVICES = rf"""
if [ -d /run/systemd/system ]; then
  echo "systemd yes"
  systemctl show -p Id -p LoadState -p ActiveState -p UnitFileState {" ".join(f"{unit}.service" for unit in UNITS)} |
    sed 's/^/unit /'
fi
pids=$(ss -Hltnp 2>/dev/null | {{ while read -r _ _ _ local _ users; do
  for pid in $(echo "$users" | grep -o 'pid=[0-9]*' | sort -u | cut -d = -f 2) 0; do
    [ "$pid" = 0 ] && [ -n "$users" ] || echo "$local $pid"
  done
done; }})
[ -z "$pids" ] || printf '%s\n' "$pids" | sed 's/^/listen /'
{ALIVE}{ALLOWED}
ours() {{ # NAME PIDFILE: whether it is we who have started it
  [ -s "$2" ] && read -r pid 2>/dev/null < "$2" && alive "$pid" || return
  if grep -qs '/bmt-' "/proc/$pid/cgroup"; then return; fi
  case $2 in {WORK}/*) return;; esac
  ! grep -qs "/$1[.]service" "/proc/$pid/cgroup" && head -n 1 /etc/nginx/nginx.conf 2>/dev/null | grep -q '^{MARK}'
}}
mine=
set -- {" ".join(word for pair in PID_FILES.items() for word in pair)}
while [ $# -gt 0 ]; do
  if ours "$1" "$2"; then mine="$mine $pid"; echo "running $1 $pid $(echo $(allowed "$pid"))"; fi
  shift 2
done
printf '%s\n' "$pids" $mine | sed 's/.* //' | grep '[0-9]' | sort -nu | while read -r pid; do
  read -r name 2>/dev/null < "/proc/$pid/comm" && program=$(readlink "/proc/$pid/exe") || continue
  parent=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null)
  unit=$(sed -n 's/.*\/\([^/]*\.service\)$/\1/p' "/proc/$pid/cgroup" 2>/dev/null | head -n 1)
  program=$(printf %s "$program" | base64 -w 0); line=$(base64 -w 0 "/proc/$pid/cmdline")
  echo "process $pid $parent ${{unit:--}} $program $line $name"
done
"""
_FIREWALL = r"""
zone=; systemctl -q is-active firewalld.service 2>/dev/null && zone=$(firewall-cmd --get-default-zone 2>/dev/null)
if [ -n "$zone" ]; then
  echo "firewall firewalld"; echo "default_zone $zone"
  firewall-cmd --list-all-zones 2>/dev/null |
    sed -n 's/^\([^ ].*\)/zone \1/p;s/^  \(interfaces\|services\|ports\): /zone  \1 /p'
elif command -v ufw >/dev/null && said=$(ufw status 2>/dev/null) && [ "${said%%
*}" = "Status: active" ]; then
  echo "firewall ufw"; printf '%s\n' "$said" | sed -n 's/^\([^ ]*\) *ALLOW  *Anywhere.*/allow \1/p'
elif nft list chains 2>/dev/null | grep -q 'type filter hook input'; then echo "firewall nftables"
elif grep -qs filter /proc/net/ip_tables_names; then echo "firewall iptables"
fi
"""
_SELINUX = rf"""
if read -r enforce 2>/dev/null < /sys/fs/selinux/enforce; then
  if [ "$enforce" = 1 ]; then echo "selinux enforcing"; else echo "selinux permissive"; fi
  label=$(stat -c %C {WORK}/www 2>/dev/null) && echo "label {WORK}/www $label"
  cat /var/lib/selinux/*/active/ports.local 2>/dev/null |
    sed -n 's/^portcon \(tcp [0-9-]*\) [^:]*:[^:]*:\([a-z0-9_]*\):.*/port \1 \2/p'
fi
"""
_KERNEL = rf"""
for module in {" ".join(MODULES)}; do
  if [ -d "/sys/module/$module" ] || [ "$module" = ip_vs ] && [ -e /proc/net/ip_vs ]; then echo "module $module loaded"
  elif file=$(modinfo -F filename "$module" 2>/dev/null); then
    case $file in "(builtin)") echo "module $module loaded";; *) echo "module $module available";; esac
  elif grep -qs "/$module[.]ko" "/lib/modules/$kernel/modules.builtin"; then echo "module $module loaded"
  elif [ -e "/lib/modules/$kernel/modules.dep" ]; then echo "module $module absent"
  else echo "module $module unknown"; fi
done
for tool in {" ".join(BOOT_TOOLS)}; do command -v "$tool" >/dev/null && echo "boot_tool $tool"; done
if command -v grubby >/dev/null; then
  grubby --info=DEFAULT 2>/dev/null | sed -n 's/^args="\(.*\)"$/boot_args \1/p'
fi
"""
_FILES = rf"""
for user in nginx www-data; do id -u "$user" >/dev/null 2>&1 && echo "user $user"; done
for file in {SYSCTL_FILE} {GRUB_FILE} {LIMITS_FILE} {UNIT_FOLDER}/bmt-nginx.service {UNIT_FOLDER}/bmt-haproxy.service
do
  [ -r "$file" ] && echo "file $file $(base64 -w 0 "$file")"
done
(cd {WORK}/www 2>/dev/null && sha256sum -- * 2>/dev/null) | sed 's/^/sum /'
echo end
"""

PROBE = "\n".join([_START, _WHAT_IT_IS, _PACKAGES, _SERVICES, _FIREWALL, _SELINUX, _KERNEL, _FILES])
