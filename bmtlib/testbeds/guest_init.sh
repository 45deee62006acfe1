#!/bin/sh
# The guest's first process: mounts, modules, addresses, sshd; then it waits and buries orphans.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
stop() { echo "bmt: $*"; sleep 1; exit 1; }  # the end of this process is a panic, and panic=-1 ends the machine
mkdir -p /proc /sys /dev /run /tmp /root /var/log /var/lib/haproxy /var/empty
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev || stop "no /proc, /sys or /dev"
exec < /dev/null > /dev/console 2>&1
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; mount -t tmpfs shm /dev/shm; mount -t tmpfs -o mode=755 run /run
mount -t tmpfs tmp /tmp; mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/bmt /run/sshd /run/haproxy
while read -r module; do
  options=
  [ ! -e "/etc/bmt/${module##*/}.options" ] || read -r options < "/etc/bmt/${module##*/}.options"
  insmod "$module" $options || echo "bmt: module $module was not loaded"
done < /etc/bmt/modules
hostname "$(cat /etc/hostname)"; ulimit -Hn {nofile}; ulimit -Sn {nofile}
. /etc/bmt/network.sh || stop "the network could not be set up"
/usr/sbin/sshd -f /etc/bmt/sshd_config || stop "sshd did not start"
i=0; until ss -ltnH 'sport = :22' | grep -q .; do  # it has detached before it listens
  [ $i -lt 100 ] || stop "sshd does not listen"; sleep 0.05; i=$((i+1))
done
echo "bmt: ready"
while :; do sleep 3600 & wait; done
