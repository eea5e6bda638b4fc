"""A client of served replicas: what it asks of which, and what happens when they lack the image, die or are full."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam3_agent import masks
from sam3_agent.errors import Busy, Cancelled, InputError, ModelUnavailable
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.model.ray_cluster import ServedAddress, served_address
from sam3_agent.model.replicas import load_replicas, load_segmenter
from sam3_agent.model.request_context import Principal, calling
from sam3_agent.model.video_segmenter import Sighting, TrackedMask, TrackMemory, TrackRequest, VideoSegmenter
from sam3_agent.types import ClickPrompt, ConceptPrompt, Exemplar
from sam3_agent.workspace import Workspace

pytest.importorskip("ray.serve", reason="Ray Serve is not installed: pip install 'sam3-agent[ray]'")

from sam3_agent.model.served_segmenter import MOST_LOSSES, ServedSegmenter
from tests.serving.fixtures_handle import Handle, replica

CAT = [ConceptPrompt("cat")]


def image(tag: int) -> NDArray[np.uint8]:
    return np.full((20, 30, 3), tag, dtype=np.uint8)


def mask() -> NDArray[np.bool_]:
    found = np.zeros((20, 30), dtype=np.bool_)
    found[4:12, 5:15] = True
    return found


def model() -> FakeSegmenter:
    return FakeSegmenter({"cat": detection([mask()])})


@contextmanager
def served(*models: FakeSegmenter, patience: float = 60.0, **kept: int) -> Iterator[tuple[ServedSegmenter, Handle]]:
    handle = Handle(*(replica(each, **kept) for each in models))
    try:
        yield ServedSegmenter(handle, patience=patience), handle
    finally:
        handle.close()


def counts(segmenter: ServedSegmenter) -> dict[str, Any]:
    return segmenter.statistics()["served"]


def test_a_served_model_answers_as_the_model_itself_does() -> None:
    own = model()
    with served(model(), model()) as (segmenter, _):
        here, there = own.encode(image(1)), segmenter.encode(image(1))
        assert (there.height, there.width, there.nbytes) == (20, 30, 1800)
        assert segmenter.detect(there, CAT) == own.detect(here, CAT)
        assert segmenter.presence(there, CAT) == own.presence(here, CAT)
        box = Exemplar((5, 4, 15, 12))
        assert segmenter.read_exemplars(there, [box]) == own.read_exemplars(here, [box])
        click = ClickPrompt(((8, 8),))
        assert segmenter.segment_at(there, click) == own.segment_at(here, click)
        assert (segmenter.info.name, segmenter.weights) == ("fake", "0" * 16)


def follow(segmenter: VideoSegmenter, images: list[NDArray[np.uint8]]) -> list[TrackedMask]:
    """What is said of a cat, begun by a mask, on each image, with its memory written to arrays and read in between."""
    memory: TrackMemory | None = None
    said: list[TrackedMask] = []
    for index, pixels in enumerate(images):
        features = segmenter.encode(pixels)  # pyright: ignore[reportAttributeAccessIssue]
        asked = TrackRequest(mask=masks.encode(mask())) if memory is None else TrackRequest(memory)
        said += segmenter.track(features, index, [asked])
        (kept,) = segmenter.remember(features, index, [Sighting(said[-1], memory, given=memory is None)])
        memory = segmenter.restore(kept.to_arrays())
    return said


def test_objects_are_followed_through_a_video_over_all_replicas() -> None:
    images = [image(tag) for tag in range(5)]
    with served(model(), model()) as (segmenter, handle):
        assert isinstance(segmenter, VideoSegmenter)
        there, here = follow(segmenter, images), follow(model(), images)
        assert len({handle.place_of(question.key) for question in handle.questions}) == 2
    assert len(there) == 5
    for one, other in zip(there, here, strict=True):
        assert one.present
        assert (one.score, one.quality) == (other.score, other.quality)
        assert np.array_equal(one.logits, other.logits)


def test_pixels_are_sent_once_and_every_image_is_encoded_once() -> None:
    models = [model(), model(), model()]
    with served(*models) as (segmenter, handle):
        workspace = Workspace(segmenter)
        for tag in range(9):
            opened = workspace.open(image(tag))
            workspace.segment(opened.id, ["cat"], tiles="never")
            workspace.presence(opened.id, ["dog"])
        assert sum(each.encodes for each in models) == 9
        assert sum(question.image is not None for question in handle.questions) == 9
        assert all(handle.place_of(question.key) >= 0 for question in handle.questions)
    assert sum(each.encodes > 0 for each in models) > 1  # they are spread


def test_an_image_that_a_replica_has_forgotten_is_sent_again() -> None:
    own = model()
    with served(own, feature_bytes=1) as (segmenter, _):
        first, second = segmenter.encode(image(1)), segmenter.encode(image(2))
        answers = [segmenter.detect(features, CAT) for features in (first, second, first)]
        assert answers[0] == answers[1] == answers[2]
        assert counts(segmenter)["resent"] == 3
    assert own.encodes == 5


def test_features_of_a_replica_that_dies_are_made_anew_by_another() -> None:
    with served(model(), model()) as (segmenter, handle):
        seen = [segmenter.encode(image(tag)) for tag in range(8)]
        before = [segmenter.detect(features, CAT) for features in seen]
        handle.dying = {0}
        assert [segmenter.detect(features, CAT) for features in seen] == before
        found = counts(segmenter)
        assert found["lost"] == 1
        assert found["resent"] == sum(int(features.key, 16) % 2 == 0 for features in seen)


def test_a_call_that_every_replica_dies_over_ends_in_one_line() -> None:
    with served(*(model() for _ in range(MOST_LOSSES + 1))) as (segmenter, handle):
        features = segmenter.encode(image(1))
        handle.dying = set(range(MOST_LOSSES + 1))
        with pytest.raises(ModelUnavailable, match=f"{MOST_LOSSES} replicas of the served model died over one call"):
            segmenter.detect(features, CAT)


def test_a_full_queue_is_waited_for_by_the_patient_and_told_to_the_others() -> None:
    with served(model()) as (segmenter, handle):
        features = segmenter.encode(image(1))
        handle.full = 3
        assert segmenter.detect(features, CAT)[0].kept
        assert counts(segmenter)["waited"] == 3
    with served(model(), patience=0.0) as (segmenter, handle):
        features = segmenter.encode(image(1))
        handle.full = 1
        with pytest.raises(Busy, match="the served model is busy"):
            segmenter.detect(features, CAT)
        assert segmenter.detect(features, CAT)[0].kept


def test_a_caller_waits_no_longer_than_its_time() -> None:
    release = threading.Event()

    def answers(_: NDArray[np.uint8]) -> dict[str, Any]:
        release.wait(60)
        return {}

    with served(FakeSegmenter(answers)) as (segmenter, _):
        with calling(seconds=0.05), pytest.raises(Busy, match=r"in the time given|being encoded"):
            segmenter.encode(image(1))
        release.set()


def test_a_caller_who_gives_up_is_answered_at_once() -> None:
    begun, release = threading.Event(), threading.Event()

    def answers(_: NDArray[np.uint8]) -> dict[str, Any]:
        begun.set()
        release.wait(60)
        return {}

    with served(FakeSegmenter(answers)) as (segmenter, _), calling() as caller:

        def give_up() -> None:
            begun.wait(60)
            caller.cancel()

        thread = threading.Thread(target=give_up)
        thread.start()
        with pytest.raises(Cancelled, match="gave up"):
            segmenter.encode(image(1))
        release.set()
        thread.join()
        with pytest.raises(Cancelled):
            segmenter.encode(image(2))


def test_urgency_time_and_principal_travel_with_the_question() -> None:
    with served(model()) as (segmenter, handle):
        with calling(bulk=True, seconds=50, principal=Principal("ann", 2.0)):
            segmenter.encode(image(1))
        segmenter.encode(image(2))
        first, second = handle.questions
    assert (first.bulk, first.principal) == (True, Principal("ann", 2.0))
    assert first.seconds is not None
    assert 0 < first.seconds <= 50
    assert (second.bulk, second.seconds, second.principal.name) == (False, None, "")


def test_what_the_model_refuses_is_refused_in_its_own_words() -> None:
    with served(model()) as (segmenter, _):
        features = segmenter.encode(image(1))
        with pytest.raises(InputError, match="the concept has 400 characters"):
            segmenter.detect(features, [ConceptPrompt("x" * 400)])
        with pytest.raises(InputError, match="must be an"):
            segmenter.encode(np.zeros((4, 4), dtype=np.uint8))
        with pytest.raises(TypeError, match="not of a served model"):
            segmenter.detect(model().encode(image(1)), CAT)


def test_many_threads_ask_at_once_and_all_are_answered() -> None:
    with served(model(), model()) as (segmenter, handle):
        found: list[bool] = []

        def ask(tag: int) -> None:
            features = segmenter.encode(image(tag % 5))
            time.sleep(0)
            found.append(segmenter.detect(features, CAT) == model().detect(model().encode(image(tag % 5)), CAT))

        threads = [threading.Thread(target=ask, args=(tag,)) for tag in range(24)]
        for thread in threads:
            thread.start()
        handle.dying = {1}
        for thread in threads:
            thread.join()
    assert found == [True] * 24


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("serve:", ServedAddress("sam3")),
        ("serve:mine", ServedAddress("mine")),
        ("ray://head:10001", ServedAddress("sam3", "ray://head:10001")),
        ("ray://head:10001/mine", ServedAddress("mine", "ray://head:10001")),
        ("ray://[::1]:10001/mine", ServedAddress("mine", "ray://[::1]:10001")),
        ("tiny", None),
        ("server/model", None),
    ],
)
def test_addresses_of_served_models_are_told_from_names(name: str, address: ServedAddress | None) -> None:
    assert served_address(name) == address
    if address is not None:
        assert served_address(str(address)) == address


@pytest.mark.parametrize(
    "name", ["serve:../x", "serve:a b", "ray://head", "ray://", "ray://head:10001/a/b", "ray://:1"]
)
def test_an_address_that_is_none_is_told(name: str) -> None:
    with pytest.raises(InputError, match="is no "):
        served_address(name)


def test_a_served_model_has_its_device_already_and_is_not_loaded_here() -> None:
    with pytest.raises(InputError, match="has its device and dtype already"):
        load_segmenter("serve:mine", device="cpu")
    with pytest.raises(ModelUnavailable, match="this needs the model itself"):
        load_replicas("serve:mine")
