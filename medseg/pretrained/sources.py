"""The weights that the option `encoder_weights` names: read, checked, and with their normalisation."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from medseg.config.encoders import HUB, PACKAGE, SUFFIXES, kind_of
from medseg.data.prepared.fingerprint import sha256_file
from medseg.errors import ConfigError, UserError, close_matches
from medseg.pretrained import hub
from medseg.pretrained.published import Normalisation, Published, find_published, normalisation_in, normalisation_of
from medseg.runs.folder import expand_home, find_run
from medseg.trained.checkpoint import Checkpoint
from medseg.trained.files import KEY
from medseg.trained.state_dicts import state_in
from medseg.trained.weight_files import read_content
from medseg.trained.weights import check_weights


@dataclass(frozen=True)
class EncoderWeights:
    """Weights that were read.

    Args:
        source: as the user named them.
        file: they were read from.
        sha256: of the file.
        state: tensors by name.
        ordered: whether the entries are in the order of the network that was saved; safetensors sorts them.
        normalisation: of the images that they were trained on, red first.
        normalisation_of: who tells it.
    """

    source: str
    file: Path
    sha256: str
    state: Mapping[str, Tensor]
    ordered: bool
    normalisation: Normalisation
    normalisation_of: str

    def normalisation_for(self, channels: int) -> Normalisation | None:
        """Return mean and standard deviation for images of so many channels; None where they tell nothing of them.

        A grey image has the mean of the three.
        """
        mean, std = self.normalisation
        if len(mean) == channels:
            return mean, std
        return ([sum(mean) / len(mean)], [sum(std) / len(std)]) if channels == 1 else None


def read_weights(source: str, encoder_name: str | None = None) -> EncoderWeights:
    """Read pretrained weights. Nothing in them is executed.

    Args:
        source: a file with a state dict, or a run folder or checkpoint of medseg; `package:<name>[/<file>]`, an
            installed package that holds a file; `hf:<owner>/<repository>[/<file>][@<revision>]`; or a name that
            segmentation-models-pytorch or timm knows for the encoder, such as imagenet.
        encoder_name: of `model=smp`; None for another network.

    Raises `UserError`, one line, for what is missing, damaged or holds code, and where there is no connection.
    """
    called, kind = f"model.encoder_weights={source}", kind_of(source)
    known: tuple[Normalisation, str] | None = None
    if kind == "package":
        file = file_in_package(source.removeprefix(PACKAGE), called)
    elif kind == "hub":
        repository, name, revision = hub.parse(source.removeprefix(HUB))
        names = (name,) if name else hub.USUAL_FILES
        file, known = with_normalisation(called, Published(repository, revision, names))
    elif kind == "name":
        file, known = with_normalisation(called, find_published(source, encoder_name))
    else:
        file = expand_home(source)
        if exists(file) and file.is_dir():
            file = find_run(file)[1]
    state, ordered, of_run = read_file(file)
    if of_run is not None:
        known = of_run, "the run that they are from"
    return EncoderWeights(source, file, sha256_file(file), state, ordered, *(known or normalisation_of(encoder_name)))


def with_normalisation(called: str, published: Published) -> tuple[Path, tuple[Normalisation, str] | None]:
    """Return the file with published weights, and their normalisation where it is known.

    Raises `UserError`.
    """
    where = (published.repository, published.revision)
    file = hub.find_cached(called, where[0], published.files, where[1])
    downloaded = file is None
    file = file or hub.fetch(called, where[0], published.files, where[1])
    if published.normalisation is not None:
        return file, (published.normalisation, f"timm's settings of {published.repository}")
    config = hub.find_cached(called, where[0], ("config.json",), where[1])
    if config is None and downloaded:
        with suppress(UserError):  # not every repository has one
            config = hub.fetch(called, where[0], ("config.json",), where[1])
    told = None if config is None else normalisation_in(config, called)
    return file, None if told is None else (told, f"config.json of {published.repository}")


def file_in_package(given: str, called: str) -> Path:
    """Return the file with weights in an installed package, which is not imported.

    Raises `ConfigError` where it is not installed, and where it has no such file or several.
    """
    name, _, inside = given.partition("/")
    name = name.replace("-", "_")  # a distribution's name, such as pip's
    top, *below = name.split(".")
    try:
        spec = importlib.util.find_spec(top) if top.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ConfigError(f"{called}: not installed; pip install {top.replace('_', '-') or '<package>'}")
    folders = [Path(each).joinpath(*below) for each in spec.submodule_search_locations or ()]
    if inside:
        for folder in folders:
            file = (folder / inside).resolve()
            if exists(file) and file.is_file() and file.is_relative_to(folder.resolve()):
                return file
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.name.lower().endswith(SUFFIXES))
    names = [next(str(f.relative_to(each)) for each in folders if f.is_relative_to(each)) for f in files]
    if inside:
        raise ConfigError(f"{called}: {name} has no file {inside}{close_matches(inside, names)}")
    if not files:
        raise ConfigError(f"{called}: {name} has no file with weights ({', '.join(SUFFIXES)})")
    if len(files) > 1:
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise ConfigError(
            f"{called}: {name} has {len(files)} files with weights ({listed}); give {PACKAGE}{name}/<file>"
        )
    return files[0]


def read_file(file: Path) -> tuple[dict[str, Tensor], bool, Normalisation | None]:
    """Read a file: its tensors by name, whether they are in the order of the network, and a run's normalisation.

    Raises `UserError` for a file that is missing, damaged, holds code, or has no weights, or some that are not finite.
    """
    if not exists(file):
        raise UserError(f"{file}: no such file with weights; a relative path begins in the current folder")
    content = read_content(file)
    if isinstance(content, Mapping) and KEY in content:
        checkpoint = Checkpoint.read(file)
        return dict(checkpoint.state), True, checkpoint.metadata.normalisation
    state = {name: torch.as_tensor(value) for name, value in state_in(content, file).items()}
    check_weights(state, file)
    return state, file.suffix.lower() != ".safetensors", None


def exists(file: Path) -> bool:
    """Tell whether there is a file; there is none of a name that the system does not take."""
    try:
        return file.exists()
    except OSError:
        return False
