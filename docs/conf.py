"""The site: `python -m sphinx -W --keep-going docs docs/_build/html`. Nothing is fetched, so it builds without a network."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch  # noqa: F401  # before the native modules, so that they share its OpenMP

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

from pictures import WrittenPictures  # noqa: E402

project = "geodl"
author = "geodl maintainers"
copyright = "geodl maintainers"
html_title = "geodl"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "myst_nb",
    "room",
    "cheat_sheet",
    "notebooks",
    "ratios",
    "command",
    "links",
]
exclude_patterns = ["_build", "gallery", "extensions", "gallery_examples/*.ipynb"]

autodoc_typehints = "signature"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autosummary_generate = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Shape", "returns_style")]
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

# Quotation marks and primes stay as they are typed, "nearest" is a value, C' a name; dashes are dashes.
smartquotes_action = "D"

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["geodl.css"]
html_copy_source = False
html_extra_path = ["../geodl/llms.txt", "../geodl/SKILL.md"]

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
# Notebooks are run when the site is built; one that raises fails the build.
nb_execution_mode = "force"
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_merge_streams = True

sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["gallery_examples"],
    "filename_pattern": r"\.py$",
    "default_thumb_file": str(HERE / "_static" / "code.png"),
    "within_subsection_order": "pictures.in_order",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 3600,  # seconds; those of a busy machine tell nothing
    "write_computation_times": False,
    "image_scrapers": (WrittenPictures(),),
    "capture_repr": ("_repr_html_",),
    "reset_modules": (),
}
warnings.filterwarnings("ignore", category=DeprecationWarning)
