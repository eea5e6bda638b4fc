"""Big pictures through the workspace: when tiles are taken, what they find, what they cost."""

import logging
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.tiling.figures import figures_of
from benchmarks.tiling.truth_segmenter import Place, TruthSegmenter, map_picture
from sam3_agent import masks
from sam3_agent.errors import InputError, ModelUnavailable, UnknownHandle
from sam3_agent.masks import Rle
from sam3_agent.model.fake import FakeSegmenter, detection
from sam3_agent.model.request_context import current_caller
from sam3_agent.types import ConceptPrompt, Exemplar, ModelInfo
from sam3_agent.workspace import Workspace
from sam3_agent.workspace.feature_cache import FeatureCache
from tests.fixtures_workspace import disc, square

HEIGHT, WIDTH = 480, 640
INFO = ModelInfo("truth", "cpu", "float32", input_side=160, queries=20, patch=8)


def crowd(count: int, side: int, seed: int = 0) -> list[Rle]:
    """Squares in random cells of a lattice."""
    rng = np.random.default_rng(seed)
    step = side + 12
    cells = rng.permutation([(x, y) for x in range(6, WIDTH - step, step) for y in range(6, HEIGHT - step, step)])
    block = masks.encode(np.ones((side, side), dtype=bool))
    return [masks.place(block, HEIGHT, WIDTH, int(x), int(y)) for x, y in cells[:count]]


def make_workspace(segmenter: TruthSegmenter, height: int = HEIGHT, width: int = WIDTH, **options: int) -> Workspace:
    workspace = Workspace(segmenter, **options)
    workspace.open(map_picture(height, width))
    return workspace


def found_rles(workspace: Workspace, **options: object) -> set[Rle]:
    (found,) = workspace.segment("img1", ["dot"], **options)  # pyright: ignore[reportArgumentType]
    assert len({instance.rle for instance in found.instances}) == len(found.instances)
    return {instance.rle for instance in found.instances}


def test_small_objects_bring_tiles_by_themselves_and_large_ones_do_not() -> None:
    small, large = crowd(15, 14), [masks.encode(disc(300, 200, 90, HEIGHT, WIDTH))]
    workspace = make_workspace(TruthSegmenter({"dot": small, "disc": large}, INFO, least_side=3.0))
    dots, discs = workspace.segment("img1", ["dot", "disc"])
    assert {instance.rle for instance in dots.instances} == set(small)
    assert (dots.tiles > 0, discs.tiles) == (True, 0)
    assert workspace.encodes == 1 + dots.tiles


def test_never_looks_once() -> None:
    small = crowd(15, 14)
    workspace = make_workspace(TruthSegmenter({"dot": small}, INFO, least_side=4.5))
    assert found_rles(workspace, tiles="never") == set()
    assert workspace.encodes == 1
    assert found_rles(workspace, tiles="always") == set(small)


def test_more_objects_than_the_model_has_queries_are_all_found() -> None:
    many = crowd(150, 24)
    workspace = make_workspace(TruthSegmenter({"dot": many}, INFO))
    assert len(found_rles(workspace, tiles="never")) == INFO.queries
    assert found_rles(workspace) == set(many)


def test_objects_of_every_size_are_found_once_with_masks_as_rough_as_those_of_a_model() -> None:
    large = [disc(120, 120, 110, HEIGHT, WIDTH), square(300, 150, 620, 460, HEIGHT, WIDTH)]
    free = [r for r in crowd(300, 14, seed=3) if all(masks.iou([r], [masks.encode(m)])[0, 0] == 0 for m in large)]
    truth = [*map(masks.encode, large), *free[:60]]
    workspace = make_workspace(TruthSegmenter({"dot": truth}, INFO, least_side=3.0, cells=40))
    found = workspace.segment("img1", ["dot"], tiles="always")[0].instances
    figures = figures_of([instance.rle for instance in found], truth)
    assert (figures.targets, figures.right, figures.duplicates, figures.stray) == (62, 62, 0, 0)
    assert figures.found == 62


def test_tiles_stay_inside_the_region() -> None:
    small = crowd(60, 14)
    segmenter = TruthSegmenter({"dot": small}, INFO)
    workspace = make_workspace(segmenter)
    found = found_rles(workspace, region=(100, 100, 500, 400), tiles="always")
    windows = segmenter.windows[1:]
    assert len(windows) > 4
    assert all(x0 >= 100 and y0 >= 100 and x1 <= 500 and y1 <= 400 for x0, y0, x1, y1 in windows)
    inside = [r for r in small if masks.area_in(r, (100, 100, 500, 400)) == masks.area(r)]
    assert set(inside) <= found
    assert len(found) == sum(masks.area_in(r, (100, 100, 500, 400)) > 0 for r in small)


def test_asking_again_encodes_nothing_and_gives_the_same_ids() -> None:
    workspace = make_workspace(TruthSegmenter({"dot": crowd(15, 14)}, INFO))
    first = workspace.segment("img1", ["dot"])[0]
    encodes = workspace.encodes
    again, _ = workspace.segment("img1", ["dot", "cat"])
    assert [i.id for i in again.instances] == [i.id for i in first.instances]
    assert (workspace.encodes, again.tiles) == (encodes, first.tiles)
    assert first.tiles > 0


def test_an_example_box_is_asked_of_the_whole_picture_alone_and_not_of_tiles() -> None:
    workspace = make_workspace(TruthSegmenter({"dot": crowd(15, 14)}, INFO))
    shown = ConceptPrompt("dot", (Exemplar((10, 10, 40, 40)),))
    assert [each.tiles > 0 for each in workspace.segment("img1", [shown, "dot"])] == [False, True]
    with pytest.raises(InputError, match=r"'dot' has some\): a tile elsewhere"):
        workspace.segment("img1", [shown], tiles="always")


def test_assuming_presence_keeps_what_the_object_score_allows() -> None:
    bitmap = square(230, 120, 290, 180)
    workspace = Workspace(FakeSegmenter({"star": detection([bitmap], [0.8], presence=0.2)}))
    workspace.open(np.zeros((200, 320, 3), np.uint8))
    doubted = workspace.segment("img1", ["star"])[0]
    assumed = workspace.segment("img1", ["star"], assume_present=True)[0]
    assert (len(doubted.instances), len(assumed.instances)) == (0, 1)
    assert (assumed.presence, assumed.assume_present) == (0.2, True)
    assert assumed.instances[0].score == pytest.approx(0.16)
    assert assumed.instances[0].id == doubted.near_misses[0].id
    assert workspace.segment("img1", ["star"], assume_present=True, threshold=0.8)[0].instances == ()


def test_many_tiles_push_no_lasting_features_out() -> None:
    truth = TruthSegmenter({"dot": crowd(15, 14)}, INFO)
    picture = map_picture(HEIGHT, WIDTH)
    workspace = Workspace(truth, max_bytes=2 * picture.nbytes + 200_000)
    workspace.open(picture)
    workspace.open(picture)
    tiles = workspace.segment("img1", ["dot"])[0].tiles
    assert tiles > 20
    before = workspace.encodes
    workspace.presence("img1", ["dot"])
    workspace.presence("img2", ["dot"])
    assert workspace.encodes == before == 2 + tiles


def test_the_first_tiles_of_a_scan_are_still_there_for_the_next_one() -> None:
    segmenter = FakeSegmenter({}, feature_bytes=10)
    memory = FeatureCache(segmenter, 35)
    picture = np.zeros((1, 1, 3), np.uint8)
    memory.get(("img1", (0, 0, 9, 9)), lambda: picture)
    for scan in range(2):
        for x in range(5):
            memory.get(("img1", (x, 0, x + 1, 1)), lambda: picture, passing=True)
        assert (memory.nbytes, segmenter.encodes) == (30, 6 + 3 * scan)


def test_tiles_are_looked_at_side_by_side() -> None:
    counting, begun = threading.Lock(), list[int]()
    four = threading.Event()

    class Slow(TruthSegmenter):
        """Ends no tile before it has begun four."""

        def encode(self, image: NDArray[np.uint8]) -> Place:
            if image.shape[0] < HEIGHT:
                with counting:
                    begun.append(threading.get_ident())
                    if len(set(begun)) >= 4:
                        four.set()
                assert four.wait(20)
            return super().encode(image)

    workspace = make_workspace(Slow({"dot": crowd(15, 14)}, INFO))
    assert workspace.segment("img1", ["dot"], tiles="always")[0].tiles > 4
    assert four.is_set()


def test_tiles_let_interactive_callers_go_first() -> None:
    bulk: dict[bool, set[bool]] = {True: set(), False: set()}

    class Listening(TruthSegmenter):
        """Notes who asks."""

        def encode(self, image: NDArray[np.uint8]) -> Place:
            bulk[image.shape[0] < HEIGHT].add(current_caller().bulk)
            return super().encode(image)

    make_workspace(Listening({"dot": crowd(15, 14)}, INFO)).segment("img1", ["dot"], tiles="always")
    assert bulk == {True: {True}, False: {False}}


def test_a_tile_that_fails_ends_the_call_and_the_rest_is_not_looked_at() -> None:
    class Failing(TruthSegmenter):
        """Runs out of memory at the tenth tile."""

        def encode(self, image: NDArray[np.uint8]) -> Place:
            if len(self.windows) >= 10:
                raise ModelUnavailable("out of memory")
            return super().encode(image)

    segmenter = Failing({"dot": crowd(15, 14)}, INFO)
    with pytest.raises(ModelUnavailable, match="out of memory"):
        make_workspace(segmenter).segment("img1", ["dot"], tiles="always")
    assert len(segmenter.windows) == 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tile")]


def test_a_long_scan_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    workspace = make_workspace(TruthSegmenter({"dot": crowd(15, 14)}, INFO))
    with caplog.at_level(logging.INFO, "sam3_agent.workspace.tiling"):
        tiles = workspace.segment("img1", ["dot"])[0].tiles
    assert f"looking closer, at {tiles} tiles" in caplog.text


def test_an_image_forgotten_while_tiles_are_looked_at_leaves_nothing() -> None:
    class Forgetful(TruthSegmenter):
        """Has its image forgotten at the first tile."""

        def encode(self, image: NDArray[np.uint8]) -> Place:
            if image.shape[0] < HEIGHT and workspace.images():
                workspace.forget("img1")
            return super().encode(image)

    workspace = make_workspace(Forgetful({"dot": crowd(15, 14)}, INFO))
    with pytest.raises(UnknownHandle, match="img1"):
        workspace.segment("img1", ["dot"], tiles="always")
    assert workspace.images() == []
    assert workspace._memory.nbytes == 0  # pyright: ignore[reportPrivateUsage]
