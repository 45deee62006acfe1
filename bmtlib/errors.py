"""Every error that bmtlib raises on purpose: what happened, where, and what to do about it."""

from __future__ import annotations


class BmtError(Exception):
    """Base of all. `exit_code` is what the command line ends with.

    >>> print(BmtError("no such scenario 'quik'", where="params/scenarios", todo="did you mean 'quick'?"))
    no such scenario 'quik'
      where: params/scenarios
      to do: did you mean 'quick'?
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.todo:
            lines.append(f"  to do: {self.todo}")
        return "\n".join(lines)


class InputError(BmtError):
    """The user's input (YAML, option, run folder) is wrong."""

    exit_code = 2


class MachineError(BmtError):
    """This machine (or a host) lacks a program, a right or a resource."""

    exit_code = 3


class CaseError(BmtError):
    """One case cannot be measured; the run goes on with the next."""


class ParseError(BmtError):
    """A tool printed something that its parser does not understand. Parsers never guess.

    >>> print(ParseError("ab", 3, "Foo: 1", "unknown field"))
    ab: unknown field
      where: line 3: 'Foo: 1'
    """

    def __init__(self, tool: str, line_no: int, line: str, why: str) -> None:
        self.tool, self.line_no, self.line, self.why = tool, line_no, line, why
        super().__init__(f"{tool}: {why}", where=f"line {line_no}: {line[:200]!r}")

    def __reduce__(self) -> tuple[type[ParseError], tuple[str, int, str, str]]:
        return type(self), (self.tool, self.line_no, self.line, self.why)


class HostError(BmtError):
    """A command on a host did not do what it should. `rc` is None when it was killed after its time.

    >>> print(HostError("web01", ["nginx", "-t"], 1, "unknown directive"))
    web01: `nginx -t` ended with 1
      where: web01 said: unknown directive
    """

    def __init__(self, host: str, command: list[str], rc: int | None, said: str) -> None:
        self.host, self.command, self.rc, self.said = host, command, rc, said
        last = "\n    ".join(said.strip().splitlines()[-10:])
        ended = "was killed" if rc is None else f"ended with {rc}"
        super().__init__(f"{host}: `{' '.join(command)[:200]}` {ended}", where=f"{host} said: {last}")

    def __reduce__(self) -> tuple[type[HostError], tuple[str, list[str], int | None, str]]:
        return type(self), (self.host, self.command, self.rc, self.said)
