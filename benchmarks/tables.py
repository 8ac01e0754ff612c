"""Writes the result tables of README and site from the committed result files: `python -m benchmarks.tables`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from geodl.data.whole_file import whole_file

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "benchmarks").glob("*.md"))]
_SECTION = re.compile(r"(<!-- results: (?P<names>[\w\- ]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)


def speed_tables(result: dict[str, Any]) -> list[str]:
    """A table a family of operators, with a row a comparison: ours beside the peer."""
    families: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        families.setdefault(row.get("family", ""), []).append(row)
    return [
        f"**{family}**\n\n{speed_table(rows)}" if family else speed_table(rows)
        for family, rows in families.items()
    ]


def speed_table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| operator | work | peer | ours, ms | peer, ms | ratio | roofline | ours, MB | peer, MB |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        numbers = [
            _number(row.get(name))
            for name in ("ours_ms", "peer_ms", "ratio", "roofline", "ours_mb", "peer_mb")
        ]
        lines.append("| " + " | ".join([row["op"], row["work"], row["peer"], *numbers]) + " |")
    return "\n".join(lines)


def accuracy_table(results: list[dict[str, Any]]) -> str:
    """A row a run of the matching benchmark."""
    lines = [
        "| data | method | exact, % | mean error x100 | within 5 %, % | nearest signals: mean error x100 | within 5 %, % "
        "| training, s | parameters | seeds |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for result in results:
        metrics = result["metrics"]
        nearest = metrics.get("nearest_signals", {})
        cells = [
            result["data"],
            result["model"],
            f"{100 * metrics['accuracy']:.2f}",
            f"{metrics['mean_error_x100']:.3f}",
            f"{100 * metrics['hit_rate']['0.05']:.2f}",
            _number(nearest.get("mean_error_x100")),
            _percent(nearest.get("hit_rate", {}).get("0.05")),
            f"{metrics['training_seconds']:.0f}",
            f"{result['parameters']:,}",
            ", ".join(map(str, result["seeds"])),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def maps_table(results: list[dict[str, Any]]) -> str:
    """A row a method of functional maps and a refinement."""
    lines = [
        "| data | pairs | method | refinement | exact geodesics | mean of pairs | edge Dijkstra | exact hits, % | within 5 %, % "
        "| training, s | parameters |",
        "|---|--:|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        metrics = result["metrics"]
        for row in metrics["errors"]:
            cells = [
                result["data"],
                f"{metrics['pairs']:,}",
                result["model"],
                row["refinement"],
                *(f"{row[name]:.2f}" for name in ("exact", "per-pair", "dijkstra")),
                *(f"{100 * row[name]:.1f}" for name in ("accuracy", "within 5 %")),
                _number(metrics.get("training_seconds")),
                f"{result['parameters']:,}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pretrained_table(result: dict[str, Any]) -> str:
    """A row a set and a method, with the network that geodl brings along and without."""
    lines = [
        "| data | pairs | method | mean error x100 | median | worst pair | within 5 %, % | a pair, s |",
        "|---|--:|---|--:|--:|--:|--:|--:|",
    ]
    for row in result["metrics"]["matched"]:
        errors = ("mean_error_x100", "median_error_x100", "worst_pair_x100")
        cells = [
            row["data"],
            f"{row['pairs']:,}",
            row["method"],
            *(f"{row[name]:.2f}" for name in errors),
            f"{100 * row['within 5 %']:.1f}",
            _number(row["seconds_a_pair"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def growth_table(result: dict[str, Any]) -> str:
    """A row an operator: how the time of an edge changes with the size of the graph, and the memory of a large one."""
    ways = "near, forward", "near, forward + backward", "random, forward", "random, forward + backward"
    columns = [title for way in ways for title in (f"{way}: ns an edge", "max / min")]
    lines = [
        "| " + " | ".join(["operator", *columns, "peak of 10 million x 64, MB"]) + " |",
        "|---|" + "--:|" * (len(columns) + 1),
    ]
    for name, found in result["metrics"].items():
        cells = [name]
        for graph in ("near", "random"):
            for times in (found[graph].get("forward"), found[graph]):
                taken = times and times["ns_per_edge"].values()
                cells += (
                    [f"{min(taken):.3g} to {max(taken):.3g}", f"{times['max_over_min']:.2f}"]
                    if taken
                    else ["-", "-"]
                )
        lines.append("| " + " | ".join([*cells, _number(found.get("peak_mb"))]) + " |")
    return "\n".join(lines)


def any_input_table(result: dict[str, Any]) -> str:
    """A row a shape: what is wrong with it, and what the functions made of it."""
    metrics = result["metrics"]
    lines = [
        f"{metrics['answers']:,} answers, {metrics['diagnoses']} diagnoses, {metrics['failures']} failures "
        f"of {result['parameters']['functions']} functions on {len(metrics['shapes'])} shapes.",
        "",
        "| shape | what is found | what comes out |",
        "|---|---|---|",
    ]
    for name, found in metrics["shapes"].items():
        cells = (name, found["found"], summary(found["functions"]))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def summary(functions: dict[str, str]) -> str:
    """Answers counted; warnings, diagnoses and failures once each, with the functions that gave them."""
    answers = sum(text.startswith("answer") for text in functions.values())
    others: dict[str, list[str]] = {}
    for name, text in functions.items():
        if text != "answer":
            others.setdefault(text, []).append(name)
    told = [
        f"{text} ({', '.join(names) if len(names) < 4 else f'{len(names)} functions'})"
        for text, names in others.items()
    ]
    return "; ".join([f"{answers} answers", *told])


def digits_table(results: list[dict[str, Any]]) -> str:
    """A row a domain on which the digits were learned, or a network on shapes."""
    lines = [
        "| data | network | points | test accuracy, % | logistic regression, % | epochs | training of all seeds, s | parameters "
        "| seeds |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for result in results:
        metrics = result["metrics"]
        spread = "" if metrics["deviation"] is None else f" ± {100 * metrics['deviation']:.2f}"
        cells = [
            result["data"],
            result["model"],
            f"{metrics['points']:,}",
            f"{100 * metrics['test_accuracy']:.2f}{spread}",
            _percent(metrics.get("linear_accuracy")),
            str(metrics["epochs"]),
            f"{metrics['training_seconds']:.0f}",
            f"{result['parameters']:,}",
            ", ".join(map(str, result["seeds"])),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def clouds_table(results: list[dict[str, Any]]) -> str:
    """A row a network that classifies clouds."""
    lines = [
        "| data | network | points | overall, % | mean of classes, % | logistic regression: overall, % | epochs | training, s "
        "| clouds a second: training | inference | peak of a step, MB | parameters | seeds |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for result in results:
        metrics = result["metrics"]
        scores = [
            f"{100 * metrics[mean]:.2f}"
            + ("" if metrics[spread] is None else f" ± {100 * metrics[spread]:.2f}")
            for mean, spread in (
                ("overall_accuracy", "deviation"),
                ("mean_class_accuracy", "mean_class_deviation"),
            )
        ]
        cells = [
            result["data"],
            result["model"],
            f"{metrics['points']:,}",
            *scores,
            _percent(metrics.get("linear_accuracy")),
            str(metrics["epochs"]),
            f"{metrics['training_seconds'] / len(result['seeds']):.0f}",
            f"{metrics['training_samples_per_second']:.0f}",
            f"{metrics['inference_samples_per_second']:.0f}",
            _number(metrics["training_step_peak_mb"]),
            f"{result['parameters']:,}",
            ", ".join(map(str, result["seeds"])),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parts_table(results: list[dict[str, Any]]) -> str:
    """Of every run of the segmentation benchmark, a row a test set: the network, and ridge regression beside it."""
    lines = [
        "| data | network, signal | tested on | accuracy, % | accuracy by area, % | mean IoU, % | ridge: by area, % "
        "| mean IoU, % | epochs | training, s | parameters | seeds |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for result in results:
        metrics = result["metrics"]
        for name, measured in metrics["tests"].items():
            scores = [
                f"{100 * one['mean']:.2f}"
                + ("" if one["deviation"] is None else f" ± {100 * one['deviation']:.2f}")
                for one in (measured[measure] for measure in ("accuracy", "accuracy_by_area", "mean_iou"))
            ]
            ridge = [
                f"{100 * measured[measure]['ridge']:.2f}" for measure in ("accuracy_by_area", "mean_iou")
            ]
            cells = [
                result["data"],
                result["model"],
                name,
                *scores,
                *ridge,
                str(metrics["epochs"]),
                f"{metrics['training_seconds'] / len(result['seeds']):.0f}",
                f"{result['parameters']:,}",
                ", ".join(map(str, result["seeds"])),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def corruptions_table(results: list[dict[str, Any]]) -> str:
    """A row a network: overall accuracy on corrupted clouds, from the mildest severity to the strongest, and the mean of all."""
    kinds = list(results[0]["metrics"]["corrupted_accuracy_at_severities"])
    lines = [
        "| data | network | clean, % | " + " | ".join(kind.replace("_", " ") for kind in kinds) + " | mean |",
        "|---|---|--:|" + "--:|" * (len(kinds) + 1),
    ]
    for result in results:
        found = result["metrics"]["corrupted_accuracy_at_severities"]
        cells = [f"{100 * found[kind][0]:.0f} .. {100 * found[kind][-1]:.0f}" for kind in kinds]
        mean = sum(sum(values) for values in found.values()) / sum(map(len, found.values()))
        clean = f"{100 * result['metrics']['overall_accuracies'][0]:.1f}"
        lines.append(
            "| " + " | ".join([result["data"], result["model"], clean, *cells, f"{100 * mean:.1f}"]) + " |"
        )
    return "\n".join(lines)


def nodes_table(results: list[dict[str, Any]]) -> str:
    """A row a network on a graph: its accuracy beside the published one, and the time of an epoch beside PyG's."""
    lines = [
        "| data | network | test accuracy, % | published | epochs | an epoch, ms | PyG, ms | ratio | parameters | seeds |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        for name, found in result["metrics"]["networks"].items():
            cells = [
                result["data"],
                name,
                f"{found['test_accuracy']:.1f}"
                + ("" if found["deviation"] is None else f" ± {found['deviation']:.1f}"),
                _number(found["published"]),
                _number(found["epochs"] and round(found["epochs"])),
                *(_number(found.get(key)) for key in ("epoch_ms", "pyg_epoch_ms", "ratio")),
                f"{found['parameters']:,}",
                "-" if found["deviation"] is None else str(len(result["seeds"])),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def large_graph_table(result: dict[str, Any]) -> str:
    """A row a way to train on a graph that is large."""
    lines = [
        "| graph | edges | way | an epoch, s | a batch, ms | peak memory, MB | test accuracy, % |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    for way, found in result["metrics"]["ways"].items():
        numbers = [
            _number(found.get(key)) for key in ("epoch_seconds", "batch_ms", "peak_mb", "test_accuracy")
        ]
        lines.append("| " + " | ".join([result["data"], f"{found['edges']:,}", way, *numbers]) + " |")
    return "\n".join(lines)


def samples_table(results: list[dict[str, Any]]) -> str:
    """A row a kind of samples: baselines first, then every seed of a generator, as it samples and truncated."""
    lines = [
        "| data | samples | precision | recall | Frechet distance (LeNet-5) | classes | steps | training, s | parameters |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        metrics, learned = result["metrics"], ["-"] * 3
        data = f"{result['data']}, {metrics['points']} points"
        rows = [(name, row, learned) for name, row in metrics["baselines"].items()]
        for seed, row in zip(result["seeds"], metrics["seeds"], strict=True):
            name = f"{result['model']}, seed {seed}"
            cells = [f"{metrics['steps']:,}", f"{row['seconds']:.0f}", f"{result['parameters']:,}"]
            rows.append((name, row, cells))
            for psi, closer in row.get("truncated", {}).items():
                rows.append((f"{name}, truncation {psi}", closer, cells))
        for name, row, cells in rows:
            numbers = [
                f"{row['precision']:.3f}",
                f"{row['recall']:.3f}",
                f"{row['lenet_frechet_distance']:.1f}",
            ]
            lines.append("| " + " | ".join([data, name, *numbers, str(row["classes"]), *cells]) + " |")
    return "\n".join(lines)


def shading_table(results: list[dict[str, Any]]) -> str:
    """A row a domain and method, for every family that was held out."""
    lines = [
        "| held out | method | R2 at pixels | at outer vertices | at all vertices | parameters | training, core s |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        for name, row in result["metrics"]["rows"].items():
            keys = ("r2_pixels", "r2_outer_vertices", "r2_vertices")
            numbers = [
                (f"{row[key]:.3f}" if key in row else "-")
                + (f" ± {row[f'{key}_deviation']:.3f}" if f"{key}_deviation" in row else "")
                for key in keys
            ]
            seconds = f"{row['training_seconds']:.0f}" if "training_seconds" in row else "-"
            cells = [result["metrics"]["held_out"], name, *numbers, f"{row['parameters']:,}", seconds]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def texture_table(results: list[dict[str, Any]]) -> str:
    """A row a domain that a texture was made on, beside another crop of the exemplar and noise."""
    lines = [
        "| data | picture | patches to the exemplar, x1000 | error of the statistics | points | s |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for result in results:
        found = result["metrics"]
        pixels = result["parameters"]["size"] ** 2
        rows = [
            ("noise", found["noise"], None, pixels, None),
            ("another crop", found["another_crop"], found["gap_between_crops"], pixels, None),
            ("made on the grid", found["grid"], found["grid_error"], pixels, found["grid_seconds"]),
            (
                "made on the surface",
                found["surface"],
                found["surface_error"],
                found["vertices"],
                found["surface_seconds"],
            ),
            (
                "the exemplar laid on an irregular flat mesh",
                None,
                found["gap_between_domains"],
                pixels,
                None,
            ),
        ]
        if "automaton_error" in found:
            rows += [
                (f"labyrinth by an automaton: {name}", None, found[f"automaton_{key}"], points, None)
                for name, key, points in (
                    ("200 steps", "error", pixels),
                    ("2,200 steps", "error_after_2000_steps", pixels),
                    ("200 steps after a cut", "error_healed", pixels),
                    ("2,200 steps on the surface", "surface_error_after_2000_steps", found["vertices"]),
                )
            ]
        for name, distance, error, points, seconds in rows:
            thousands = None if distance is None else 1000 * distance
            cells = [
                result["data"],
                name,
                _number(thousands),
                _number(error),
                f"{points:,}",
                _number(seconds),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def materials_table(results: list[dict[str, Any]]) -> str:
    """A row an exemplar and way: how far what was made is from it, beside another piece of the same material."""
    lines = [
        "| exemplar | features | patches to the exemplar, x1000: made | another piece | s |",
        "|---|---|--:|--:|--:|",
    ]
    for row in (row for result in results for row in result["metrics"]["rows"]):
        numbers = (1000 * row["distance"], 1000 * row["another_piece"], row["seconds"])
        lines.append("| " + " | ".join([row["exemplar"], row["features"], *map(_number, numbers)]) + " |")
    return "\n".join(lines)


def style_table(results: list[dict[str, Any]]) -> str:
    """A row a pair: how far patches are from the style's before and after, and whether edges of the content are still there."""
    lines = [
        "| content | style | patches to the style, x1000: content | transferred | edges: transferred | the style alone | s |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        for pair in result["metrics"]["pairs"]:
            numbers = [1000 * pair["style_distance_before"], 1000 * pair["style_distance"]]
            numbers += [pair[key] for key in ("content_edges", "content_edges_of_style_alone", "seconds")]
            cells = [pair["content"], pair["style"], *map(_number, numbers)]
            lines.append("| " + " | ".join(cells) + " |")
        for style, found in result["metrics"]["surfaces"].items():
            cells = [
                "a shaded body",
                style,
                "-",
                _number(1000 * found["style_distance"]),
                "-",
                "-",
                _number(found["seconds"]),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


# Of every task on motions: the columns after the first, by their names in the result, and what those are multiplied by.
_MOTION: dict[str, tuple[str, dict[str, tuple[str, float]]]] = {
    "locomotion": (
        "network",
        {
            "parameters": ("parameters", 1),
            "joints off, mm: first 60 frames": ("mpjpe_soon", 1000),
            "all": ("mpjpe", 1000),
            "pose alone": ("pose", 1000),
            "pose, time aligned": ("pose_aligned", 1000),
            "root off, mm: at most": ("drift_largest", 1000),
            "last 100 frames": ("drift_last", 1000),
            "contacts, F1": ("contact_f1", 1),
            "time aligned": ("contact_f1_aligned", 1),
            "skate, m/s": ("skate", 1),
        },
    ),
    "denoise": (
        "method",
        {"lost, mm": ("lost", 1), "seen, mm": ("seen", 1), "parameters": ("parameters", 1)},
    ),
    "retarget": (
        "method",
        {
            "ends of limbs off, % of the limb": ("mean", 100),
            "95th percentile": ("percentile_95", 100),
            "within 5 %, %": ("within_5_percent", 100),
            "parameters": ("parameters", 1),
        },
    ),
}


def _with_spread(row: dict[str, Any], name: str, factor: float) -> str:
    """The number of that name times the factor, and its deviation over seeds if there were several."""
    if row.get(name) is None:
        return "-"
    spread = row.get(f"{name}_deviation")
    return _number(factor * row[name]) + ("" if spread is None else f" ± {_number(factor * spread)}")


def motion_tables(results: list[dict[str, Any]]) -> list[str]:
    """A table a task: what is done, walks that go on, lost markers, other skeletons."""
    tables = []
    if acted := [result for result in results if result["benchmark"] == "motion-action"]:
        lines = ["| data | label | model | clips, % | whole takes, % | ST-GCN better by, clips, % |"]
        lines.append("|---|---|---|--:|--:|--:|")
        for result in acted:
            for row in result["metrics"]["rows"]:
                cells = [result["data"], row["label"], row["model"]]
                for key in ("clips", "takes"):
                    off = row[f"{key}_deviation"]
                    cells.append(f"{100 * row[key]:.1f}" + ("" if off is None else f" ± {100 * off:.1f}"))
                gain, error = (100 * row.get(key, 0) for key in ("better", "better_error"))
                cells.append(f"{gain:.1f} ± {error:.1f}" if "better" in row else "-")
                lines.append("| " + " | ".join(cells) + " |")
        tables.append("\n".join(lines))
    for task, (first, columns) in _MOTION.items():
        found = [result for result in results if result["benchmark"] == f"motion-{task}"]
        if not found:
            continue
        lines = ["| " + " | ".join(["data", first, *columns]) + " |", "|---|---|" + "--:|" * len(columns)]
        for result in found:
            for row in result["metrics"]["rows"]:
                cells = [_with_spread(row, *column) for column in columns.values()]
                lines.append("| " + " | ".join([result["data"], row[first], *cells]) + " |")
        tables.append("\n".join(lines))
    return tables


def same_time_table(results: list[dict[str, Any]]) -> str:
    """A row a code of the same network, all trained for the same time."""
    lines = [
        "| data | code | test accuracy, % | epochs | an epoch of the whole set, s |",
        "|---|---|--:|--:|--:|",
    ]
    for result in results:
        metrics = result["metrics"]
        codes = [(name, found) for name, found in metrics.items() if isinstance(found, dict)]
        for name, found in codes:
            cells = [
                result["data"],
                name,
                f"{100 * found['accuracy']:.1f}",
                f"{found['epochs']}",
                _number(found["epoch_seconds_of_547"]),
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append(f"| {result['data']} | linear map | {100 * metrics['linear_accuracy']:.1f} | - | - |")
    return "\n".join(lines)


def trust_table(result: dict[str, Any]) -> str:
    """How far verdicts hold, on maps of every quality: a row a set."""
    sets = {
        name: found
        for name, found in result["metrics"].items()
        if isinstance(found, dict) and "maps" in found
    }
    columns = list(next(iter(sets.values())))
    lines = ["| maps of | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    lines += [
        f"| {name} | " + " | ".join(_number(found[key]) for key in columns) + " |"
        for name, found in sets.items()
    ]
    return "\n".join(lines)


def partial_table(results: list[dict[str, Any]]) -> str:
    """A row a kind of pairs and a method."""
    lines = [
        "| data | pairs | method | mean error x100 | median of pairs | worst pair | matched, % | IoU of the overlap "
        "| a pair, CPU s |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        for row in result["metrics"]["pairs"]:
            cells = [
                result["data"],
                row["pairs"],
                row["method"],
                f"{row['error']:.2f}",
                f"{row['median of pairs']:.2f}",
                f"{max(row['errors of pairs']):.2f}",
                f"{100 * row['matched share']:.1f}",
                f"{row['overlap IoU']:.3f}",
                _number(row["CPU seconds"]),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rows_table(result: dict[str, Any]) -> str:
    """A row a row of the result, under the names that they have there."""
    rows = result["metrics"]["rows"]
    first, *columns = rows[0]
    lines = [f"| {first} | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    lines += [
        f"| {row[first]} | " + " | ".join(_number(row[name]) for name in columns) + " |" for row in rows
    ]
    return "\n".join(lines)


def section(names: list[str]) -> str:
    """The tables of the named folders of benchmarks/results, and where and how they were measured."""
    results = [read_result(name) for name in names]
    rowed = [result for result in results if result.get("rows")]
    tables = [table for result in rowed for table in speed_tables(result)]
    tables += [growth_table(result) for result in results if result["benchmark"] == "growth"]
    tables += [any_input_table(result) for result in results if result["benchmark"] == "any-input"]
    if scored := [result for result in results if "accuracy" in result.get("metrics", {})]:
        tables.append(accuracy_table(scored))
    if mapped := [result for result in results if "errors" in result.get("metrics", {})]:
        tables.append(maps_table(mapped))
    tables += [pretrained_table(result) for result in results if result["benchmark"] == "pretrained"]
    if digits := [result for result in results if result["benchmark"] in ("mnist", "shrec11")]:
        tables.append(digits_table(digits))
    if clouds := [result for result in results if result["benchmark"] == "modelnet"]:
        tables.append(clouds_table(clouds))
        if corrupted := [one for one in clouds if one["metrics"]["corrupted_accuracy_at_severities"]]:
            tables.append(corruptions_table(corrupted))
    if parts := [result for result in results if result["benchmark"] == "segmentation"]:
        tables.append(parts_table(parts))
    if networks := [result for result in results if result["benchmark"] == "planetoid"]:
        tables.append(nodes_table(networks))
    tables += [large_graph_table(result) for result in results if result["benchmark"] == "large-graph"]
    if generated := [result for result in results if result["benchmark"] == "gan"]:
        tables.append(samples_table(generated))
    if textures := [result for result in results if result["benchmark"] == "texture"]:
        tables.append(texture_table(textures))
    if shaded := [result for result in results if result["benchmark"] == "shading"]:
        tables.append(shading_table(shaded))
    if materials := [result for result in results if result["benchmark"] == "materials"]:
        tables.append(materials_table(materials))
    if styles := [result for result in results if result["benchmark"] == "style"]:
        tables.append(style_table(styles))
    if timed := [result for result in results if result["benchmark"] == "diffusion-training"]:
        tables.append(same_time_table(timed))
    tables += [trust_table(result) for result in results if result["benchmark"] == "trust"]
    if parts := [result for result in results if result["benchmark"] == "partial"]:
        tables.append(partial_table(parts))
    tables += [
        rows_table(result) for result in results if result["benchmark"] in ("refinement", "mesh-to-cloud")
    ]
    tables += motion_tables(results)
    return "\n\n".join([*tables, _measured(results)])


# What the README shows of speed: folder of the result, operator, beginning of the work, peer.
_HIGHLIGHTS = (
    ("operators-cpu", "edge_conv", "8 x 1024 points, 20 neighbours, 64 to 64", "torch_geometric EdgeConv"),
    ("operators-cpu", "patch_conv", "mesh of 6,890 x 60", "torch_geometric GMMConv"),
    ("operators-cpu", "attention", "mesh of 6,890 x 60", "torch_geometric GATConv"),
    ("operators-cpu", "knn", "100,000 points", "scipy cKDTree, build + query"),
    ("diffusion", "DiffusionNet, packed", "training step", "diffusion_net's formulas, shape by shape"),
    ("geometry", "geodesic_charts", "charts of 6890", "potpourri3d AffineLocal, 60 sources scaled up"),
)


def highlights() -> str:
    """One table of a few comparisons, each with its last row of that name: forward and backward where both were measured."""
    lines = ["| | work | beside | times as fast |", "|---|---|---|--:|"]
    used = {}
    for name, operator, work, peer in _HIGHLIGHTS:
        used[name] = read_result(name)
        rows = [
            row
            for row in used[name]["rows"]
            if (row["op"], row["peer"]) == (operator, peer) and row["work"].startswith(work)
        ]
        lines.append(f"| {operator} | {rows[-1]['work']} | {peer} | {rows[-1]['ratio']:.3g} |")
    return "\n".join(lines) + "\n\n" + _measured(list(used.values()))


def read_result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / name / "result.json").read_text())
    return found


def _measured(results: list[dict[str, Any]]) -> str:
    """When, on what, with which versions and by which commands."""
    days = sorted(result["date"][:10] for result in results)
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    hardware = sorted({_hardware(result["hardware"]) for result in results})
    versions = sorted({f"torch {result['versions']['torch'].split('+')[0]}" for result in results})
    commands = sorted({result["command"] for result in results})
    return (
        f"Measured {when} on {'; '.join(hardware)}, with {', '.join(versions)}, by "
        + ", ".join(f"`{command}`" for command in commands)
        + "."
    )


def render(page: str) -> str:
    """A page with its result sections made anew."""
    return _SECTION.sub(
        lambda match: (
            f"{match[1]}{highlights() if match['names'] == 'highlights' else section(match['names'].split())}\n{match[3]}"
        ),
        page,
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _hardware(hardware: dict[str, Any] | str) -> str:
    return (
        hardware
        if isinstance(hardware, str)
        else ", ".join(f"{name} {value}" for name, value in hardware.items())
    )


def main() -> None:
    for path in PAGES:
        with whole_file(path) as temporary:
            temporary.write_text(render(path.read_text()))


if __name__ == "__main__":
    main()
