"""`python -m medseg.train`, the same as `medseg train`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if not __package__:  # python medseg/train.py: the modules beside this file are not the program's
    project = Path(__file__).resolve().parent.parent
    sys.path[0] = str(project)
    if Path.cwd() == project / "medseg":  # where some IDEs start a script; runs/ and data/ are folders of the package
        os.chdir(project)

from medseg.commands.train import main

if __name__ == "__main__":
    main()
