"""Folders of meshes as a set of shapes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import trimesh

from geodl.cli import MeshFiles
from geodl.geometry import surface_area


def test_a_folder_unpacked_on_a_mac(tmp_path: Path) -> None:
    trimesh.creation.box().export(tmp_path / "a.off")
    (tmp_path / "._a.off").write_bytes(b"\0\5\x16\7" + bytes(100))
    (tmp_path / ".DS_Store").write_bytes(b"x")
    files = MeshFiles([tmp_path])
    empty = tmp_path / "empty"
    empty.mkdir()
    assert files.names == ["a.off"] and len(files) == 1
    assert torch.isclose(surface_area(files[0]), torch.tensor(1.0, dtype=files[0].pos.dtype))
    with pytest.raises(ValueError, match="no mesh files in"):
        MeshFiles([empty])
