"""What the numbers of a class map mean beside the classes."""

from __future__ import annotations

IGNORE_INDEX = 255
"""Label of pixels that no loss and no score counts, such as the padding of a training crop."""
