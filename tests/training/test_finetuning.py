"""Fine-tuning: figures, replay, and short trainings of the tiny model and of a small one with random weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from sam3_agent import masks
from sam3_agent.errors import Forgets, InputError
from sam3_agent.formats.adapter_folder import PAGE, REPORT, read_manifest
from sam3_agent.model.adapters.low_rank import fresh, view_of
from sam3_agent.model.sam3 import Sam3
from sam3_agent.training.checkpoint import read_state
from sam3_agent.training.finetuning.adapter_steps import AdapterOptions
from sam3_agent.training.finetuning.figures import f1, own_counts, paired, precision, recall, refusal, shifted
from sam3_agent.training.finetuning.finetune import Finetuned, FinetuneOptions, finetune
from sam3_agent.training.finetuning.forecast import forecast
from sam3_agent.training.finetuning.looks import Finding, Look
from sam3_agent.training.finetuning.replay import Replay, ReplayRow, answers_to_words, drift
from sam3_agent.training.finetuning.report import Words
from sam3_agent.training.finetuning.survey import Survey, agreement, hijacked, names_in
from sam3_agent.training.teaching.prompt_tokens import TeachProgress
from sam3_agent.training.teaching.views import TeachingImage
from sam3_agent.types import ConceptPrompt, ModelInfo
from tests.model.conftest import byte_tokenizer, small_model
from tests.training.test_teaching import images_of, square

STEPS = AdapterOptions(rank=2, folds=2, steps=2, batch=2, tokens=2)
SHORT = FinetuneOptions(STEPS, views=1, absent_views=1, words=("key", "circle"), scenes=1)
ALWAYS = replace(SHORT, steps=replace(STEPS, tokens=0, others=1), always_on=True)


@pytest.fixture(scope="module")
def segmenter() -> Sam3:
    return Sam3.load("tiny", device="cpu")


@pytest.fixture(scope="module")
def small() -> Sam3:
    """Every part of facebook/sam3, few of each, at random."""
    tokenizer: CLIPTokenizer = byte_tokenizer()
    return Sam3(small_model(), tokenizer, ModelInfo("small", "cpu", "float32"))


def squares() -> list[TeachingImage]:
    """The fewest images that can be learned from."""
    (first,) = square().objects
    mask = np.zeros((40, 40), bool)
    mask[24:34, 20:36] = True
    having = replace(square(), objects=(first, masks.encode(mask)))
    return [having] * 4 + [replace(square(), objects=())] * 4


def test_figures_count_objects_and_refusals() -> None:
    (rle,) = square().objects
    found = (Finding(rle, 0.9, 0.8), Finding(rle, 0.6, None), Finding(rle, 0.4, 0.7))
    looks = (Look(2, 1.0, found), Look(0, 0.1, ()), Look(0, 0.9, (Finding(rle, 0.7, None),)))
    sums = own_counts(looks).sum(axis=0)
    assert sums[:5].tolist() == [1, 2, 1, 2, 1]
    assert (precision(sums), recall(sums), refusal(sums)) == (pytest.approx(1 / 3), 0.5, 0.5)
    assert f1(sums) == pytest.approx(2 / 5)


def test_a_shift_of_object_logits_moves_scores_as_the_model_would() -> None:
    assert shifted(0.4, 0.8, 0.0) == pytest.approx(0.4)
    assert shifted(0.4, 0.8, 1.0) == pytest.approx(0.8 / (1 + np.exp(-1)))
    assert shifted(0.0, 0.0, 1.0) == 0
    looks = (Look(1, 1.0, (Finding(square().objects[0], 0.4, 0.9),)),)
    assert [own_counts(looks, shift)[0, 0] for shift in (0.0, 0.5)] == [0, 1]


def test_a_pair_of_figures_has_intervals_that_hold_it_and_nothing_where_there_is_nothing() -> None:
    before, after = np.array([[3.0, 1, 0, 0, 0]] * 5), np.array([[2.0, 1, 1, 0, 0]] * 4 + [[3.0, 0, 0, 0, 0]])
    pair = paired(before, after, f1)
    assert [each.to_json()[0] for each in (pair.before, pair.after, pair.lost)] == [0.8571, 0.7333, 0.1238]
    assert str(pair.before) == "0.857 (0.86-0.86)"
    value, low, high = pair.after.to_json()
    assert sorted([low or 0.0, value or 0.0, high or 0.0]) == [low, value, high]
    assert paired(before, after, refusal).lost.value is None


def test_words_that_give_the_class_are_hijacked_unless_they_name_it() -> None:
    image = square()
    (gear,) = image.objects
    said = Survey(("cog", "key", "ring"), (((gear,), (), ()), ((), (), ())))
    now = Survey(said.words, (((gear,), (gear,), ()), ((), (), (gear,))))
    images = [image, replace(image, objects=())]
    names = names_in(said, images)
    assert names == {0}
    assert hijacked(now, images, names).tolist() == [[1, 2]]
    assert agreement(said, said, images, names).sum(axis=0).tolist() == [1, 0, 0, 5, 5]
    assert agreement(said, now, images, names).sum(axis=0).tolist() == [1, 1, 0, 5, 4]


def test_losses_over_the_budget_are_told_and_a_hijack_is_a_loss_when_it_grows() -> None:
    kept, lost = np.array([[9.0, 1, 0, 0, 0]] * 3), np.array([[8.0, 1, 1, 0, 0]] * 3)
    shares = np.array([[0.0, 10]] * 3), np.array([[1.0, 10]] * 3)
    figures = (("general", paired(kept, lost, f1)), ("hijack", paired(*shares, lambda sums: sums[0] / sums[1])))
    over = Words(3, 3, figures=figures).over(0.02)
    assert over == ("general 0.947 -> 0.889", "hijack 0.000 -> 0.100")
    assert Words(3, 3, figures=figures).over(0.2) == ()
    better = (("hijack", paired(shares[1], shares[0], lambda sums: sums[0] / sums[1])),)
    assert Words(3, 3, figures=better).over(0.02) == ()


def _rows(small: Sam3, labeled: torch.Tensor) -> list[ReplayRow]:
    features = small.encode(np.full((40, 40, 3), 90, np.uint8))
    prompt = small.prompt_tokens(features, "cat").clone()
    return [ReplayRow(features.levels[-1].clone(), prompt, labeled)]


def test_nothing_drifts_while_nothing_has_changed(small: Sam3) -> None:
    tensors = {name: value.requires_grad_() for name, value in fresh(small.network, 2, 0).items()}
    rows = _rows(small, torch.zeros(0, 4))
    view = view_of(small.network, tensors)
    small.network.requires_grad_(False)
    before, after = answers_to_words(small.network, rows), answers_to_words(view, rows, gradient=True)
    drift(before, after, rows).backward()
    steepest = max(float(value.grad.abs().max()) for value in tensors.values() if value.grad is not None)
    assert steepest < 1e-4


def test_what_the_base_finds_on_a_labeled_object_is_to_be_refused(small: Sam3) -> None:
    free = _rows(small, torch.zeros(0, 4))
    base = answers_to_words(small.network, free)
    best = int(base.outputs.logits[-1, 0].argmax())
    robbed = _rows(small, base.outputs.boxes[-1, 0, best : best + 1].detach())
    assert drift(base, base, robbed) > drift(base, base, free)


def test_replayed_words_are_mostly_such_as_the_base_answers(small: Sam3) -> None:
    replay = Replay(
        ("cat", "dog", "key"), (torch.ones(1, 32), torch.ones(2, 32), torch.ones(3, 32)), ((1,),), frozenset()
    )

    class Seen:
        image = 0
        levels = (torch.zeros(1, 32, 3, 3),)
        prefix = torch.zeros(4, 32)
        boxes = torch.zeros(2, 4)

    rows = replay.rows([Seen()], 200, np.random.default_rng(0))
    answered = sum(len(row.prompt) == 3 for row in rows)  # two words of "dog" and the CLS token
    assert 120 < answered < 180
    assert all(len(row.labeled) == 2 for row in rows)


def test_too_few_images_are_refused_and_an_empty_word_too(small: Sam3) -> None:
    with pytest.raises(InputError, match="too few to teach from"):
        finetune(small, "mine", [square()] * 3)
    with pytest.raises(InputError, match="word of the adapter is empty"):
        finetune(small, "mine", [square()] * 8 + [replace(square(), objects=())] * 4, words=("  ",))


@pytest.mark.integration
@pytest.mark.timeout(900)  # seconds on an idle core
def test_a_forecast_tells_what_there_is_and_what_it_takes(small: Sam3) -> None:
    images = [*squares()[:4], *(replace(each, lookalikes=square().objects) for each in squares()[4:])]
    plan = forecast(small, "mine", images, "cat", SHORT)
    assert (plan.having, plan.lacking, plan.objects, plan.lookalikes, plan.views) == (4, 4, 8, 4, 12)
    assert plan.adapter_bytes == 2 * sum(plan.numbers.values())
    assert plan.seconds > 0
    assert plan.cached_bytes > 0


@pytest.mark.integration
@pytest.mark.timeout(900)  # seconds on an idle core
def test_an_adapter_is_written_loaded_and_changes_no_other_word(segmenter: Sam3, tmp_path: Path) -> None:
    images = images_of("star", 4)
    told: list[TeachProgress] = []
    made = finetune(segmenter, "mine", images, words=("My Star",), options=SHORT, on_progress=told.append)
    made.write(tmp_path / "mine.adapter")
    assert {now.doing for now in told} == {"reading images", "training", "measuring"}
    assert made.report.others.identical
    assert read_manifest(tmp_path / "mine.adapter").words == ("my star",)
    assert sum(path.stat().st_size for path in (tmp_path / "mine.adapter").iterdir()) < 2_000_000
    report = json.loads((tmp_path / "mine.adapter" / REPORT).read_text())
    assert set(report["own"]) == {"F1", "precision", "recall", "refusal", "mean IoU"}
    assert "bit for bit" in (tmp_path / "mine.adapter" / PAGE).read_text()
    loaded = Sam3.load(f"tiny+{tmp_path}/mine.adapter", device="cpu")
    features = segmenter.encode(images[0].pixels)
    words = [ConceptPrompt("star"), ConceptPrompt("my star"), ConceptPrompt("key")]
    star, mine, key = loaded.detect(features, words)
    assert [star, key] == segmenter.detect(features, [words[0], words[2]])
    assert [mine] == made.applied(segmenter).detect(features, [words[1]])


@pytest.mark.integration
@pytest.mark.timeout(900)  # seconds on an idle core
def test_an_adapter_that_is_always_on_is_measured_and_not_written_over_its_budget(small: Sam3, tmp_path: Path) -> None:
    images = squares()
    made = finetune(small, "mine", images, options=ALWAYS)
    assert made.adapter.concept is None
    assert [name for name, _ in made.report.others.figures][-1] == "hijack"
    over = Finetuned(made.adapter, replace(made.report, over=("hijack 0.000 -> 0.100",)), made.images)
    with pytest.raises(Forgets, match=r"not written: .*hijack 0.000 -> 0.100.*--accept-forgetting"):
        over.write(tmp_path / "mine.adapter")
    assert not (tmp_path / "mine.adapter").exists()
    over.write(tmp_path / "mine.adapter", accept_forgetting=True)
    assert json.loads((tmp_path / "mine.adapter" / REPORT).read_text())["over_budget"]


class Killed(Exception):
    """Stands for a kill between two steps."""


@pytest.mark.integration
@pytest.mark.timeout(900)  # seconds on an idle core
def test_a_killed_fine_tuning_goes_on_and_ends_with_the_same_adapter(small: Sam3, tmp_path: Path) -> None:
    images = squares()

    def kill(now: TeachProgress) -> None:
        if now.doing == "training" and now.done == 3:
            raise Killed

    with pytest.raises(Killed):
        finetune(small, "mine", images, options=SHORT, folder=tmp_path, on_progress=kill)
    saved = read_state(tmp_path)
    assert saved is not None
    assert saved["fold"] == 1
    steps: list[int] = []
    resumed = finetune(
        small, "mine", images, options=SHORT, folder=tmp_path,
        on_progress=lambda now: steps.append(now.done) if now.doing == "training" else None,
    )  # fmt: skip
    assert steps == [3, 4]
    again = finetune(small, "mine", images, options=SHORT)
    assert resumed.adapter.manifest.fingerprint == again.adapter.manifest.fingerprint


@pytest.mark.integration
@pytest.mark.timeout(900)  # seconds on an idle core
def test_training_brings_the_loss_of_the_class_down(small: Sam3) -> None:
    images = squares()
    long = replace(SHORT, steps=replace(STEPS, folds=1, steps=8, batch=2))
    made = finetune(small, "mine", images, options=long)
    recall_of = dict(made.report.own)["recall"]
    assert (recall_of.after.value or 0.0) >= (recall_of.before.value or 0.0)
    assert any(value.abs().max() > 1e-3 for name, value in made.adapter.tensors.items() if name.endswith(".up"))
