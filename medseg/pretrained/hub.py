"""Files of the Hugging Face Hub: from the local cache, or downloaded; without a connection it fails in seconds."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from medseg.errors import ConfigError, UserError, first_line

USUAL_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights in a repository, in the order in which they are looked for."""

CONNECT_SECONDS = 2.0
"""Longest wait for a connection. The library by itself retries for about a minute."""

ADVICE = "download the file on another computer and give its path, or a package: package:<name>"


def parse(given: str) -> tuple[str, str | None, str | None]:
    """Split `owner/repository[/file][@revision]` into repository, file and revision.

    Raises `ConfigError`.
    """
    path, _, revision = given.partition("@")
    parts = path.strip("/").split("/")
    if len(parts) < 2 or not all(parts):
        raise ConfigError(f"model.encoder_weights=hf:{given}: it must be hf:<owner>/<repository>[/<file>][@<revision>]")
    return "/".join(parts[:2]), "/".join(parts[2:]) or None, revision or None


def fetch(called: str, repository: str, files: Sequence[str], revision: str | None) -> Path:
    """Return the path of the first of some files that a repository has, in the local cache.

    A file that is in the cache is taken from there, and no connection is made.

    Args:
        called: how the user named it, for messages.
        repository: owner and name.
        files: their paths in the repository.
        revision: branch, tag or commit; None is the main branch.

    Raises `UserError`: no connection, no such repository, file or revision.
    """
    cached = find_cached(called, repository, files, revision)
    if cached is not None:
        return cached
    check_connection(called)
    import huggingface_hub  # not above: it takes a while
    from huggingface_hub import errors

    for file in files:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
            raise UserError(f"{called}: cannot be downloaded ({first_line(error)}); {ADVICE}") from None
        except errors.EntryNotFoundError:
            continue
        except Exception as error:  # whatever the library or the connection raises
            raise UserError(f"{called}: cannot be downloaded ({first_line(error)}); {ADVICE}") from None
    raise UserError(f"{called}: {repository} has no {' or '.join(files)}; give hf:{repository}/<file>")


def find_cached(called: str, repository: str, files: Sequence[str], revision: str | None) -> Path | None:
    """Return the path of the first of some files that is in the local cache; None where none is.

    Raises `ConfigError` for what can be no name of a repository.
    """
    import huggingface_hub
    from huggingface_hub import errors

    for file in files:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision, local_files_only=True))
        except ValueError as error:  # HFValidationError among them
            raise ConfigError(f"{called}: {first_line(error)}") from None
        except (errors.LocalEntryNotFoundError, OSError):
            continue
    return None


def check_connection(called: str) -> None:
    """Raise `UserError` unless the Hub answers within `CONNECT_SECONDS`, or the library is set to work offline."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError(f"{called}: not in the local cache, and HF_HUB_OFFLINE is set; {ADVICE}")
    address, reasons = constants.ENDPOINT, ["no answer"]

    def connect() -> None:
        try:
            httpx.head(address, timeout=CONNECT_SECONDS)
        except (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError):
            reasons.clear()  # it is there, if slow: the download will tell
        except Exception as error:  # whatever keeps it from connecting
            reasons.append(first_line(error))
        else:
            reasons.clear()

    # The look-up of an address has no timeout.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS + 0.5)
    if reasons:
        raise UserError(f"{called}: not in the local cache, and no connection to {address} ({reasons[-1]}); {ADVICE}")
