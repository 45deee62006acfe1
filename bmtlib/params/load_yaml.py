"""The one way from a file's name to a Scenario, a Testbed or a Profile; errors carry file, line and key path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from bmtlib.errors import InputError
from bmtlib.params.check import check
from bmtlib.params.document import Document, closest, raise_errors, read_document
from bmtlib.params.paths import project_root
from bmtlib.params.profile import Profile, Role
from bmtlib.params.scenario import Scenario
from bmtlib.params.settings import apply_settings
from bmtlib.params.testbed import Testbed, anchored
from bmtlib.params.units import Params

_LARGEST_FILE = 256 * 1024
_OF_TESTBED = "testbed."


def names(folder: str) -> list[str]:
    """Names of the files in params/<folder>, sorted: `names("scenarios")` -> ["file-size", "quick"]."""
    return sorted(path.stem for path in (project_root() / "params" / folder).glob("*.yml"))


def profile_sets() -> list[str]:
    """The values that a scenario's `tuning` can have."""
    return sorted({name.rpartition("-")[0] for name in names("profiles")} | {"none"})


def find_file(folder: str, wish: str | Path) -> Path:
    """The file of a name (`quick`) or of a path, which starts at the current folder or else at the project's.

    Raises InputError when there is none, with the names that there are.
    """
    text = str(wish)
    if "/" not in text and not text.endswith((".yml", ".yaml")):
        if text in names(folder):
            return _shortest(project_root() / "params" / folder / f"{text}.yml")
        raise InputError(
            f"no {folder.removesuffix('s')} is named {text!r}; {closest(text, names(folder))}",
            where=str(project_root() / "params" / folder),
            todo=f"one of {', '.join(names(folder))}; or the path of a YAML file",
        )
    for path in (Path(text), project_root() / text):
        if path.is_file():
            return path
    why = "is not a file" if Path(text).exists() else "does not exist"
    raise InputError(f"{text!r} {why}", todo=f"the path of a YAML file, or one of {', '.join(names(folder))}")


def load_scenario(wish: str | Path, settings: Sequence[str] = ()) -> Scenario:
    """A scenario by name or path. `settings` are `--set` texts. Raises one InputError with a line for every error."""
    document = apply_settings(_read(find_file("scenarios", wish)), settings)
    scenario, errors = check(document, Scenario)
    if scenario is not None:
        wishes: list[tuple[tuple[str | int, ...], str]] = [(("tuning",), scenario.tuning)]
        wishes += [(("factors", "tuning", i), level) for i, level in enumerate(scenario.factors.get("tuning", ()))]
        wishes += [(("combinations", i), it["tuning"]) for i, it in enumerate(scenario.combinations) if "tuning" in it]
        errors = document.error_lines(
            [
                (where, f"no such set of profiles; {closest(name, profile_sets())}")
                for where, name in wishes
                if name not in profile_sets()
            ]
        )
    raise_errors(errors)
    assert scenario is not None
    return scenario


def load_testbed(wish: str | Path, settings: Sequence[str] = ()) -> Testbed:
    """A testbed by name or path. `settings` are `--set` texts that start with `testbed.`."""
    path = find_file("testbeds", wish)
    document = apply_settings(_read(path), settings, prefix=_OF_TESTBED)
    testbed, errors = check(document, Testbed)
    raise_errors(errors)
    assert testbed is not None
    return anchored(testbed, path.parent)


def load_inputs(
    scenario: str | Path, testbed: str | Path = "netns", settings: Sequence[str] = ()
) -> tuple[Scenario, Testbed]:
    """Both, with each setting where it belongs. Raises one InputError with the errors of both."""
    of_testbed = [text for text in settings if text.startswith(_OF_TESTBED)]
    of_scenario = [text for text in settings if text not in of_testbed]
    errors = []
    try:
        loaded = load_scenario(scenario, of_scenario)
    except InputError as error:
        errors.append(str(error))
    try:
        found = load_testbed(testbed, of_testbed)
    except InputError as error:
        errors.append(str(error))
    raise_errors(errors)
    return loaded, found


def load_profile_set(tuning: str, role: Role) -> Profile | None:
    """The profile of a role in a set (`seed`, `recommended`); None for the set `none` or a role without one."""
    if tuning not in profile_sets():
        raise InputError(f"no set of profiles is named {tuning!r}; {closest(tuning, profile_sets())}")
    name = f"{tuning}-{role}"
    return load_profile(name) if name in names("profiles") else None


def load_profile(wish: str | Path) -> Profile:
    """One profile by name (`seed-web`) or path."""
    profile, errors = check(_read(find_file("profiles", wish)), Profile)
    raise_errors(errors)
    assert profile is not None
    return profile


def to_yaml(params: Params) -> str:
    """YAML with every value spelt out, defaults too; loading it gives an equal object."""
    return yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def _read(path: Path) -> Document:
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > _LARGEST_FILE:
        raise InputError(f"{path}: larger than 256 KiB: not a parameter file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not text in UTF-8: it holds the byte {raw[error.start]:#04x}") from None
    return read_document(text, str(path))


def _shortest(path: Path) -> Path:
    """As people would type it from where they are."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
