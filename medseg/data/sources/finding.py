"""Find a dataset's files in the user's folder, or download its archives when asked to."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Protocol

from medseg.config.checks.data import is_url
from medseg.data.sources.download import download
from medseg.data.sources.npz import NpzSource
from medseg.data.sources.source import Archive, CombinedSource, EmptySource, FolderSource, Source, ZipSource
from medseg.errors import DataError

log = logging.getLogger(__name__)


class Published(Protocol):
    """What `open_source` has to know about a dataset; `medseg.data.datasets.base.Dataset` has it."""

    title: str
    licence: str
    home: str
    archives: tuple[Archive, ...]
    source_option: str


def open_source(
    dataset: Published, source: str | Path | None = None, data_dir: str | Path = "data", download: bool = False
) -> Source:
    """Find the files of a dataset, or fetch them where that was asked for.

    Args:
        dataset: its title and its published archives.
        source: a folder that holds the archives or what they unpack to; the unpacked folder itself, with or without
            its top folder; an archive, or a folder with nothing but one, of any name; or an http(s) address to download
            from (one that ends in '/' gets the file name appended). None: `data_dir` is searched.
        data_dir: where archives are looked for, and downloaded to.
        download: fetch what is missing from its published address; only looked at where `source` is None.

    Raises `DataError` where the data do not exist, are damaged or unsafe, and where a download fails.
    """
    data_dir = Path(data_dir).expanduser()
    if source is None:
        if not missing_archives(dataset, data_dir) or download:
            return fetch_and_open(dataset, data_dir)
        raise DataError(nothing_found(dataset, data_dir))
    if is_url(source):
        return fetch_and_open(dataset, data_dir, addresses(dataset, str(source)))
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError(f"{dataset.title}: {dataset.source_option}={source} does not exist")
    if path.is_file() and len(dataset.archives) <= 1:
        return open_archive(path, dataset.archives[0].checksum if dataset.archives else None)
    folder = path if path.is_dir() else path.parent
    missing = missing_archives(dataset, folder)
    if dataset.archives and not missing:
        return open_parts(dataset, folder)
    only = only_archive(folder) if path.is_dir() and len(dataset.archives) == 1 else None
    if only is not None:
        return open_archive(only, dataset.archives[0].checksum)
    if path.is_dir() and len(missing) == sum(archive.required for archive in dataset.archives):
        # Without archives it is a folder of the user, whose images may be links to where they are stored.
        return FolderSource(folder, follow=not dataset.archives)
    names = ", ".join(archive.file for archive in missing)
    raise DataError(f"{dataset.title}: {names} is missing in {folder} (neither the archive nor its unpacked folder)")


def missing_archives(dataset: Published, folder: Path) -> list[Archive]:
    """Return the required archives of which neither the file nor the unpacked folder is in `folder`."""
    return [archive for archive in dataset.archives if archive.required and find_part(archive, folder) is None]


def find_part(archive: Archive, folder: Path) -> Path | None:
    """Return the path of an archive in `folder`, else of its unpacked folder (in any case), else None.

    Of what is published as RAR, which cannot be read, a zip archive of that name and the unpacked folder come first.
    """
    is_rar = archive.file.endswith(".rar")
    file = folder / (f"{archive.folder}.zip" if is_rar else archive.file)
    if file.is_file():
        return file
    try:
        names = {archive.folder.lower(), (archive.top or archive.folder).lower()}
        alike = sorted(path for path in folder.iterdir() if path.name.lower() in names)
    except OSError:
        return None
    unpacked = next((path for path in alike if path.is_dir()), None)
    return folder / archive.file if unpacked is None and is_rar and (folder / archive.file).is_file() else unpacked


def only_archive(folder: Path) -> Path | None:
    """Return the zip archive in a folder that holds nothing else: it may have any name, as one that is given itself."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return files[0] if len(files) == 1 and files[0].suffix.lower() == ".zip" and files[0].is_file() else None


def open_archive(path: Path, checksum: str | None) -> Source:
    """Open an archive by the ending of its name."""
    return NpzSource(path, checksum) if path.suffix.lower() == ".npz" else ZipSource(path, checksum)


def open_parts(dataset: Published, folder: Path) -> Source:
    """Open every archive or unpacked folder of a dataset that is in `folder`."""
    parts: dict[str, Source] = {}
    for archive in dataset.archives:
        path = find_part(archive, folder)
        if path is not None:
            parts[archive.folder] = FolderSource(path) if path.is_dir() else open_archive(path, archive.checksum)
    if len(dataset.archives) == 1:
        return next(iter(parts.values()))
    return CombinedSource(parts) if parts else EmptySource()


def fetch_and_open(dataset: Published, folder: Path, urls: dict[str, str] | None = None) -> Source:
    """Download the required archives that are not in `folder`, and open them with the optional ones that are there.

    Args:
        dataset: its title and its published archives.
        folder: where the archives are, and go to.
        urls: file name -> address that the user gave; the published ones without.
    """
    for archive in missing_archives(dataset, folder):
        url = urls[archive.file] if urls else archive.url
        download(url, folder / archive.file, checksum=archive.checksum, title=dataset.title, home=dataset.home)
    optional = [archive.file for archive in dataset.archives if not archive.required and not find_part(archive, folder)]
    if optional:
        log.info("%s: used as well when put into %s: %s", dataset.title, folder, ", ".join(optional))
    return open_parts(dataset, folder)


def addresses(dataset: Published, url: str) -> dict[str, str]:
    """Map each archive of a dataset to its address below or at the one that the user gave."""
    files = [archive.file for archive in dataset.archives]
    if not files:
        raise DataError(f"{dataset.title}: cannot be downloaded; {dataset.source_option}={url} must be a folder")
    if url.endswith("/"):
        return {file: url + file for file in files}
    if len(files) == 1:
        return {files[0]: url}
    folder, _, last = url.rpartition("/")
    if last not in files:
        raise DataError(
            f"{dataset.title}: data.source={url} must end in '/': {', '.join(files)} are looked for below it"
        )
    return {file: f"{folder}/{file}" for file in files}


def nothing_found(dataset: Published, folder: Path) -> str:
    """Say what was looked for where, and the two ways to get it."""
    missing = missing_archives(dataset, folder)
    wanted = " and ".join(archive.file for archive in missing)
    size = sum(archive.size or 0 for archive in missing)
    measure = f"{size / 2**20:.0f} MiB from " if size and all(archive.size for archive in missing) else "from "
    fetch = f", or data.download=true to fetch it ({measure}{missing[0].url})" if missing[0].url else ""
    home = f" (published at {dataset.home})" if dataset.home and not fetch else ""
    unpacked = "" if missing[0].file.endswith(".npz") else " (or its unpacked folder)"
    licence = f"; licence: {dataset.licence}" if dataset.licence else ""
    return (
        f"{dataset.title}: {wanted}{unpacked} is not in {folder}; give data.source=DIR, the folder where it is"
        f"{home}{fetch}{licence}"
    )
