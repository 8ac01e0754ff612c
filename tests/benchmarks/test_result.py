"""result.json: its form, and that it is written whole or not at all."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from benchmarks.result import hardware, portable, versions, write_result

GIVEN = dict(benchmark="b", data="d", model="m", seconds=1.25, parameters=7, seeds=[0], command="python -m b")


def test_holds_what_the_design_asks_for(tmp_path):
    path = write_result(tmp_path / "new" / "folder", **GIVEN, metrics={"accuracy": 0.5})
    result = json.loads(path.read_text())
    assert path.name == "result.json" and result.pop("date")
    assert result == {**GIVEN, "metrics": {"accuracy": 0.5}, "hardware": hardware(), "versions": versions()}
    assert result["versions"]["torch"] and result["hardware"]["cores"] >= 1
    assert list(path.parent.iterdir()) == [path]


def test_comparisons_have_rows_instead_of_metrics(tmp_path):
    rows = [{"op": "aggregate sum", "ours_ms": 1.0}]
    result = json.loads(write_result(tmp_path, **GIVEN, rows=rows).read_text())
    assert result["rows"] == rows and "metrics" not in result


@pytest.mark.parametrize("content", [{}, {"metrics": {}, "rows": []}])
def test_refuses_neither_and_both(tmp_path, content):
    with pytest.raises(ValueError, match="either metrics or rows"):
        write_result(tmp_path, **GIVEN, **content)


def test_a_number_that_json_cannot_hold_leaves_the_old_file(tmp_path):
    before = write_result(tmp_path, **GIVEN, metrics={"accuracy": 0.5}).read_text()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(tmp_path, **GIVEN, metrics={"accuracy": float("nan")})
    assert (tmp_path / "result.json").read_text() == before


def test_a_command_names_no_folder_of_the_machine() -> None:
    chosen = argparse.Namespace(
        root=Path("/data/set"), out=Path("runs/a"), styles=[Path("/data/one.jpg"), Path("two.png")], seed=1
    )
    line = "python -m some --root /data/set --out runs/a --styles /data/one.jpg two.png --seed 1"
    assert portable(line, chosen) == "python -m some --root ROOT --out OUT --styles one.jpg two.png --seed 1"
