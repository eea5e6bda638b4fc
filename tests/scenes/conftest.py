"""Scenes that several tests look at, drawn once."""

from __future__ import annotations

import pytest

from sam3_agent.scenes import Scene, SceneOptions, generate_scene

SMALL = SceneOptions(max_side=256)


@pytest.fixture(scope="session")
def scenes() -> list[Scene]:
    """Two hundred small scenes."""
    return [generate_scene(seed, SMALL) for seed in range(200)]
