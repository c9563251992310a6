"""AP, PQ and AJI that a perfect class map reaches: regions of the true class map against the objects of the dataset.

medseg prepare dsb data.source=FOLDER
python experiments/agreement/objects.py data/prepared/dsb-...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from medseg.data.prepared.dataset import PreparedDataset
from medseg.metrics import ImageScores

SCORES = ("ap", "pq", "aji")


def main() -> None:
    """Print mean, 5 % quantile and the part of the images with 1, of all images of prepared data."""
    prepared = PreparedDataset(Path(sys.argv[1]))
    if prepared.native_instances is None:
        sys.exit(f"{prepared.folder}: the dataset labels no objects")
    scores, rows = ImageScores(SCORES), []
    for index in range(len(prepared.ids)):
        mask, instances = prepared.native_masks[index], prepared.native_instances[index].astype(np.int32)
        measured = scores.measure(mask, mask, prepared.num_classes, instances)
        rows.append([np.nanmean(measured[name]) for name in SCORES])
    for name, values in zip(SCORES, np.array(rows).T, strict=True):
        low, perfect = np.quantile(values, 0.05), np.mean(values == 1)
        print(f"{name}: mean {values.mean():.3f}, 5 % of {len(values)} images below {low:.3f}, 1 in {perfect:.1%}")


if __name__ == "__main__":
    main()
