"""medseg: find out whether a segmentation network is really better."""

from medseg.api import compare, evaluate, fit, load, read_runs

__version__ = "0.2.0"

__all__ = ["compare", "evaluate", "fit", "load", "read_runs"]
