"""The file of a checkpoint: tensors and plain values, written whole, with a digest of its tensors."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medseg.errors import UserError
from medseg.system.files import replacing, size_of

KEY = "medseg"
"""Key of the metadata in a checkpoint; see `medseg.trained.checkpoint`."""

DIGEST = "medseg_sha256"
"""Key of the digest of the tensors in a checkpoint."""

MAX_VALUES = 1_000_000
"""Values above which a checkpoint is refused: references can make a small file as large as one likes, or endless."""

MAX_DEPTH = 100
"""Levels of dictionaries and lists above which a checkpoint is refused."""


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a medseg checkpoint onto the CPU.

    Raises `UserError` for a file that is missing, damaged, holds code, or was not written by medseg.
    """
    content = read_plain(file)
    if not isinstance(content, dict) or KEY not in content or not isinstance(content.get("state_dict"), Mapping):
        raise UserError(f"{file}: not written by medseg; give a run folder or a checkpoint in one")
    written = content.get(DIGEST)
    # Weights that somebody has changed and saved without medseg keep the old digest, and are refused as well.
    if written is not None and written != digest(content):
        raise damaged(file, "its tensors are not those that were written")
    return content


def read_plain(file: Path) -> Any:
    """Read a file that `torch.save` has written onto the CPU, if it holds nothing but tensors and plain values.

    Raises `UserError` for a file that is missing, damaged or holds code, or that would take more memory than its size.
    """
    try:
        size = size_of(file)
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise damaged(file, "it is compressed, as PyTorch never does")
        content = torch.load(file, map_location="cpu", weights_only=True)
        if not (isinstance(content, Mapping) and DIGEST in content):
            check_crc(file)
        check_tensors(content, size)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{file}: no such checkpoint") from None
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); give a run folder or a checkpoint file") from None
    except pickle.UnpicklingError as error:
        other = re.search(r"nsupported (?:global: )?GLOBAL (\S+)", str(error))
        if other is None:
            raise damaged(file, error) from None
        raise UserError(
            f"{file}: refused, since it holds more than tensors and plain values ({other[1]}); such a file could run "
            "code"
        ) from None
    # Whatever a damaged file makes PyTorch's reader raise.
    except Exception as error:
        raise damaged(file, error) from None
    return content


def check_crc(file: Path) -> None:
    """Raise `UserError` where a file is not as it was written: PyTorch's reader does not compare the checksums."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            wrong = archive.testzip()
        if wrong is not None:
            raise damaged(file, f"the checksum of {wrong} in it is wrong")


def write_checkpoint(content: Mapping[str, Any], file: Path) -> None:
    """Write a checkpoint with the digest of its tensors.

    It is written beside its final name, synced and renamed, so that a kill or a full disk leaves the file that was
    there before. Raises `UserError` where it cannot be written, and the interruption where it is interrupted.
    """
    try:
        with replacing(file) as partial, partial.open("wb") as stream:
            torch.save({**content, DIGEST: digest(content)}, stream)
    # PyTorch's writer raises another error for one of the disk.
    except (OSError, RuntimeError) as error:
        interruption = interruption_behind(error)
        if interruption is not None:
            raise interruption from None
        cause = error if isinstance(error, OSError) else error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else str(error).partition("\n")[0]
        raise UserError(
            f"{file}: cannot be written ({reason}); the earlier file stays, so free some space and run the "
            "same command again to resume"
        ) from error


def interruption_behind(error: BaseException) -> BaseException | None:
    """Return the interruption in whose course an error was raised: PyTorch's writer fails when it is left half-way."""
    while not isinstance(error, KeyboardInterrupt | SystemExit):
        if error.__context__ is None:
            return None
        error = error.__context__
    return error


def digest(content: Any) -> str:
    """Return the SHA-256 of all tensors in a checkpoint: where each is, its type, shape and values."""
    sha = hashlib.sha256()
    for name, tensor in tensors_in(content):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode(errors="surrogatepass"))
        sha.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def tensors_in(content: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in dictionaries and lists, in their order, with the keys that lead to each."""
    for path, value in values_in(content):
        if isinstance(value, Tensor):
            yield path, value


def values_in(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield everything in dictionaries and lists but these, with the keys that lead to it.

    Raises `ValueError` for more than `MAX_VALUES` values and more than `MAX_DEPTH` levels.
    """
    waiting: list[tuple[str, Any, int]] = [("", content, 0)]
    count = 0
    while waiting:
        path, value, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_VALUES:,} values or {MAX_DEPTH} levels")
        if isinstance(value, Mapping):
            waiting += [(f"{path}/{key}", each, depth + 1) for key, each in value.items()]
        elif isinstance(value, list | tuple | set | frozenset):
            waiting += [(f"{path}/{key}", each, depth + 1) for key, each in enumerate(value)]
        else:
            yield path, value


def check_tensors(content: Any, bytes_read: int) -> None:
    """Raise `ValueError` where tensors are not dense, or larger than the file that they were read from.

    A tensor can repeat one value as often as it likes without taking memory, until it is used.
    """
    for name, tensor in tensors_in(content):
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            raise ValueError(f"{name.lstrip('/')} is not a dense tensor")
    # Tied weights are in the file once.
    allowed = 4 * bytes_read + 2**20
    if sum(tensor.numel() * tensor.element_size() for _, tensor in tensors_in(content)) > allowed:
        raise ValueError("its tensors are larger than the file")


def damaged(file: Path, reason: object) -> UserError:
    """Return the error for a file that is no checkpoint, or not any more."""
    # Of a file of another kind, PyTorch's reader raises the number of a byte that it does not know, or recommends to
    # run the code in it.
    strange = isinstance(reason, KeyError | pickle.UnpicklingError)
    if "PytorchStreamReader" in str(reason):  # whose reports are several sentences
        reason = "it is not complete"
    line = "of another kind" if strange else str(reason).strip().partition("\n")[0] or type(reason).__name__
    return UserError(f"{file}: damaged, or not a PyTorch checkpoint ({line})")
