"""HAProxy built from source on the director, with Lua if wished, under a prefix of its own: as the seed did by hand.

Sources: INSTALL of HAProxy 2.x (TARGET, USE_..., LUA_INC, LUA_LIB, LUA_LIB_NAME, install-bin, DESTDIR); the Makefile of
Lua 5.3 (`linux`, INSTALL_TOP).
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bmtlib.errors import InputError
from bmtlib.params.proxy_options import Build, Lua
from bmtlib.setup.change import Change, Command, command
from bmtlib.setup.packages import package_change

if TYPE_CHECKING:
    from bmtlib.setup.system import System

_LARGEST = 64 * 1024**2  # bytes of a tarball; HAProxy's has 4 to 5 MB
_MARK = ".bmt-build"  # in the prefix: which build it is

_ALWAYS = {"apt": ("gcc", "make", "libc6-dev"), "dnf": ("gcc", "make")}
_LIBRARIES = {
    "openssl": {"apt": "libssl-dev", "dnf": "openssl-devel"},
    "zlib": {"apt": "zlib1g-dev", "dnf": "zlib-devel"},
    "pcre": {"apt": "libpcre3-dev", "dnf": "pcre-devel"},
    "pcre2": {"apt": "libpcre2-dev", "dnf": "pcre2-devel"},
    "systemd": {"apt": "libsystemd-dev", "dnf": "systemd-devel"},
    "lua": {"apt": "libreadline-dev", "dnf": "readline-devel"},
}

# $1 file in $KEEP, $2 SHA-256, $3 URL or "": then the file comes in base64 by standard input. What does not have this
# checksum is removed unread.
_FETCH = """\
file=${KEEP:?no folder to keep files in}/$1
right() { [ -f "$file" ] && got=$(sha256sum < "$file") && got=${got%% *} && [ "$got" = "$2" ]; }
! right "$@" || exit 0
why=
if [ -n "$3" ]; then
  curl -q -g -fsSL --retry 3 --proto =http,https --proto-redir =http,https --max-filesize 67108864 --max-time 540 \\
    -o "$file" --url "$3"
else base64 -d > "$file"; fi || why="did not come (exit code $?)"
[ -z "$why" ] && right "$@" && exit
rm -f "$file"; echo "${3:-the tarball} ${why:-has the SHA-256 $got, not $2: it was not unpacked}" >&2; exit 1
"""
_DROP = 'rm -f "${KEEP:?no folder to keep files in}/$1"'
_SUM = 'sha256sum < "${KEEP:?no folder to keep files in}/$1"'

# $1 prefix, $2 build's mark. In $KEEP lies, from before the prefix appears, that it is we who make it: with the folders
# above that had to be made, the deepest first.
_OURS = f"""\
prefix=$1; mark=$2; new=$1.bmt-new
made=${{KEEP:?no folder to keep files in}}/built-$(printf %s "$1" | tr / %); tmp=$made.tmp
say() {{ echo "$*" >&2; }}
is_it() {{ [ "$(cat "$prefix/{_MARK}" 2>/dev/null)" = "$mark" ]; }}
back() {{
  rm -rf "$tmp" || return
  [ -e "$made" ] || return 0
  if [ -e "$prefix" ] && ! is_it; then say "$prefix is not what was built there: it stays"; return 1; fi
  rm -rf "$new" "$prefix" && while read -r folder; do
    [ ! -d "$folder" ] || rmdir --ignore-fail-on-non-empty "$folder" || exit
  done < "$made" && rm -f "$made"
}}
"""
_UNBUILD = _OURS + "back\n"
# $1 program, then features. Prints its version and which of them it has: "2.2.25 OPENSSL ZLIB". One that is not in its
# list at all has no switch any more, as SYSTEMD in newer versions, and is always there.
_LOOK = """\
look() {
  said=$("$1" -vv 2>&1) || { echo "does not run: $said" | head -n 1; return; }
  found=$(printf '%s\\n' "$said" | sed -n '1s/^HA-*Proxy version \\([0-9.]*\\(-dev[0-9]*\\)*\\).*/\\1/p')
  list=" $(printf '%s\\n' "$said" | sed -n 's/^Feature list *: *//p') "; shift
  for feature in "$@"; do case $list in *" -$feature "*) ;; *) found="$found $feature";; esac; done
  echo "$found"
}
"""
# $3 version, $4 HAProxy's tarball, $5 Lua's or "", $6 features; then what make is told.
_BUILD = f"""\
{_OURS}{_LOOK}
version=$3; haproxy=$KEEP/$4; lua=${{5:+$KEEP/$5}}; features=$6; shift 6
if [ -e "$prefix" ]; then
  is_it && exit; say "$prefix is there already, and not this build: choose another prefix"; exit 1
fi
for tool in cc make tar; do command -v $tool >/dev/null || {{ say "no $tool to build with"; exit 1; }}; done
log=$tmp/log; wanted=$version${{features:+ $features}}
run() {{ "$@" >> "$log" 2>&1 </dev/null || {{ say "failed: $*"; tail -n 12 "$log" >&2; return 1; }}; }}
unpack() {{ mkdir "$2" && run tar -x -f "$1" -C "$2" --strip-components=1 --no-same-owner --no-same-permissions; }}
build() {{
  rm -rf "$tmp" && mkdir -p "$tmp" && unpack "$haproxy" "$tmp/haproxy" || return
  root=$tmp/root$prefix; mkdir -p "$root"
  if [ -n "$lua" ]; then
    unpack "$lua" "$tmp/lua" && run make -C "$tmp/lua" -j "$(nproc)" linux &&
      run make -C "$tmp/lua" install INSTALL_TOP="$root/lua" || return
    set -- "$@" USE_LUA=1 LUA_INC="$root/lua/include" LUA_LIB="$root/lua/lib" LUA_LIB_NAME=lua
  fi
  run make -C "$tmp/haproxy" -j "$(nproc)" TARGET=linux-glibc "$@" PREFIX="$prefix" &&
    run make -C "$tmp/haproxy" install-bin TARGET=linux-glibc "$@" PREFIX="$prefix" DESTDIR="$tmp/root" || return
  got=$(look "$root/sbin/haproxy" $features)
  [ "$got" = "$wanted" ] || {{ say "what was built is $got, not $wanted"; return 1; }}
  printf '%s\\n' "$mark" > "$root/{_MARK}"
}}
install() {{
  if [ ! -e "$made" ]; then
    above=${{prefix%/*}}
    while [ -n "$above" ] && [ ! -d "$above" ]; do printf '%s\\n' "$above"; above=${{above%/*}}; done > "$made.part"
    mv -f "$made.part" "$made" || return
  fi
  mkdir -p "${{prefix%/*}}" && rm -rf "$new" && cp -r "$root" "$new" || return
  if command -v restorecon >/dev/null; then restorecon -RF "$new"; fi
  sync -f "$new" && mv -T "$new" "$prefix"
}}
umask 022; build "$@" && install || {{ back; exit 1; }}
rm -rf "$tmp"
"""
# $1 prefix, $2 program: what is in force there. Plans ask before anything is done.
_FOUND = f"""\
if [ ! -e "$1" ]; then echo none; elif ! cat "$1/{_MARK}" 2>/dev/null; then echo "not built by bmtlib"; fi
"""


def build_mark(build: Build) -> str:
    """What tells one build from another: version, checksums and features, but not where the tarballs come from."""
    tarballs = [build.sha256, *([build.lua.sha256] if build.lua else [])]
    text = json.dumps([build.version, tarballs, _features(build)])
    return f"{build.version} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def build_in_lab(build: Build, work: str) -> Build:
    """The same below `work`: a lab's hosts see the machine's own folders, which are not to be written to."""
    return build.model_copy(update={"prefix": f"{work}/haproxy-{build.version}"})


def build_probe(build: Build) -> Command:
    """Prints what stands under the build's prefix: "none", a mark as build_mark makes it, or that it is not ours."""
    return command("sh", "-c", _FOUND, "sh", build.folder)


def build_packages(build: Build, manager: str) -> list[str]:
    """What compiles this build, as the host's package manager calls it.

    >>> build_packages(Build(version="2.2.25", source="/tmp/h.tar.gz", sha256="0" * 64), "dnf")
    ['gcc', 'make', 'openssl-devel', 'zlib-devel', 'pcre-devel', 'systemd-devel']
    """
    return [*_ALWAYS[manager], *(_LIBRARIES[name.lower()][manager] for name in _features(build))]


def build_changes(host: str, build: Build, *, system: System | None = None, built: str | None = None) -> list[Change]:
    """Packages, tarballs, the build; none where `built`, which build_probe printed, says that it is there already.

    `system`: for the packages; None: what compiles is there (a lab). Raises InputError for a prefix that is taken, and
    for a tarball on this machine that cannot be read or has another checksum.
    """
    mark = build_mark(build)
    if built is not None and built.strip() == mark:
        return []
    if built is not None and built.strip() != "none":
        raise InputError(
            f"{build.folder} is there already on {host}, and is another build: {built.strip()}",
            where="arms: proxy: build: prefix",
            todo="another prefix; or `bmt rollback`, if it is of an earlier run",
        )
    haproxy, fetch = _tarball(host, "haproxy", build)
    changes = [fetch]
    lua = ""
    if build.lua is not None:
        lua, fetch = _tarball(host, "lua", build.lua)
        changes.append(fetch)
    names = [] if system is None else build_packages(build, system.manager)
    return [
        *([] if system is None else package_change(host, system, names, "what HAProxy is built with")),
        *changes,
        _build(host, build, mark, haproxy, lua),
    ]


def _features(build: Build) -> list[str]:
    """The words of `haproxy -vv`, which are those of USE_...=1, too."""
    wanted = {
        "OPENSSL": build.openssl,
        "ZLIB": build.zlib,
        "PCRE": build.pcre == "pcre",
        "PCRE2": build.pcre == "pcre2",
    }
    return [name for name, on in (wanted | {"SYSTEMD": build.systemd, "LUA": build.lua is not None}).items() if on]


def _build(host: str, build: Build, mark: str, haproxy: str, lua: str) -> Change:
    features = _features(build)
    flags = [f"USE_{name}=1" for name in features if name != "LUA"]
    return Change(
        host=host,
        what=f"build {build.folder}",
        before=None,
        want=f"HAProxy {build.version} with {' '.join(features) or 'nothing more'}",
        do=command(
            "sh", "-c", _BUILD, "sh", build.folder, mark, build.version, haproxy, lua, " ".join(features), *flags
        ),
        undo=command("sh", "-c", _UNBUILD, "sh", build.folder, mark),
        check=command("sh", "-c", f'{_LOOK}look "$@"', "sh", build.program, *features),
        expect=" ".join([build.version, *features]),
        reason="the proxy's program, beside the distribution's",
        lasting=True,
        seconds=1800,
    )


def _tarball(host: str, name: str, source: Build | Lua) -> tuple[str, Change]:
    """Its name in $KEEP, and the change that brings it there."""
    file = f"{name}-{source.version}.tar"
    remote = source.source.startswith("http")
    content = "" if remote else _read(source)
    change = Change(
        host=host,
        what=f"source {name} {source.version}",
        before=None,
        want=source.source,
        do=command("sh", "-c", _FETCH, "sh", file, source.sha256, source.source if remote else "", stdin=content),
        undo=command("sh", "-c", _DROP, "sh", file),
        check=command("sh", "-c", _SUM, "sh", file),
        expect=f"{source.sha256} -",
        reason="to be built; kept until the run is rolled back",
        lasting=True,
        seconds=600,
    )
    return file, change


def _read(source: Build | Lua) -> str:
    """A tarball of this machine, in base64."""
    path = Path(source.source)
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _LARGEST else b""
    except OSError as error:
        raise InputError(
            f"the tarball cannot be read: {error.strerror}",
            where=source.source,
            todo="the path, on this machine, of a file that you may read; or the URL it is from",
        ) from error
    if size > _LARGEST:
        raise InputError(f"{size} bytes are more than a tarball may have ({_LARGEST})", where=source.source)
    if (found := hashlib.sha256(content).hexdigest()) != source.sha256:
        raise InputError(
            f"the tarball has the SHA-256 {found}, not {source.sha256}",
            where=source.source,
            todo="compare with what its authors publish; if it is the right file, write its checksum into the scenario",
        )
    return base64.encodebytes(content).decode()
