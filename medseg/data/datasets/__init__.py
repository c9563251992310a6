"""The datasets: each lists its samples in its published layout and turns its masks into class maps."""

from __future__ import annotations

from medseg.data.datasets.dsb import DSB2018
from medseg.data.datasets.folder import Folder
from medseg.data.datasets.isbi import ISBI2012
from medseg.data.datasets.isic import ISIC2018
from medseg.data.datasets.kvasir import KvasirSEG
from medseg.data.datasets.synthetic import Synthetic

__all__ = ["DSB2018", "ISBI2012", "ISIC2018", "Folder", "KvasirSEG", "Synthetic"]
