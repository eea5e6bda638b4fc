"""`sam3-agent learn`, and what it says of its own examples."""

from pathlib import Path

import pytest
from PIL import Image

from sam3_agent.formats.concept_file import read_concept
from sam3_agent.scenes import Scene, SceneOptions, generate_scene
from tests.cli.conftest import Run

OPTIONS = SceneOptions(max_side=400, max_objects=4, required_pairs=(("star", "red"),))


def examples_of(noun: str, folder: Path, seeds: range) -> list[str]:
    """Scenes as files, with a "--like IMAGE:BOX" for every object of the noun."""
    given: list[str] = []
    for seed in seeds:
        scene: Scene = generate_scene(seed, OPTIONS)
        path = folder / f"{seed}.png"
        Image.fromarray(scene.image).save(path)
        boxes = [o.box for o in scene.objects if o.noun == noun]
        given += [part for box in boxes for part in ("--like", f"{path}:{','.join(str(v) for v in box)}")]
    return given


def test_learning_tells_how_many_of_the_examples_are_found(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "mine.concept.json"
    arguments = examples_of("star", tmp_path, range(2))
    told = run("learn", "mine", *arguments, "--out", out, "--json").json()
    concept = read_concept(out)
    assert told["examples"] == len(arguments) // 2 == concept.example_count
    assert told["tokens"] == concept.tokens.count <= 3
    assert told["threshold"] == concept.threshold
    assert concept.estimate is not None
    assert told["estimate"] == concept.estimate.to_json()
    assert told["estimate"]["held_out"]
    assert told["estimate"]["found"] >= len(arguments) // 4


@pytest.mark.integration
def test_a_phrase_that_the_model_does_not_know_is_left_out_aloud(run: Run, tmp_path: Path) -> None:
    arguments, out = examples_of("star", tmp_path, range(2)), tmp_path / "mine.concept.json"
    shown = run("learn", "mine", *arguments, "--phrase", "spaceship", "--out", out)
    assert shown.status == 0
    assert "the phrase 'spaceship' is left out: with it 0 of " in shown.out
    assert f"{read_concept(out).estimate}\n" in shown.out
