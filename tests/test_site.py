"""The site's pages say what is true: their code runs, their links lead somewhere, their tables are those of the result files."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from benchmarks import tables

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
CODE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
SKILL = ROOT / "geodl" / "SKILL.md"
WITH_CODE = [path for path in (*PAGES, SKILL) if CODE.search(path.read_text())]


def name(path: Path) -> str:
    return str(path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).with_suffix(""))


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_code_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": name(page)}
    for number, block in enumerate(CODE.findall(page.read_text())):
        exec(compile(block, f"{name(page)}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_to_other_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", page.read_text()):
        found = (DOCS / target.lstrip("/")) if target.startswith("/") else (page.parent / target)
        if "gallery_examples" in found.parts:
            script = DOCS / "gallery" / (found.name + ".py")
            assert script.exists() or found.name == "index", f"{name(page)} links to {target}"
        else:
            assert any(found.with_suffix(end).exists() for end in (".md", ".rst")), (
                f"{name(page)} links to {target}"
            )
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{name(page)} links to {target}"


def test_links_of_llms_txt_lead_somewhere() -> None:
    text = (ROOT / "geodl" / "llms.txt").read_text()
    pages = {name(path) for path in (*PAGES, *DOCS.glob("*.rst"))} | {"gallery_examples/index"}
    targets = re.findall(r"\]\(([^)]+)\.html\)", text)
    assert targets and not set(targets) - pages
    for room, listed in re.findall(r"\[geodl\.(\w+)\][^:]*: (.*)", text):
        known = importlib.import_module(f"geodl.{room}").__all__
        names = set(re.findall(r"`(\w+)`", listed)) - {"from_published"}
        assert not names - {*known}, f"geodl.{room} has no {names - {*known}}"


@pytest.mark.parametrize("page", sorted((DOCS / "benchmarks").glob("*.md")), ids=name)
def test_result_tables_are_those_of_the_result_files(page: Path) -> None:
    assert tables.render(page.read_text()) == page.read_text(), "run `python -m benchmarks.tables`"


def executed() -> set[str]:
    """The words of all code that is run: pages, README, gallery, notebooks."""
    texts = [block for path in (*PAGES, ROOT / "README.md") for block in CODE.findall(path.read_text())]
    texts += [
        path.read_text() for path in (*(DOCS / "gallery").glob("*.py"), *(ROOT / "notebooks").glob("*.py"))
    ]
    return set(re.findall(r"\w+", "\n".join(texts)))


@pytest.mark.parametrize("room", [path.stem for path in sorted((DOCS / "rooms").glob("*.md"))])
def test_every_public_name_has_an_executed_example(room: str) -> None:
    missing = sorted(set(importlib.import_module(f"geodl.{room}").__all__) - executed())
    assert not missing, f"no example runs {', '.join(missing)} of geodl.{room}"


@pytest.mark.parametrize("script", sorted((DOCS / "gallery").glob("*.py")), ids=name)
def test_gallery_scripts_begin_with_a_title(script: Path) -> None:
    _, title, line, blank, *_ = (ast.get_docstring(ast.parse(script.read_text()), clean=False) or "").split(
        "\n"
    )
    assert title and line == "=" * len(title) and not blank


@pytest.mark.parametrize("room", ["nn", "models", "training"])
def test_every_layer_and_network_says_what_forward_does(room: str) -> None:
    things = vars(importlib.import_module(f"geodl.{room}"))
    modules = [thing for thing in things.values() if isinstance(thing, type) and issubclass(thing, nn.Module)]
    ours = [module for module in modules if module.forward.__module__.startswith("geodl.")]
    silent = [module.__name__ for module in ours if not module.forward.__doc__]
    assert ours and not silent, f"forward of {', '.join(silent)} has no docstring"


def test_an_operator_of_ones_own_takes_at_most_80_lines() -> None:
    assert len((DOCS / "gallery" / "own_operator.py").read_text().splitlines()) <= 80
