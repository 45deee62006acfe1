"""What all tests share: lab tests run where this machine can build a lab, and say why where it cannot."""

from __future__ import annotations

import pytest

from bmtlib import doctor
from bmtlib.errors import BmtError


def _lab_obstacle() -> str:
    """Why no lab can be built here, "" when one can."""
    if missing := doctor.missing_programs():
        return f"programs are missing: {', '.join(missing)}"
    try:
        doctor.lab_privilege()
    except BmtError as error:
        return str(error)
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lab = [item for item in items if item.get_closest_marker("lab")]
    if lab and (why := _lab_obstacle()):
        for item in lab:
            item.add_marker(pytest.mark.skip(reason=f"no lab on this machine: {why}"))
