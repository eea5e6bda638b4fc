"""The loss against independent references."""

import pytest
import torch
from torchvision.ops import generalized_box_iou

from sam3_agent.training.forward import Outputs, to_xyxy
from sam3_agent.training.losses import (
    LossWeights,
    MaskTruth,
    detection_loss,
    dice,
    focal,
    mask_loss,
    match,
    pairwise_giou,
)


def boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    center = torch.rand(count, 2, generator=generator) * 0.6 + 0.2
    return torch.cat([center, torch.rand(count, 2, generator=generator) * 0.3 + 0.05], dim=1)


def outputs_for(logits: torch.Tensor, found: torch.Tensor, presence: torch.Tensor) -> Outputs:
    return Outputs(logits[None], found[None], presence[None], torch.zeros(0))


def test_giou_equals_torchvisions() -> None:
    first, second = to_xyxy(boxes(7, 0)), to_xyxy(boxes(5, 1))
    assert torch.allclose(pairwise_giou(first, second), generalized_box_iou(first, second), atol=1e-5)


def test_matching_finds_the_queries_that_hold_the_targets() -> None:
    found = boxes(9, 2)
    targets = found[[6, 1, 4]]
    matches = match(torch.zeros(2, 9), torch.stack([found, found]), [targets, targets[:0]], LossWeights())
    assert dict(zip(*(m.tolist() for m in matches[0]), strict=True)) == {6: 0, 1: 1, 4: 2}
    assert len(matches[1][0]) == 0


def test_the_loss_of_a_perfect_answer_is_near_zero_and_of_a_wrong_one_is_not() -> None:
    found = boxes(6, 3)
    right = torch.full((1, 6), -8.0)
    right[0, 2] = 8.0
    good, _ = detection_loss(outputs_for(right, found[None], torch.tensor([9.0])), [found[2:3]], LossWeights())
    bad, _ = detection_loss(outputs_for(-right, found[None], torch.tensor([-9.0])), [found[2:3]], LossWeights())
    assert sum(good.values()) < 0.02
    assert sum(bad.values()) > 10


def test_presence_alone_is_punished_where_nothing_should_be_found() -> None:
    silent = torch.full((1, 6), -8.0)
    terms, _ = detection_loss(
        outputs_for(silent, boxes(6, 4)[None], torch.tensor([5.0])), [torch.zeros(0, 4)], LossWeights()
    )
    assert terms["presence"] == pytest.approx(5.0, abs=0.05)
    assert terms["l1"] == 0
    assert terms["giou"] == 0


def test_focal_loss_with_gamma_zero_is_cross_entropy() -> None:
    logits, targets = torch.randn(20), torch.randint(0, 2, (20,)).float()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    assert torch.allclose(focal(logits, targets, alpha=0.5, gamma=0.0), expected)


def test_dice_is_zero_for_the_truth_and_near_one_for_its_opposite() -> None:
    truth = torch.zeros(1, 16, 16)
    truth[0, 4:12, 4:12] = 1
    sure = (truth - 0.5) * 40
    assert dice(sure, truth).item() < 0.01
    assert dice(-sure, truth).item() > 0.98


def test_mask_terms_fall_when_the_matched_query_draws_the_truth() -> None:
    truth = torch.zeros(1, 8, 8)
    truth[0, 2:6, 2:6] = 1
    sure = (truth - 0.5) * 20
    pair = [(torch.tensor([3]), torch.tensor([0]))]
    planes = torch.zeros(1, 5, 8, 8)
    alone = MaskTruth(truth, torch.zeros_like(truth))
    vague = mask_loss(planes, torch.zeros(1, 8, 8), [alone], pair, LossWeights())
    planes = planes.clone()
    planes[0, 3] = sure[0]
    drawn = mask_loss(planes, sure, [alone], pair, LossWeights())
    for name in ("mask_focal", "mask_dice", "semantic"):
        assert drawn[name] < 0.2 * vague[name], name


def test_a_mask_pays_more_for_a_pixel_of_a_sibling_than_for_one_of_the_background() -> None:
    truth, sibling = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    truth[0, 1:4, 1:4] = 1
    sibling[0, 5:7, 5:7] = 1
    leaked = ((truth + sibling) - 0.5)[None] * 8  # (1, 1, 8, 8)
    pair = [(torch.tensor([0]), torch.tensor([0]))]
    known, unknown = MaskTruth(truth, sibling), MaskTruth(truth, torch.zeros_like(sibling))
    terms = [mask_loss(leaked, torch.zeros(1, 8, 8), [t], pair, LossWeights()) for t in (known, unknown)]
    assert terms[0]["mask_focal"] > 2 * terms[1]["mask_focal"]
    assert terms[0]["mask_dice"] == terms[1]["mask_dice"]


def test_on_a_finer_truth_logits_learn_where_within_a_cell_an_object_ends() -> None:
    fine = torch.zeros(1, 16, 16)
    fine[0, :, :7] = 1  # ends three quarters into the fourth of eight cells
    pair = [(torch.tensor([0]), torch.tensor([0]))]
    truth = MaskTruth(fine, torch.zeros_like(fine))
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        terms = mask_loss(logits, torch.zeros(1, 8, 8), [truth], pair, LossWeights())
        (terms["mask_focal"] + terms["mask_dice"]).backward()
        optimizer.step()
    drawn = torch.nn.functional.interpolate(logits.detach(), size=(32, 32), mode="bilinear")[0, 0] > 0
    assert int(drawn[16].sum()) == 14
