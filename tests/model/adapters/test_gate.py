"""Adapters: on for their own words alone, to the bit; merged where they are always on; strangers' folders refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from sam3_agent.errors import InputError, ModelUnavailable
from sam3_agent.formats.adapter_folder import MANIFEST, TENSORS, read_adapter_concept, split_model
from sam3_agent.model.adapters.low_rank import averaged, fresh, merge, view_of
from sam3_agent.model.adapters.merging import write_merged
from sam3_agent.model.replicas import load_replicas
from sam3_agent.model.sam3 import Sam3
from sam3_agent.model.scheduler import Scheduler
from sam3_agent.types import ConceptPrompt, DetectOptions
from sam3_agent.workspace import Workspace
from tests.model.adapters.fixtures_adapter import write_random_adapter
from tests.model.conftest import small_model
from tests.model.test_sam3 import same

CAT, DOG, GEAR = ConceptPrompt("cat"), ConceptPrompt("dog"), ConceptPrompt("gear")
ALL = DetectOptions(threshold=0.1)


@pytest.fixture(scope="module")
def base(checkpoint: Path) -> Sam3:
    return Sam3.load(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def gear(base: Sam3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_adapter(base, tmp_path_factory.mktemp("adapters") / "gear.adapter")


@pytest.fixture(scope="module")
def adapted(checkpoint: Path, gear: Path) -> Sam3:
    return Sam3.load(f"{checkpoint}+{gear}", device="cpu")


def test_other_words_beside_an_adapters_own_answer_as_before_to_the_bit(
    base: Sam3, adapted: Sam3, picture: NDArray[np.uint8]
) -> None:
    before = base.detect(base.encode(picture), [CAT, DOG], ALL)
    cat, gear, dog = adapted.detect(adapted.encode(picture), [CAT, GEAR, DOG], ALL)
    assert [cat, dog] == before
    assert gear != base.detect(base.encode(picture), [GEAR], ALL)[0]


def test_features_of_the_base_serve_the_adapter(base: Sam3, adapted: Sam3, picture: NDArray[np.uint8]) -> None:
    own = adapted.detect(adapted.encode(picture), [GEAR], ALL)
    assert adapted.detect(base.encode(picture), [GEAR], ALL) == own


def test_a_word_and_its_concept_ask_the_same(adapted: Sam3, gear: Path, picture: NDArray[np.uint8]) -> None:
    concept = read_adapter_concept(gear)
    features = adapted.encode(picture)
    phrase, named = (
        adapted.detect(features, [prompt], ALL)
        for prompt in (ConceptPrompt(" GEAR "), ConceptPrompt(None, (), concept))
    )
    assert phrase == named


def test_every_workspace_knows_the_concepts_of_the_adapters(
    checkpoint: Path, gear: Path, picture: NDArray[np.uint8]
) -> None:
    with Scheduler(load_replicas(f"{checkpoint}+{gear}", "cpu")) as scheduler:
        workspace = Workspace(scheduler)
        image = workspace.open(picture)
        (found,) = workspace.segment(image.id, ["@gear"], tiles="never")
        assert found.prompt.label == "@gear"


def test_several_adapters_each_answer_to_their_own(
    base: Sam3, checkpoint: Path, gear: Path, adapted: Sam3, tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    cog = write_random_adapter(base, tmp_path / "cog.adapter", words=("cog", "cog wheel"), seed=5)
    both = Sam3.load(f"{checkpoint}+{gear}+{cog}", device="cpu")
    features = both.encode(picture)
    answers = both.detect(features, [CAT, GEAR, ConceptPrompt("cog wheel"), ConceptPrompt("cog")], ALL)
    assert answers[0] == base.detect(features, [CAT], ALL)[0]
    assert answers[1] == adapted.detect(features, [GEAR], ALL)[0]
    assert same(answers[2], answers[3])
    assert [concept.name for concept in both.concepts] == ["gear", "cog"]


def test_an_adapter_that_is_always_on_answers_as_its_merged_folder_does(
    base: Sam3, checkpoint: Path, gear: Path, adapted: Sam3, tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    always = write_random_adapter(base, tmp_path / "all.adapter", words=("all",), always_on=True, seed=3)
    model = Sam3.load(f"{checkpoint}+{always}+{gear}", device="cpu")
    write_merged(str(checkpoint), always, tmp_path / "merged")
    merged = Sam3.load(tmp_path / "merged", device="cpu")
    features = base.encode(picture)
    for one, other in zip(
        model.detect(features, [CAT, DOG], ALL), merged.detect(features, [CAT, DOG], ALL), strict=True
    ):
        assert same(one, other)
    assert not same(model.detect(features, [CAT], ALL)[0], base.detect(features, [CAT], ALL)[0])
    assert model.fingerprint != base.fingerprint
    assert model.detect(features, [GEAR], ALL) == adapted.detect(features, [GEAR], ALL)  # trained on the base


def test_changes_beside_the_weights_and_in_them_compute_the_same() -> None:
    model = small_model().eval()
    tensors = {name: value + 0.03 for name, value in fresh(model, 3, 0).items()}
    view, merged = view_of(model, tensors), view_of(model, {})
    merge(merged, tensors)
    x = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(0))
    one, other, old = (
        each.dot_product_scoring(decoder_hidden_states=x[None], text_features=x, text_mask=torch.ones(2, 9) > 0)
        for each in (view, merged, model)
    )
    assert torch.allclose(one, other, atol=1e-4)
    assert not torch.allclose(one, old, atol=1e-2)


def test_the_average_of_adapters_is_the_average_of_their_changes() -> None:
    model = small_model()
    parts = [{name: value + 0.1 * place for name, value in fresh(model, 2, place).items()} for place in (1, 3)]
    name = "detr_encoder.layers.0.self_attn.q_proj"
    changes = [part[f"{name}.up"] @ part[f"{name}.down"] for part in parts]
    mean = averaged(parts)
    assert torch.allclose(mean[f"{name}.up"] @ mean[f"{name}.down"], sum(changes) / 2, atol=1e-5)


def test_a_model_and_its_adapters_are_told_apart_also_where_a_folder_has_a_plus(tmp_path: Path) -> None:
    (tmp_path / "a+b").mkdir()
    (tmp_path / "c.adapter").mkdir()
    (tmp_path / "c.adapter" / MANIFEST).write_text("{}")
    text = f"{tmp_path}/a+b+{tmp_path}/c.adapter"
    assert split_model(text) == (f"{tmp_path}/a+b", (tmp_path / "c.adapter",))
    assert split_model("tiny") == ("tiny", ())
    with pytest.raises(ModelUnavailable, match=r"no adapter at 'nowhere': it is not there; sam3-agent finetune makes"):
        split_model("tiny+nowhere")


def test_an_adapter_of_other_weights_is_refused(gear: Path) -> None:
    with pytest.raises(ModelUnavailable, match="changes other weights"):
        Sam3.load(f"tiny+{gear}", device="cpu")


def test_an_adapter_given_as_a_model_says_how_to_give_it(gear: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"is an adapter: give it after its model, as MODEL\+"):
        Sam3.load(gear, device="cpu")


def test_two_adapters_that_are_always_on_are_refused(base: Sam3, checkpoint: Path, tmp_path: Path) -> None:
    first, second = (
        write_random_adapter(base, tmp_path / name, words=(name,), always_on=True) for name in ("one", "two")
    )
    with pytest.raises(ModelUnavailable, match="'one', 'two' are always on"):
        Sam3.load(f"{checkpoint}+{first}+{second}", device="cpu")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("detr_encoder.layers.0.self_attn.q_proj.up", torch.full((32, 2), torch.nan), "holds other numbers"),
        ("detr_encoder.layers.0.self_attn.q_proj.up", torch.zeros(32, 3), "fits no layer"),
        ("vision_encoder.neck.weight", torch.zeros(2, 2), "fits no layer"),
        ("detr_encoder.layers.0.self_attn.q_proj.up", torch.ones(32, 2), "its tensors are not those of"),
        ("detr_encoder.layers.0.self_attn.q_proj.up", None, "lacks 'detr_encoder.layers.0.self_attn.q_proj.up'"),
    ],
)
def test_tensors_that_are_no_change_of_the_model_are_refused(
    base: Sam3, checkpoint: Path, tmp_path: Path, name: str, value: torch.Tensor | None, words: str
) -> None:
    folder = write_random_adapter(base, tmp_path / "bad.adapter")
    tensors = load_file(folder / TENSORS)
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value.half()
    save_file(tensors, folder / TENSORS)
    with pytest.raises(ModelUnavailable, match=words):
        Sam3.load(f"{checkpoint}+{folder}", device="cpu")


@pytest.mark.parametrize(
    "change",
    [{"format": "other"}, {"always_on": "no"}, {"shift": 99}, {"words": ["\x1b[2J"]}, {"words": 7}, {"shift": None}],
)
def test_a_damaged_description_is_refused_in_one_line(
    base: Sam3, checkpoint: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    folder = write_random_adapter(base, tmp_path / "bad.adapter")
    document = json.loads((folder / MANIFEST).read_text()) | change
    (folder / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(ModelUnavailable, match=r"^the adapter '.*' cannot be read \(.*adapter.json") as raised:
        Sam3.load(f"{checkpoint}+{folder}", device="cpu")
    assert "\n" not in str(raised.value)


def test_a_concept_of_another_adapter_is_refused(base: Sam3, gear: Path, tmp_path: Path) -> None:
    other = write_random_adapter(base, tmp_path / "other.adapter", seed=9)
    (other / "adapter.concept.json").write_text((gear / "adapter.concept.json").read_text())
    with pytest.raises(InputError, match="belongs to another adapter"):
        read_adapter_concept(other)
