"""The tables of the README."""

from __future__ import annotations

from benchmarks.tables import maps_table, speed_tables

ROW = {
    "op": "a",
    "work": "w",
    "peer": "p",
    "ours_ms": 1.25,
    "peer_ms": 2500.0,
    "ratio": 2000.0,
    "roofline": 0.5,
}


def test_a_family_of_operators_has_a_table():
    rows = [ROW | {"family": "F"}, ROW | {"family": "G", "op": "b"}, ROW | {"family": "F", "op": "c"}]
    first, second = speed_tables({"rows": rows})
    assert first.startswith("**F**\n\n| operator |") and first.splitlines()[4:] == [
        "| a | w | p | 1.25 | 2,500 | 2,000 | 0.5 | - | - |",
        "| c | w | p | 1.25 | 2,500 | 2,000 | 0.5 | - | - |",
    ]
    assert second.startswith("**G**") and "| b |" in second


def test_without_families_there_is_one_table():
    (table,) = speed_tables({"rows": [ROW, ROW]})
    assert table.startswith("| operator |") and len(table.splitlines()) == 4


def test_a_refinement_has_a_row():
    errors = {"exact": 1.234, "per-pair": 1.3, "dijkstra": 1.5, "accuracy": 0.25, "within 5 %": 0.9}
    metrics = {
        "pairs": 380,
        "training_seconds": 1800.0,
        "errors": [{"refinement": n, **errors} for n in ("none", "ZoomOut")],
    }
    result = {"data": "d", "model": "m", "parameters": 1234, "metrics": metrics}
    lines = maps_table([result]).splitlines()
    assert lines[2] == "| d | 380 | m | none | 1.23 | 1.30 | 1.50 | 25.0 | 90.0 | 1,800 | 1,234 |"
    assert len(lines) == 4 and "| ZoomOut |" in lines[3]
