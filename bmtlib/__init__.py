"""bmtlib: a reproducible benchmark of load balancers."""

__version__ = "0.1.0"
