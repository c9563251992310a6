"""Show on the terminal what was prepared."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from medseg.data.prepared import PreparedDataset


def print_fingerprint(prepared: PreparedDataset) -> None:
    """Print the fingerprint of prepared data as a table."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in prepared.fingerprint.items():
        if not isinstance(value, dict):
            table.add_row(key, str(value))
    console = Console()
    console.print(table)
    console.print(str(prepared.folder), soft_wrap=True)
