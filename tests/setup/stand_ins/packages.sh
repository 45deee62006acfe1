#!/bin/sh
# Sourced by the stand-ins of package programs. $STATE/installed: names; $STATE/needs: "NAME DEPENDENCY...";
# $STATE/units: "UNIT PACKAGE"; $STATE/calls: what was called.
echo "${0##*/} $*" >> "$STATE/calls"
has() { grep -qx -- "$1" "$STATE/installed"; }
add() { has "$1" || echo "$1" >> "$STATE/installed"; }
cut_off() { grep -vx -- "$1" "$STATE/installed" > "$STATE/new"; mv "$STATE/new" "$STATE/installed"; }
wanted() { for name in "$@"; do
  case $name in -*|*=*|install|remove|update) continue;; esac
  has "$name" || echo "$name"
  for more in $(sed -n "s/^$name //p" "$STATE/needs"); do has "$more" || echo "$more"; done
done | awk '!seen[$0]++'; }
needed_by() { while read -r name needs; do
  for need in $needs; do [ "$need" != "$1" ] || ! has "$name" || echo "$name"; done
done < "$STATE/needs"; }
