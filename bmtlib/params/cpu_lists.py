"""CPUs in YAML: a list such as `0-3,8`, or a word for one; and kernel arguments, by which some are set aside."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from bmtlib.cpus import parse_list, to_list


def _number_as_text(value: object) -> object:
    """A single CPU is a number to YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _cpus_or(*words: str) -> Callable[[str], str]:
    """A check for one of `words`, or a list of CPUs, which is brought into its shortest form."""

    def check(text: str) -> str:
        if text in words:
            return text
        try:
            cpus = parse_list(text)
        except ValueError as error:
            cpus, why = frozenset(), str(error)
        else:
            why = "an empty list of CPUs"
        if not cpus:
            raise ValueError(f"{why}; possible are {', '.join(map(repr, words))}, and CPUs such as '1' or '0-3,8'")
        return to_list(cpus)

    return check


def _cpus_schema(*words: str) -> WithJsonSchema:
    pattern = f"^({'|'.join(words)}|[0-9][0-9, -]*)$"
    return WithJsonSchema({"anyOf": [{"type": "string", "pattern": pattern}, {"type": "integer"}]})


_Text = BeforeValidator(_number_as_text)
IrqCpus = Annotated[
    str, _Text, AfterValidator(_cpus_or("all", "proxy", "others")), _cpus_schema("all", "proxy", "others")
]
RpsCpus = Annotated[str, _Text, AfterValidator(_cpus_or("all", "none")), _cpus_schema("all", "none")]
IsolatedCpus = Annotated[str, _Text, AfterValidator(_cpus_or("proxy")), _cpus_schema("proxy")]

_KERNEL_ARGUMENT = re.compile(r"[a-zA-Z][A-Za-z0-9_.:,=+/-]*", re.ASCII)


def _check_kernel_argument(word: str) -> str:
    if not _KERNEL_ARGUMENT.fullmatch(word):
        raise ValueError(f"{word!r} is not a kernel argument such as 'isolcpus=1': no spaces, no quotes")
    return word


KernelArgument = Annotated[str, AfterValidator(_check_kernel_argument)]
