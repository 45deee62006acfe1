"""Load, start instant, probes and the runner: everything that happens between a plan and a run folder."""
