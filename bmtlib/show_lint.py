"""What `bmt lint` does: finds the profiles, has each setting judged, prints tables for people (rich) or JSON."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bmtlib.errors import InputError
from bmtlib.params.document import closest
from bmtlib.params.load_yaml import load_profile, load_profile_set, names, profile_sets
from bmtlib.params.profile import ROLES, Profile, Role
from bmtlib.setup.kernel_keys import CHECKED, Kernel, parse_kernel, shown
from bmtlib.setup.lint import FINE, Finding, lint

_STYLES = {"ok": "green", "unknown": "dim", "absent": "red", "harmful": "red"}


def lint_profile(wish: str, *, kernel: str | None, namespace: bool, as_json: bool) -> int:
    """Judge the profile (a name, a path, or a set with all its roles) and print the findings. Returns the exit code.

    `kernel` None: this machine's, which is said on standard error. 0: nothing worse than ok or unknown, else 1.
    InputError: no such profile, or no such kernel.
    """
    profiles = _profiles(wish)
    version = _kernel(kernel)
    judged = {name: lint(profile, version, role=role, namespace=namespace) for name, role, profile in profiles}
    if as_json:
        print(to_json(judged, version))
    else:
        for name, findings in judged.items():
            _show(name, findings, version)
        if version not in CHECKED:
            known = ", ".join(f"{shown(checked)} ({where})" for checked, where in CHECKED.items())
            Console().print(Text(f"Defaults were looked up for {known}; kernel {shown(version)} may have others."))
    return 0 if all(finding.verdict in FINE for findings in judged.values() for finding in findings) else 1


def to_json(judged: dict[str, list[Finding]], kernel: Kernel) -> str:
    """A list, one finding a line, in the order of the profiles."""
    rows = [
        {"profile": name, "kernel": shown(kernel), **vars(finding)}
        for name, findings in judged.items()
        for finding in findings
    ]
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]"


def _kernel(wish: str | None) -> Kernel:
    if wish is not None:
        return parse_kernel(wish)
    release = platform.release()
    try:
        kernel = parse_kernel(release)
    except InputError as error:
        raise InputError(error.what, where="this machine's kernel", todo="name another: --kernel 6.1") from None
    Console(stderr=True).print(Text(f"judged for this machine's kernel, {release}; another: --kernel VERSION"))
    return kernel


def _profiles(wish: str) -> list[tuple[str, Role | None, Profile]]:
    """Name, role and profile of all that `wish` stands for. A file's role is the end of its name: `mine-web.yml`."""
    if wish in profile_sets():
        found = [(f"{wish}-{role}", role, profile) for role in ROLES if (profile := load_profile_set(wish, role))]
        if not found:
            raise InputError(f"the set {wish!r} has no settings: there is nothing to judge")
        return list(found)
    is_path = "/" in wish or wish.endswith((".yml", ".yaml"))
    if not is_path and wish not in names("profiles"):
        known = [*profile_sets(), *names("profiles")]
        raise InputError(
            f"no profile and no set of profiles is named {wish!r}; {closest(wish, known)}",
            todo=f"one of {', '.join(sorted(known))}; or the path of a YAML file",
        )
    ending = Path(wish).stem.rpartition("-")[2]
    return [(wish, next((role for role in ROLES if role == ending), None), load_profile(wish))]


def _show(name: str, findings: Sequence[Finding], kernel: Kernel) -> None:
    where = f" ({CHECKED[kernel]})" if kernel in CHECKED else ""
    title = Text(f"{name} on kernel {shown(kernel)}{where}")
    table = Table(title=title, title_justify="left", header_style="bold", show_lines=True)
    # Two columns: a narrow terminal has no room for more beside the sentences.
    table.add_column("setting", overflow="fold", min_width=30)
    table.add_column("verdict and why", overflow="fold")
    for finding in sorted(findings, key=lambda finding: finding.verdict in FINE):
        why = Text.assemble((finding.verdict, _STYLES.get(finding.verdict, "yellow")), f": {finding.reason}")
        if finding.source:
            why.append(f"\n{finding.source}", style="dim")
        table.add_row(Text(f"{finding.key}\n{finding.value}"), why)
    counts = Counter(finding.verdict for finding in findings).most_common()
    console = Console()
    console.print(table)
    console.print(Text(f"{len(findings)} settings: {', '.join(f'{count} {verdict}' for verdict, count in counts)}\n"))
