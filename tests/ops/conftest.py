"""Tests that name a backend make their tensors on its device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .devices import INTERPRETED, device_of


@pytest.fixture(autouse=True)
def tensors_on_the_device_of_the_backend(request: pytest.FixtureRequest) -> Iterator[None]:
    """test_conformance moves its tensors itself, so that an operator which forgets the device of its inputs is found."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if request.module.__name__.endswith("test_conformance") or parameters.get("backend") != "triton":
        yield
    else:
        with device_of("triton"):
            yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Triton's interpreter takes milliseconds a block; on a GPU the same tests are fast."""
    for item in items:
        if (
            INTERPRETED
            and getattr(item, "callspec", None)
            and item.callspec.params.get("backend") == "triton"
        ):
            item.add_marker(pytest.mark.slow)
