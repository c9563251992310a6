"""What the numbers of a class map mean beside the classes, and the colours that classes are drawn in."""

from __future__ import annotations

IGNORE_INDEX = 255
"""Label of pixels that no loss and no score counts, such as the padding of a training crop."""

COLOURS = ((80, 220, 100), (90, 160, 255), (255, 200, 60), (230, 110, 230), (90, 230, 230), (255, 130, 90))
"""RGB of the outline of each foreground class, from the first one on again where there are more."""
