"""What a run predicted for its test images, kept so that scores and pictures can be made without the network.

`test/predictions.npz`: `ids`, the N images, and for each of them, under its position in `ids` (`0`, `1`, ...), the
class map, H x W uint8, at the image's native size; `test/prepared_size.npz`: likewise at the prepared size. With both,
every score of class maps can be computed later. `test/probabilities.npz`, where it was asked for: likewise the class
probabilities at the prepared size, classes x h x w uint8, in 255ths. They are compressed one by one,
so that a few are read without the others: 520 drawn class maps of 256 x 256 took 0.9 MB, reading five of them 11 ms.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from medseg.errors import UserError
from medseg.system.files import replacing, size_of


def write_predictions(file: Path, ids: Sequence[str], class_maps: Iterable[np.ndarray]) -> None:
    """Write the class maps, H x W of any integers up to 255, of the images `ids`; whole or not at all."""
    write_arrays(file, ids, class_maps)


def write_probabilities(file: Path, ids: Sequence[str], probabilities: Iterable[np.ndarray]) -> None:
    """Write the class probabilities, K x h x w in 255ths, of the images `ids`; whole or not at all."""
    write_arrays(file, ids, probabilities)


def write_arrays(file: Path, ids: Sequence[str], arrays: Iterable[np.ndarray]) -> None:
    """Write one array of each image, packed, one after the other: all of them at once may be more than memory holds."""
    with replacing(file) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        count = -1
        named = enumerate(arrays)
        for name, array in itertools.chain([("ids", np.array(ids, dtype=str))], named):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(
                    stream, array if name == "ids" else array.astype(np.uint8), allow_pickle=False
                )
            count += 1
        if count != len(ids):
            raise ValueError(f"{len(ids)} ids, but {count} arrays")


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
