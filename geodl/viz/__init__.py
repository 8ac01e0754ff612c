"""Shapes, correspondences and images: interactive pages, pictures, curves, films, windows. Open3D and matplotlib load when used."""

from geodl.viz.color_transfer import correspondence
from geodl.viz.colors import position_colors
from geodl.viz.compare import comparison
from geodl.viz.decision_boundary import decision_boundary
from geodl.viz.film import film
from geodl.viz.filters import filters
from geodl.viz.heat_map import error_map
from geodl.viz.images import images
from geodl.viz.match_lines import lines
from geodl.viz.mesh_film import mesh_film
from geodl.viz.page import Page
from geodl.viz.point_clouds import point_clouds
from geodl.viz.princeton_curve import curve
from geodl.viz.renderer import renderers, use_renderer
from geodl.viz.show import show
from geodl.viz.skeletons import skeleton_film, skeleton_strip
from geodl.viz.surface import surface
from geodl.viz.window import window

__all__ = [
    "Page",
    "comparison",
    "correspondence",
    "curve",
    "decision_boundary",
    "error_map",
    "film",
    "filters",
    "images",
    "lines",
    "mesh_film",
    "point_clouds",
    "position_colors",
    "renderers",
    "show",
    "skeleton_film",
    "skeleton_strip",
    "surface",
    "use_renderer",
    "window",
]
