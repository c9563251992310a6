"""Fetch a published archive, only ever because the user asked for it."""

from __future__ import annotations

import logging
import shutil
import zipfile
from pathlib import Path

from medseg.data.sources.source import checksum_name
from medseg.errors import DataError
from medseg.system.locks import held

log = logging.getLogger(__name__)


def download(url: str, target: Path, *, checksum: str | None, title: str, home: str = "") -> None:
    """Download an archive to `target`, with a progress bar.

    `target` appears whole and verified or not at all, also after an interruption. Two processes that want the same
    file fetch it once.

    Args:
        url: its address.
        target: the file to be made.
        checksum: its published one, `sha256:<hex>` or `md5:<hex>`; None accepts what comes, with a warning.
        title: name of the dataset, for messages.
        home: the page that it is published on, for messages.

    Raises `DataError` in one line for no network, an error of the server, a different checksum, something that is no
    zip archive, a full disk and a folder that cannot be written.
    """
    by_hand = f"fetch it by hand and give its folder with data.source=DIR (or put it into {target.parent})"
    if not url:
        at = f" ({home})" if home else ""
        raise DataError(f"{title}: {target.name} has no published address{at}; {by_hand}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.parent / f".{target.name}.lock"
        with held(lock, f"is busy with the download of {target.name}", wait=float("inf")):
            if not target.is_file():
                _download(url, target, checksum, title, by_hand)
    except OSError as error:
        raise DataError(f"{title}: cannot write {target} ({error.strerror or error})") from None


def _download(url: str, target: Path, checksum: str | None, title: str, by_hand: str) -> None:
    import pooch
    from requests.exceptions import RequestException

    # Left behind only by a process that was killed: the lock is ours.
    staging = target.parent / f".{target.name}.download"
    shutil.rmtree(staging, ignore_errors=True)
    log.info("%s: downloading %s", title, url)
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        pooch.retrieve(
            url,
            known_hash=checksum,
            fname=target.name,
            path=staging,
            downloader=pooch.HTTPDownloader(progressbar=True, chunk_size=2**18),
        )
        if target.suffix in (".zip", ".npz") and not zipfile.is_zipfile(staging / target.name):
            what = "a zip archive" if target.suffix == ".zip" else "an npz archive"
            raise DataError(f"{title}: what {url} sent is not {what}; {by_hand}")
        (staging / target.name).replace(target)
    except RequestException as error:
        raise DataError(f"{title}: could not download {url} ({reason(error)}); {by_hand}") from None
    except ValueError as error:
        if "hash" not in str(error):
            raise
        raise DataError(
            f"{title}: {url} has another {checksum_name(checksum or '')} than the published "
            f"{(checksum or '').partition(':')[2]}; refused and removed. If you trust the file, {by_hand}"
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    if checksum is None:
        log.warning("%s: no checksum of %s has been published; what was downloaded is not verified", title, target.name)


def reason(error: Exception) -> str:
    """Say in a few words why a request failed."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code} {response.reason}"
    text = f"{type(error).__name__} {error}"
    known = {
        "Connection refused": "connection refused",
        "Name or service not known": "no network, or unknown host",
        "Temporary failure in name resolution": "no network, or unknown host",
        "NameResolutionError": "no network, or unknown host",
        "Network is unreachable": "no network",
        "CertificateError": "the certificate is not valid",
        "SSLError": "no valid secure connection",
        "Timeout": "no answer in time",
        "IncompleteRead": "the connection broke off",
        "ProxyError": "the proxy does not answer",
    }
    return next((plain for sign, plain in known.items() if sign in text), type(error).__name__)
