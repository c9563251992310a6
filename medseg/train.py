"""`python -m medseg.train`, the same as `medseg train`."""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # python medseg/train.py: the modules beside this file are not the program's
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from medseg.commands.train import main

if __name__ == "__main__":
    main()
