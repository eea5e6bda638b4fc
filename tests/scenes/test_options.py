from __future__ import annotations

from typing import Any

import pytest

from sam3_agent.scenes import COLORS, NOUNS, SceneOptions

EVERY_PAIR = frozenset((noun, color) for noun in NOUNS for color in COLORS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_objects": 0}, "min_objects=0"),
        ({"min_objects": 5, "max_objects": 4}, "min_objects=5, max_objects=4"),
        ({"max_objects": 1000}, "max_objects=1000"),
        ({"min_side": 8}, "min_side=8"),
        ({"min_side": 600, "max_side": 500}, "min_side=600, max_side=500"),
        ({"plain_objects": 1.5}, "plain_objects from 0 to 1, got 1.5"),
        ({"max_aspect": 0.5}, "max_aspect from 1 to 4, got 0.5"),
        ({"style": "cubist"}, "got 'cubist'"),
        ({"excluded_pairs": frozenset({("dog", "red")})}, "'dog'"),
        ({"required_pairs": (("cat", "beige"),)}, "'beige'"),
        ({"excluded_pairs": frozenset({("cat", "red")}), "required_pairs": (("cat", "red"),)}, "both"),
        ({"excluded_pairs": EVERY_PAIR}, "at least one pair not excluded"),
    ],
)
def test_bad_options_are_refused_with_expected_and_actual(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="expected") as refusal:
        SceneOptions(**wrong)
    assert message in str(refusal.value)
