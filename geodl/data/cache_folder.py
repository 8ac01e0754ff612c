"""A folder of tensors by name, which forgets what was used longest ago."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from geodl.data.whole_file import abandoned, whole_file

__all__ = ["CacheEntry", "CacheFolder", "tensor_bytes"]

# An operator and the SHA-256 of what it was computed from.
_NAME = re.compile(r"[\w-]+-[0-9a-f]{64}")


@dataclass(frozen=True)
class CacheEntry:
    """What the folder holds under a name.

    Attributes:
        name: of the entry.
        bytes: its size.
        used: when it was written or last read, seconds since 1970.
    """

    name: str
    bytes: int
    used: float


class CacheFolder:
    """One safetensors file an entry, whole or not there, with its checksum.

    Any number of processes may share it. An entry that another one removes while it is read is read to its end. Files have the mode
    that the user's umask gives.

    Args:
        path: of the folder; made if missing.
        max_bytes: what the entries may hold together; beyond it those used longest ago are removed.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self.max_bytes = path, max_bytes
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"the cache folder {path} cannot be made: {error.strerror}") from error
        self._mine: set[str] = set()
        for temporary in path.glob(".*.tmp"):
            with contextlib.suppress(
                OSError
            ):  # another process may have renamed or swept it, or it is another user's
                if abandoned(temporary):
                    temporary.unlink()

    def file(self, name: str) -> Path:
        return self.path / f"{name}.safetensors"

    def read(self, name: str) -> dict[str, Tensor] | None:
        """The entry, or None if there is none or it is damaged, which a warning says."""
        path = self.file(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            warnings.warn(
                f"{path} cannot be read and is computed again: {error}", RuntimeWarning, stacklevel=4
            )
            return None
        tensors, trouble = _decoded(data)
        if trouble:
            warnings.warn(
                f"{path} is damaged ({trouble}) and is computed again", RuntimeWarning, stacklevel=4
            )
            return None
        with contextlib.suppress(
            OSError
        ):  # removed meanwhile, or another user's: then it counts as used when it was written
            os.utime(path)
        self._mine.add(path.name)
        return tensors

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keeps an entry, in place of the one that has its name, and makes room.

        Raises:
            OSError: it cannot be written.
        """
        # Tensors that share memory, as views of one, must be apart in the file.
        data = safetensors.torch.save(
            {key: tensor.clone() for key, tensor in tensors.items()}, {"sha256": _digest(tensors)}
        )
        path = self.file(name)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._mine.add(path.name)
        self._make_room(path.name)

    def entries(self) -> list[CacheEntry]:
        """What there is, by name; files of other names, such as weights, are none of the cache's."""
        found = []
        for path in sorted(self.path.glob("*.safetensors")):
            if not _NAME.fullmatch(path.stem):
                continue
            with contextlib.suppress(FileNotFoundError):
                told = path.stat()
                found.append(CacheEntry(path.stem, told.st_size, told.st_mtime))
        return found

    def verify(self) -> list[str]:
        """Removes the entries that are damaged.

        Returns:
            Their names.
        """
        damaged = []
        for entry in self.entries():
            with contextlib.suppress(FileNotFoundError):
                if _decoded(self.file(entry.name).read_bytes())[1]:
                    damaged.append(entry.name)
        self.remove(damaged)
        return damaged

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(
                PermissionError
            ):  # another user's, in a folder that lets each remove their own alone
                self.file(name).unlink(missing_ok=True)

    def _make_room(self, newest: str) -> None:
        entries = sorted(self.entries(), key=lambda entry: entry.used)
        surplus = sum(entry.bytes for entry in entries) - self.max_bytes
        for entry in entries:
            if surplus <= 0:
                return
            file = f"{entry.name}.safetensors"
            if file == newest:
                continue
            if file in self._mine:
                warnings.warn(
                    f"the cache {self.path} is full with {self.max_bytes / 2**20:.0f} MB: what this process made is removed again. "
                    "Give OperatorCache a larger max_bytes",
                    RuntimeWarning,
                    stacklevel=5,
                )
                self._mine.clear()
            self.remove([entry.name])
            surplus -= entry.bytes


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The numbers as they lie in memory, row after row."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(json.dumps([key, str(tensors[key].dtype), list(tensors[key].shape)]).encode())
        digest.update(tensor_bytes(tensors[key]))
    return digest.hexdigest()


def _decoded(data: bytes) -> tuple[dict[str, Tensor], str]:
    """The tensors, and what is wrong with them; empty if nothing is."""
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        return {}, str(error)
    whole = header.get("__metadata__", {}).get("sha256") == _digest(tensors)
    return tensors, "" if whole else "its checksum does not fit"
