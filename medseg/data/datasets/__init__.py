"""The datasets: each lists its samples in its published layout and turns its masks into class maps."""

from __future__ import annotations

from medseg.data.datasets.busi import BUSI
from medseg.data.datasets.chase import CHASEDB1
from medseg.data.datasets.cvc import CVCClinicDB
from medseg.data.datasets.drive import DRIVE
from medseg.data.datasets.dsb import DSB2018
from medseg.data.datasets.folder import Folder
from medseg.data.datasets.glas import GlaS
from medseg.data.datasets.isbi import ISBI2012
from medseg.data.datasets.isic import ISIC2018
from medseg.data.datasets.kvasir import KvasirSEG
from medseg.data.datasets.medsegbench import MedSegBench
from medseg.data.datasets.ph2 import PH2
from medseg.data.datasets.synthetic import Synthetic

__all__ = [
    "BUSI",
    "CHASEDB1",
    "DRIVE",
    "DSB2018",
    "ISBI2012",
    "ISIC2018",
    "PH2",
    "CVCClinicDB",
    "Folder",
    "GlaS",
    "KvasirSEG",
    "MedSegBench",
    "Synthetic",
]
