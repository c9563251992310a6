"""Where medseg's messages go: one line each, as a terminal can show it."""

from __future__ import annotations

import io
import logging
import sys

from medseg.errors import printable
from medseg.system.process import is_first_process

log = logging.getLogger("medseg")


class PrintableFormatter(logging.Formatter):
    """Writes a message as a terminal can show it."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def set_up_logging() -> None:
    """Send medseg's messages to standard error: in colour on a terminal, one line each elsewhere."""
    handler: logging.Handler
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no text
    if sys.stderr.isatty():
        import rich
        from rich.logging import RichHandler

        # The console that the progress bar draws on as well, so that messages appear above the bar.
        rich.reconfigure(stderr=True)
        handler = RichHandler(console=rich.get_console(), show_path=False, show_time=False)
        handler.setFormatter(PrintableFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(PrintableFormatter("%(levelname)s %(message)s"))
    log.handlers = [handler]
    # The further processes of a distributed run would only repeat the first.
    log.setLevel(logging.INFO if is_first_process() else logging.ERROR)
    log.propagate = False
