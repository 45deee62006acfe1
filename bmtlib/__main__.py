"""`python -m bmtlib`: the same as the console script `bmt`."""

from bmtlib.cli import main

main(prog_name="bmt")
