"""What a host has only for the time of a test: made where it is not, and taken away by nobody but its maker.

A mark in $KEEP says that it is ours. Without it, an undo whose `do` never ran would take away what the user has.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmtlib.setup.change import Command, command

# $1 name of the mark, then the arguments. The mark comes first: a thing without a mark would never be taken away.
_MAKE = """\
mark=${{KEEP:?no folder for marks}}/$1; shift
look() {{
{look}
}}
found=$(look "$@" </dev/null) || exit
if [ -n "$found" ]; then
  [ ! -e "$mark" ] || exit 0
  echo "there already, and not ours: $found" >&2; exit 1
fi
make() {{
{make}
}}
: > "$mark" && make "$@" || {{ rm -f "$mark"; exit 1; }}
"""
_REMOVE = """\
mark=${{KEEP:?no folder for marks}}/$1; shift
look() {{
{look}
}}
[ -e "$mark" ] || exit 0
found=$(look "$@") || exit
remove() {{
{remove}
}}
[ -z "$found" ] || remove "$@" || exit
rm -f "$mark"
"""


def made(
    name: str, arguments: Sequence[str], *, look: str, make: str, remove: str, stdin: str = ""
) -> tuple[Command, Command]:
    """`do` and `undo` of a thing called `name`, unique on the host. The rest is shell that has the `arguments`.

    `look` prints something where the thing is, nothing where it is not, and fails where it cannot tell. `make`, which
    reads `stdin`, leaves nothing behind when it fails; `remove` is asked only where the thing is.
    """
    words = ("sh", f"made {name}".replace("/", "%"), *arguments)
    do = _MAKE.format(look=look.rstrip("\n"), make=make.rstrip("\n"))
    undo = _REMOVE.format(look=look.rstrip("\n"), remove=remove.rstrip("\n"))
    return command("sh", "-c", do, *words, stdin=stdin), command("sh", "-c", undo, *words)
