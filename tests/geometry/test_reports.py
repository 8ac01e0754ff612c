"""Reports: what was met is counted, reports of several shapes add up, and texts name nothing that did not happen."""

from __future__ import annotations

from dataclasses import astuple, fields

import torch

from geodl.geometry import (
    ChartReport,
    Charts,
    Curvature,
    DifferentialInvariants,
    LaplacianReport,
    SpectrumReport,
    curvature,
    differential_invariants,
    geodesic_charts,
    gradient,
    laplacian,
    spectrum,
)

from .shapes import bumpy, flat_grid, icosphere


def test_reports_of_charts_add_up() -> None:
    parts = [geodesic_charts(mesh, 0.4) for mesh in (icosphere(1), flat_grid(5))]
    reports = [part.report for part in parts]
    both = Charts.cat(parts).report
    assert isinstance(both, ChartReport)
    assert astuple(both) == tuple(map(sum, zip(*map(astuple, reports), strict=True)))  # type: ignore[arg-type]
    assert both.charts == 42 + 25 and both.components == 2
    assert str(ChartReport(charts=42, components=1)) == "42 charts on 1 component(s)"
    assert all(getattr(ChartReport(), field.name) == 0 for field in fields(ChartReport))


def test_a_report_of_a_laplacian_names_what_was_left_out_alone() -> None:
    found = laplacian(icosphere(1)).report
    assert isinstance(found, LaplacianReport) and str(found) == "tufted Laplacian of 42 points"
    text = str(LaplacianReport("cotangent", 9, flat_faces=2))
    assert text.splitlines() == ["cotangent Laplacian of 9 points", "  2 faces have no area"]


def test_a_report_of_a_spectrum_is_its_residual() -> None:
    mesh, k = bumpy(3), 12
    found = spectrum(mesh, k)
    (report,) = found.reports
    assert isinstance(report, SpectrumReport) and report.without_mass == 0
    matrix = torch.from_numpy(laplacian(mesh).matrix().toarray())
    weak = matrix @ found.evecs - found.mass[:, None] * found.evecs * found.evals
    residual = (weak / found.mass.sqrt()[:, None]).norm(dim=0).max() / found.evals[-1]
    # Either is rounding: what counts is that the report does not say less than there is.
    assert float(residual) < 1e-6 and report.residual < 1e-6
    assert report.products >= k


def test_curvature_is_its_mean_and_its_product() -> None:
    found = curvature(bumpy(3))
    assert isinstance(found, Curvature)
    one, two = found.principal.unbind(1)
    assert (one >= two).all()
    torch.testing.assert_close(found.mean, (one + two) / 2)
    torch.testing.assert_close(found.gaussian, one * two)


def test_families_of_invariants_are_normalised() -> None:
    mesh = bumpy(3)
    found = differential_invariants(spectrum(mesh, 40), gradient(mesh), functions=5, smooth=20)
    assert isinstance(found, DifferentialInvariants)
    mass = laplacian(mesh).mass / laplacian(mesh).mass.sum()
    for name in ("waves", "products", "brackets", "second_products", "second_brackets"):
        family = getattr(found, name)
        assert family.shape[0] == len(mass), name
        torch.testing.assert_close(mass @ family**2, torch.ones(family.shape[1]).double(), atol=1e-5, rtol=0)
