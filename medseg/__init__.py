"""medseg: find out whether a segmentation network is really better."""

from __future__ import annotations

__version__ = "0.1.0"
