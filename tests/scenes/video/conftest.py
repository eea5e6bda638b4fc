"""Procedural videos that several tests look at, drawn once."""

from __future__ import annotations

import numpy as np
import pytest

from sam3_agent.scenes.queries import Query
from sam3_agent.scenes.video import QUERY_CLIPS, VideoTruth, draw_clip, temporal_queries_of, truth_of

Asked = list[tuple[VideoTruth, list[Query]]]


@pytest.fixture(scope="session")
def asked() -> Asked:
    """Fifty videos with up to two queries of each kind."""
    truths = [truth_of(draw_clip(seed, 24, (240, 180), QUERY_CLIPS)) for seed in range(50)]
    return [(truth, temporal_queries_of(truth, np.random.default_rng(n), 2)) for n, truth in enumerate(truths)]
