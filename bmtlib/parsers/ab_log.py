"""Apache Bench's standard error: progress and errors. Source: support/ab.c of httpd 2.4."""

from __future__ import annotations

from typing import TypedDict

from bmtlib.parsers.reading import COUNT, Lines


class AbLogRow(TypedDict):
    """One line of ab's standard error.

    kind: progress, finished (both with `completed`), or error (with `message`)
    completed: requests that had ended, right or wrong; None for an error
    message: error text, for instance "apr_socket_recv: Connection reset by peer"; None otherwise
    code: error number in brackets behind it (errno, or APR's own from 20000 up); None where ab prints none
    """

    kind: str
    completed: int | None
    message: str | None
    code: int | None


def parse(text: str) -> list[AbLogRow]:
    """Standard error of ab: one row per line, in order. Empty with -q when all went well.

    >>> parse("Completed 500 requests\\napr_socket_recv: Connection reset by peer (104)\\n")[1]["message"]
    'apr_socket_recv: Connection reset by peer'
    """
    rows: list[AbLogRow] = []
    if not text:
        return rows
    lines = Lines("ab", text)
    while lines:
        if match := lines.take_if(f"(?P<kind>Completed|Finished) (?P<n>{COUNT}) requests"):
            kind = "progress" if match["kind"] == "Completed" else "finished"
            rows.append(AbLogRow(kind=kind, completed=int(match["n"]), message=None, code=None))
        elif match := lines.take_if(r"(?P<text>\w[^:]*: .+?) \((?P<code>\d{1,7})\)"):
            rows.append(AbLogRow(kind="error", completed=None, message=match["text"], code=int(match["code"])))
        elif lines.take_if(""):
            continue  # ab puts empty lines around "Test aborted"
        elif match := lines.take_if(r"(?P<text>Test aborted after 10 failures|SSL .+|ab: .+)"):
            rows.append(AbLogRow(kind="error", completed=None, message=match["text"], code=None))
            if match["text"].startswith("ab: "):
                _usage(lines)
        else:
            lines.fail("unknown message")
    return rows


def _usage(lines: Lines) -> None:
    """The page of options that follows a wrong option."""
    lines.take(r"Usage: \S+ \[options\] .+", "usage")
    lines.take("Options are:", "options")
    while lines:
        lines.take(r"    .+", "an option's description")
