"""Values given on the command line (`--set load.concurrency=400`) over those of a file."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from bmtlib.errors import InputError
from bmtlib.params.document import Document, KeyPath, closest, describe, path_text, raise_errors, read_value


def apply_settings(document: Document, settings: Sequence[str], *, prefix: str = "") -> Document:
    """The document with each `key.path=value` put in, the value typed as in YAML; `prefix` is taken off the paths.

    Whether a key exists is found out when the document is checked; its errors then name the `--set` text. Raises
    InputError with a line for each text that is not of the form, or that leads through something without keys.
    """
    data = copy.deepcopy(document.data)
    places, written = dict(document.places), dict(document.written)
    errors = []
    for text in settings:
        place = f"--set {text if text.isprintable() else repr(text)}"
        key, equals, value = text.partition("=")
        path: KeyPath = tuple(key.strip().removeprefix(prefix).split("."))
        if not equals or not all(path):
            errors.append(f"{place}: expected a key path and a value, such as load.concurrency=400")
            continue
        try:
            wish = read_value(value.strip(), place, path)
            raise_errors(line for _, line in wish.errors)
            _put(data, path, wish.data)
        except InputError as error:
            errors.append(error.what)
        except _NoWay as error:
            errors.append(f"{place}: {error}")
        else:
            for known in (places, written):
                for below in [other for other in known if other[: len(path)] == path and other != path]:
                    del known[below]
            for n in range(1, len(path)):
                places.setdefault(path[:n], place)  # what the text itself made on the way
            places |= wish.places
            written |= wish.written
    raise_errors(errors)
    return Document(data=data, places=places, written=written, errors=document.errors)


class _NoWay(Exception):
    """A key path that leads nowhere."""


def _put(data: dict, path: KeyPath, value: object) -> None:
    for i, part in enumerate(path[:-1]):
        here = path[: i + 1]
        if here[:-1] == ("arms",) and part not in data:  # a typing error must not add an arm
            raise _NoWay(f"{path_text(here)}: no such arm; {closest(str(part), data)}")
        if data.get(part) is None:
            data[part] = {}
        data = data[part]
        if not isinstance(data, dict):
            raise _NoWay(f"{path_text(here)} is {describe(data)}, which has no keys; set it as a whole")
    data[path[-1]] = value
