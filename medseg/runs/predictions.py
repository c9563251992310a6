"""What a run predicted for its test images, kept so that a report can show it without the network.

`test/predictions.npz`: `ids`, the N images, and for each of them, under its place in `ids` (`0`, `1`, ...), the class
map, H x W uint8, of the size that was scored. They are compressed one by one, so that a few are read without the
others: 520 drawn class maps of 256 x 256 took 0.9 MB, and reading five of them 11 ms.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from medseg.errors import UserError
from medseg.system.files import replacing, size_of


def write_predictions(file: Path, ids: Sequence[str], class_maps: Iterable[np.ndarray]) -> None:
    """Write the class maps, H x W of any integers up to 255, of the images `ids`; whole or not at all."""
    named = {str(place): class_map.astype(np.uint8) for place, class_map in enumerate(class_maps)}
    if len(named) != len(ids):
        raise ValueError(f"{len(ids)} ids, but {len(named)} class maps")
    # A stream, since NumPy would put .npz behind another name.
    with replacing(file) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, ids=np.array(ids, dtype=str), **named)  # type: ignore[arg-type]


def read_predictions(file: Path, ids: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the class maps of some images, H x W uint8; one that is not in the file is left out.

    Raises `UserError` where the file is damaged, `FileNotFoundError` where there is none.
    """
    size_of(file)
    try:
        with np.load(file, allow_pickle=False) as stored:
            place = {str(sample): str(number) for number, sample in enumerate(stored["ids"])}
            return {sample: stored[place[sample]] for sample in ids if sample in place}
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise UserError(f"{file}: damaged ({error}); repeat the run with force=true") from None
