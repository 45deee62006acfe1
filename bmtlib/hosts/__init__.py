"""The one door to a machine: run a command, read or write a file, apply journaled changes."""

from bmtlib.hosts.host import Background, Host, Result, each

__all__ = ["Background", "Host", "Result", "each"]
