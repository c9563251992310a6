"""What the operating system refused, in one line: what happened, and what can be done about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path

import filelock

REMEDIES: dict[int, str] = {
    errno.ENOSPC: "free some space, or {elsewhere}",
    errno.EDQUOT: "your quota is used up: remove files there, or {elsewhere}",
    errno.EROFS: "{elsewhere}",
    errno.EACCES: "you have no permission there: {permitted}",
    errno.EPERM: "you have no permission there: {permitted}",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EISDIR: "a folder is where a file is needed: give the name of a file, or remove the folder",
    errno.ENOTDIR: "a file is where a folder is needed: give another folder, or move the file away",
    errno.EEXIST: "something of that name is there already: move it away, or give another name",
    errno.ENOTEMPTY: "move away what is in that folder, or give another one",
    errno.ENOENT: "check the path",
    errno.EMFILE: "raise the limit of this shell (`ulimit -n 4096`), or take fewer workers with ...num_workers=",
    errno.ENFILE: "the whole machine has too many files open: end other programs",
    errno.ESTALE: "the network file system has lost the file: give the same command again",
    errno.EIO: "the disk or the network file system fails: look at its state, then give the same command again",
    errno.EFBIG: "the file system or `ulimit -f` takes no file of that size: {elsewhere}",
    errno.ELOOP: "links lead in a circle: remove one of them",
    errno.ENOMEM: "the memory is used up: end other programs, or take fewer workers or a smaller batch",
    errno.EAGAIN: "the machine gives no more of it now: end other programs, or raise the limit (`ulimit -u`)",
    errno.EBUSY: "another program uses it: end that program",
    errno.ETXTBSY: "another program uses it: end that program",
    errno.EXDEV: "both must be on one file system: {elsewhere}",
    errno.ENOLCK: "this file system has no locks: {elsewhere}, on another one",
    errno.ENOSYS: "this file system cannot do that: {elsewhere}, on another one",
    errno.EOPNOTSUPP: "this file system cannot do that: {elsewhere}, on another one",
    errno.EINVAL: "this file system or device cannot do that: {elsewhere}",
    errno.ENODEV: "there is no such device: {elsewhere}",
    errno.ENXIO: "there is no such device: {elsewhere}",
    errno.EADDRINUSE: "another program has this port: give another one",
    errno.EADDRNOTAVAIL: "this machine has no such address: give another host",
}
"""What to do, by the number of the error; `{elsewhere}` is how this command is told to write somewhere else."""

NETWORK = {
    errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.ECONNRESET,
    errno.ECONNABORTED, errno.ENOTCONN, errno.EPIPE, errno.ETIMEDOUT, errno.ENETRESET, errno.ESHUTDOWN,
}  # fmt: skip

WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EXDEV}
"""What only happens to what is written."""


def is_network(error: OSError) -> bool:
    """Tell whether an error is of a connection and not of a file."""
    # The errors of ssl, urllib, http and requests are all of this kind, some without a number.
    library = type(error).__module__.partition(".")[0] in ("socket", "ssl", "urllib", "http", "requests", "urllib3")
    return library or error.errno in NETWORK or isinstance(error, ConnectionError | TimeoutError)


def explain_os_error(error: OSError, elsewhere: Collection[str] = ()) -> str:
    """Say in one line what the operating system refused, and what to do.

    Args:
        error: what was raised.
        elsewhere: words of the command that choose where it writes, such as `output=...`.
    """
    if isinstance(error, filelock.Timeout):
        return f"{error.lock_file}: another process holds this lock; wait for it or end it"
    reason = error.strerror or str(getattr(error, "reason", error)) or type(error).__name__
    known = [name for name in (error.filename, error.filename2) if name not in (None, "")]
    where = "".join(f"{os.fsdecode(name) if isinstance(name, bytes) else name}: " for name in known[:1])
    if is_network(error):
        return f"{where}the connection failed ({reason}); check the network and the address, then try again"
    remedy = REMEDIES.get(error.errno or 0, "")
    other = f"write elsewhere with {' or '.join(elsewhere)}" if elsewhere else "write elsewhere"
    permitted = other if error.filename is None or is_written(error) else "change its permissions, or give another path"
    advice = remedy.format(elsewhere=other, permitted=permitted)
    what = reason[:1].lower() + reason[1:] if error.strerror else reason
    return f"{where}{what}{f'; {advice}' if advice else ''}"


def is_written(error: OSError) -> bool:
    """Tell whether a file was to be written and not read: it is not there, or can be read."""
    if error.errno in WRITTEN:
        return True
    try:
        path = Path(os.fsdecode(error.filename))
        return not path.exists() or os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0))
    except (OSError, TypeError, ValueError):
        return False


def check_writable(folder: Path) -> None:
    """Raise the `OSError` of writing to a folder, made or not, before there is anything to write."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(nearest).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(number, os.strerror(number), str(folder))
