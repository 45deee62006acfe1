"""What each setting of a profile does on a kernel, judged by rules over kernel_keys.yml and the profile's own values.

No rule knows a profile by its name, and none reads the profile's own reasons.
"""

from __future__ import annotations

from bmtlib.params.profile import Profile, Role, hardware_keys
from bmtlib.setup.finding import FINE, Asked, Finding
from bmtlib.setup.kernel_keys import Kernel
from bmtlib.setup.lint_hardware import hardware_finding, nginx_finding
from bmtlib.setup.lint_sysctl import sysctl_finding

__all__ = ["FINE", "Finding", "lint"]


def lint(profile: Profile, kernel: Kernel, *, role: Role | None = None, namespace: bool = False) -> list[Finding]:
    """A finding for each setting, in the profile's order: sysctls, hardware, nginx.

    `role`: whose profile it is; None when that is not known: rules that depend on it then say nothing. `namespace`: for
    hosts that are network namespaces.
    """
    asked = Asked(profile=profile, kernel=kernel, role=role, namespace=namespace)
    findings = [sysctl_finding(asked, key, setting.value) for key, setting in profile.sysctl.items()]
    findings += [hardware_finding(asked, key, _text(value)) for key, value in hardware_keys(profile).items()]
    if profile.nginx is not None:
        findings += [nginx_finding(asked, key, _text(value)) for key, value in profile.nginx if value is not None]
    return findings


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
