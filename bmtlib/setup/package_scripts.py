"""Shell that installs packages and takes them back, for apt (Debian, Ubuntu) and dnf (RHEL and its like).

$1 ... are names. Notes are files "$KEEP/packages-NUMBER.*", the number made from the names: `before`, `units`, `users`,
`groups` are what there was, `places` what there was not; `planned` is what is to come; `came` and `came.*` what has
come, known once all is done. Undo of what was broken off goes by `planned`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scripts:
    """`check` prints "installed" when all names are."""

    do: str
    undo: str
    check: str


# An installation that fails is taken back at once, as a change that fails must leave the host as it was.
_COMMON = r"""
export LC_ALL=C
keep=$(printf '%s ' "$@" | cksum) || exit; keep=$KEEP/packages-${keep%% *}
say() { echo "$*" >&2; }
units() {
  systemctl list-unit-files --no-legend --no-pager --plain 2>/dev/null |
    sed -n 's/^\([^ ]*\.\(service\|socket\|timer\|path\)\) .*/\1/p' | sort
}
users() { cut -d : -f 1 /etc/passwd | sort; }
groups() { cut -d : -f 1 /etc/group | sort; }
note() {
  [ ! -e "$keep.before" ] || return 0
  units > "$keep.units" && users > "$keep.users" && groups > "$keep.groups" && streams > "$keep.streams" &&
    left_over > "$keep.left" && for place in $places; do [ -e "$place" ] || echo "$place"; done > "$keep.places" &&
    installed > "$keep.new" && mv "$keep.new" "$keep.before"
}
# Names on standard input, beside those of an installation that was broken off.
planned() {
  touch "$keep.planned" && sort -u - "$keep.planned" > "$keep.new" && mv "$keep.new" "$keep.planned"
}
# A service that came with a package neither runs now nor from the next boot on; those that were here are left alone.
quiet() {
  units | comm -13 "$keep.units" - | while read -r unit; do
    case $(systemctl is-enabled "$unit" 2>/dev/null) in
      enabled*) systemctl -q disable "$unit" 2>/dev/null || { say "$unit cannot be disabled"; exit 1; };;
    esac
    systemctl -q stop "$unit" 2>/dev/null || ! systemctl -q is-active "$unit" 2>/dev/null ||
      { say "$unit cannot be stopped"; exit 1; }
  done
}
came() {
  users | comm -13 "$keep.users" - > "$keep.came.users" && groups | comm -13 "$keep.groups" - > "$keep.came.groups" &&
    streams | comm -13 "$keep.streams" - > "$keep.came.streams" &&
    installed | comm -13 "$keep.before" - > "$keep.new" && mv "$keep.new" "$keep.came"
}
run() { "$@" < /dev/null > "$keep.log" 2>&1 || { tail -n 5 "$keep.log" >&2; return 1; }; }
put() {
  note && plan "$@" && bring "$@" && quiet && came && return
  take || say "and what had come could not be removed"
  return 1
}
take() {
  [ -e "$keep.before" ] || return 0
  list=/dev/null
  for name in planned came; do [ ! -e "$keep.$name" ] || list=$keep.$name; done
  # Of what came, what is still here; not what was here already.
  due=$(installed | comm -12 "$list" - | comm -23 - "$keep.before")
  [ -z "$due" ] || drop $due || return 1
  sweep
  # What packages make beside their files, in folders that were not there before.
  while read -r place; do
    [ ! -d "$place" ] ||
      find "$place" -depth \( -name '*.rpmsave' -o -name index.nginx-debian.html -o -type d -empty \) -delete || return
  done < "$keep.places"
  if [ -e "$keep.came" ]; then
    users | comm -12 "$keep.came.users" - | while read -r name; do userdel "$name" || exit 1; done || return
    groups | comm -12 "$keep.came.groups" - | while read -r name; do groupdel "$name" || exit 1; done || return
    streams | comm -12 "$keep.came.streams" - | while read -r name; do rm -f "/etc/dnf/modules.d/$name"; done
  fi
  rm -f "$keep".*
}
"""

# Debian's packages ask policy-rc.d before they start a service; 101 says no. One that is there already is the
# administrator's: it stays and decides. Ours says no only while this shell lives, so that one left behind harms nobody.
_APT = r"""
places=/var/www
# Half installed counts as installed: an installation may have been broken off.
installed() { dpkg-query -W -f '${db:Status-Abbrev}|${Package}\n' | sed -n 's/^[ih][^cn].|//p' | sort -u; }
left_over() { dpkg-query -W -f '${db:Status-Abbrev}|${Package}\n' | sed -n 's/^rc.|//p' | sort -u; }
streams() { :; }
policy=/usr/sbin/policy-rc.d
apt() { run env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"; }
plan() {
  apt update || say "apt-get update failed; trying with the package lists that are there"
  apt install -s --no-install-recommends --no-remove "$@" || return 1
  up=$(sed -n 's/^Inst \([^ ]*\) \[.*/\1/p' "$keep.log")
  [ -z "$up" ] || { say "apt would upgrade for it:" $up "(not to be undone: apt-get upgrade first)"; return 1; }
  sed -n 's/^Inst \([^ ]*\) .*/\1/p' "$keep.log" | planned
}
bring() {
  me=$(exec sh -c 'echo $PPID')
  ours=; [ -e $policy ] && ! grep -q 'made by bmt' $policy || ours=yes
  [ -z "$ours" ] || { printf '%s\n' '#!/bin/sh' '# made by bmt for the time of one installation' \
    "[ ! -d /proc/$me ] || exit 101" > $policy && chmod 755 $policy; } || return 1
  apt install --no-install-recommends --no-remove -o Dpkg::Options::=--force-confold "$@"; rc=$?
  [ -z "$ours" ] || rm -f $policy
  return $rc
}
drop() {
  [ -z "$(dpkg --audit)" ] || run dpkg --force-confold --configure -a || return 1
  apt remove -s "$@" || return 1
  more=$(sed -n 's/^Remv \([^ ]*\) .*/\1/p' "$keep.log" | sort | comm -13 "$list" -)
  [ -z "$more" ] || { say "not removed, as these need it by now:" $more; return 1; }
  apt remove "$@" || return 1
  # What was known as removed, with its configuration left, is again; of all else the configuration goes, too.
  whole=$(printf '%s\n' "$@" | comm -23 - "$keep.left")
  [ -z "$whole" ] || run dpkg --purge $whole
}
sweep() { ! grep -qs 'made by bmt' $policy || rm -f $policy; }
"""
_APT_CHECK = r"""
for name in "$@"; do
  case $(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null) in
    [ih]"i ") ;;
    *) echo "$name is missing"; exit;;
  esac
done; echo installed
"""

# The table of `dnf --assumeno`: a heading, then lines that begin with one blank and the name; long names stand alone.
_DNF = r"""
places='/etc/nginx /etc/haproxy /var/log/nginx /var/lib/nginx /var/lib/haproxy /usr/share/nginx'
installed() { rpm -qa --qf '%{NAME}\n' | sort -u; }
left_over() { :; }
streams() { ls /etc/dnf/modules.d 2>/dev/null | sort; }
listed() { awk -v heading="^($1)" '/^[^ ]/ { on = $0 ~ heading } on && /^ [^ ]/ { print $1 }' "$keep.log"; }
plan() {
  dnf install --assumeno --setopt=install_weak_deps=False "$@" < /dev/null > "$keep.log" 2>&1
  grep -q -e '^Operation aborted' -e '^Nothing to do' "$keep.log" || { tail -n 5 "$keep.log" >&2; return 1; }
  up=$(listed 'Upgrading|Downgrading|Removing|Reinstalling')
  [ -z "$up" ] || { say "dnf would replace for it:" $up "(not to be undone: dnf upgrade first)"; return 1; }
  listed Installing | planned
}
bring() { run dnf install -y --setopt=install_weak_deps=False "$@"; }
# All of a name came: the keys of repositories share one.
drop() { run rpm -e --allmatches "$@"; }
sweep() { :; }
"""
_DNF_CHECK = r"""rpm -q "$@" > /dev/null 2>&1 && echo installed || rpm -q "$@" | grep 'not installed'"""

APT = Scripts(do=f'{_COMMON}{_APT}put "$@"\n', undo=f'{_COMMON}{_APT}take "$@"\n', check=_APT_CHECK)
DNF = Scripts(do=f'{_COMMON}{_DNF}put "$@"\n', undo=f'{_COMMON}{_DNF}take "$@"\n', check=_DNF_CHECK)
