"""Whole files written on a host; what was there is kept on the host, by content and metadata, and brought back.

`before` as text in a change would not do: a file may hold any bytes, has a mode, an owner, times and a SELinux context,
and may be a link. `cp -a` keeps all of these (cp(1), coreutils).
"""

from __future__ import annotations

import hashlib

from bmtlib.setup.change import Change, command

# What a reboot empties.
_PASSING = ("/run/", "/tmp/")

# $1 path, $2 the change's mark: with it a file that is written twice, one change upon the other, is kept twice.
# In $KEEP lies what was there, or NAME.none where nothing was: the folders that had to be made, the deepest first.
_KEPT = """\
: "${KEEP:?no folder to keep files in}"
path=$1; new=$1.bmt-new; kept=$KEEP/$(printf %s "$1" | tr / %)-$2
there() { [ -e "$1" ] || [ -L "$1" ]; }
# A user namespace shows owners that it does not know as nobody, and can give them nothing: there alone they are lost.
copy() {
  rm -f "$2" && said=$(cp -a -- "$1" "$2" 2>&1) && return
  [ "$(stat -c %u "$1")" = 65534 ] && ! grep -q ' 4294967295$' /proc/self/uid_map &&
    rm -f "$2" && cp -dR --preserve=mode,timestamps,links -- "$1" "$2" && return
  printf '%s\\n' "$said" >&2; return 1
}
back() {
  if there "$kept"; then mkdir -p "${path%/*}/" && copy "$kept" "$new" && mv -fT "$new" "$path" && rm -f "$kept"
  elif [ -e "$kept.none" ]; then
    rm -f "$path" "$new" && while read -r folder; do
      [ ! -d "$folder" ] || rmdir --ignore-fail-on-non-empty "$folder" || exit
    done < "$kept.none" && rm -f "$kept.none"
  fi
}
"""
# $3 mode, "" for that of the file that was there, or 644. The file is never open to more eyes than in the end.
_WRITE = f"""\
{_KEPT}
if [ -d "$path" ] && [ ! -L "$path" ]; then echo "$path is a folder" >&2; exit 1; fi
if there "$kept" || [ -e "$kept.none" ]; then :
elif there "$path"; then copy "$path" "$kept.part" && {{ sync "$kept.part" 2>/dev/null; mv -fT "$kept.part" "$kept"; }}
else
  folder=${{path%/*}}
  while [ -n "$folder" ] && [ ! -d "$folder" ]; do
    printf '%s\\n' "$folder"; folder=${{folder%/*}}
  done > "$kept.part" && mv -f "$kept.part" "$kept.none"
fi || exit
write() {{
  mkdir -p "${{path%/*}}/" && rm -f "$new" && (umask 077; cat > "$new") || return
  if [ -n "$1" ]; then chmod "$1" "$new"
  elif [ -f "$path" ] && [ ! -L "$path" ]; then
    cp -a --attributes-only -- "$path" "$new" 2>/dev/null || chmod --reference="$path" "$new"; touch "$new"
  else chmod 644 "$new"; fi && mv -fT "$new" "$path"
}}
write "$3" || {{ rm -f "$new"; back; exit 1; }}
"""
_BACK = _KEPT + "back\n"
_LOOK = 'sha256sum < "$1"; [ -z "$2" ] || stat -c %a "$1"'


def file_change(
    host: str, path: str, text: str, *, before: str | None, mode: str | None = None, reason: str = "", profile: str = ""
) -> Change:
    """Write `text` to `path` as a whole (temporary file, then rename); undo brings back what the host had there.

    `before` is the file's present content, None when there is no such file: for the reader alone. `mode` in octal
    ("600"); without it the file keeps its mode and owner, a new one gets 644. A link is replaced, not followed.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    mark = hashlib.sha256(f"{digest} {mode or ''}".encode()).hexdigest()[:12]
    return Change(
        host=host,
        what=f"file {path}",
        before=None if before is None else f"{len(before.encode())} bytes",
        want=f"{len(text.encode())} bytes" + (f", mode {mode}" if mode else ""),
        do=command("sh", "-c", _WRITE, "sh", path, mark, mode or "", stdin=text),
        undo=command("sh", "-c", _BACK, "sh", path, mark),
        check=command("sh", "-c", _LOOK, "sh", path, mode or ""),
        expect=f"{digest} -" + (f" {mode}" if mode else ""),
        reason=reason,
        profile=profile,
        lasting=not path.startswith(_PASSING),
    )


def file_changes(
    host: str,
    path: str,
    text: str,
    *,
    before: str | None,
    mode: str | None = None,
    mode_before: str | None = None,
    reason: str = "",
    profile: str = "",
) -> list[Change]:
    """As `file_change`; none where the file holds `text` already, and has the `mode` if one is asked for."""
    if before == text and mode in (None, mode_before):
        return []
    return [file_change(host, path, text, before=before, mode=mode, reason=reason, profile=profile)]
