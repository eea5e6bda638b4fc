"""Start values of memory parts, computed from the frozen weights: a tracker that follows before it has learnt.

The mask decoder is frozen, so the memory has to speak its language. What it understands already is a given mask: the
prompt encoder's map of one, added to the features. The start values make the memory say just that: each place looks
for places of earlier frames that look alike (SAM 3's own attention, its keys and queries a whitened projection of the
features) and are near (a constant in the pairs of channels that the rotations turn fast), takes over how much of a mask
lies there, and adds the map that such a mask would have as a prompt. The last norm is fitted so that the decoder gets
features of the size that it knows. All but the projections' directions are least squares on a few clips.

Measured before any learning, with presence taken for granted: J .89 one frame after the given mask, .62 over 23 frames
(random start values: 0).
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from sam3_agent.model.tracking.parts import OWN_PLACE, MemoryParts, grid_sines
from sam3_agent.model.tracking.video_tracker import VideoTracker

APPEARANCE = 48
"""Of the 64 channels of a map; the others hold the mask."""
WHITENING = 0.5
"""Exponent of the variances by which directions of appearance are divided."""
SHARPNESS = 10.0
"""Mean logit of a place with itself; against 784 others."""
NEARNESS = 3.0
"""Logit that the very place has over a far one."""
LOUDNESS = 2.0
"""Deviation of a map's channels; the encoding of its places, which is added to the keys, has .7."""
QUIET = 0.05
"""Scale of parts that have nothing to say yet."""
FAST = range(1, 8)
"""Pairs of channels that turn by more than a tenth of a radian a cell, but for the first, which is too fast."""
MASK_SCALE = 10.0
SEEN = 1e-3
RIDGE = 1e-3
TINY = 1e-6
RARE = 0.05
"""Weight of the places outside a mask, which are most."""


@dataclass(frozen=True, slots=True)
class Examples:
    """N objects, each on a frame."""

    coarse: Tensor
    """(N, C, g, g) coarsest level of the frame."""
    shares: Tensor
    """(N, 16g, 16g) how much of each cell the object covers."""


@torch.no_grad()
def start_memory(tracker: VideoTracker, examples: Examples) -> None:
    """Set the start values of a tracker's memory parts."""
    parts, grid = tracker.parts, examples.coarse.shape[-1]
    encoder = cast(Any, tracker.tracker.tracker_model.prompt_encoder)
    covered = F.adaptive_avg_pool2d(examples.shares[:, None], grid)[:, 0]  # (N, g, g)
    weight = torch.where(covered.flatten() > SEEN, 1.0, RARE)  # (N * g * g,)
    prompted = encoder.mask_embed(F.avg_pool2d(examples.shares[:, None], 4) * 20 - 10).permute(0, 2, 3, 1)
    outside = prompted[covered < SEEN].mean(0)  # (C,)
    masks = parts.memory_encoder.projection.out_channels - APPEARANCE
    directions = _principal(prompted[covered > SEEN] - outside, masks)  # (K, C)
    codes = (prompted - outside) @ directions.T / MASK_SCALE  # (N, g, g, K)
    appearance, center, scale = _appearance(examples.coarse)
    _remember_both(parts, examples.shares, codes.flatten(0, 2), weight, appearance / scale, appearance @ center)
    _look_alike(parts, appearance, center, directions)
    _say_as_prompted(tracker, examples.coarse, codes @ directions * MASK_SCALE, prompted, weight)


def _principal(rows: Tensor, count: int) -> Tensor:
    """(count, C) directions of (N, C) rows that hold most of their squares."""
    _, vectors = _eigen(rows.T @ rows)
    return vectors[:, :count].T


def _eigen(symmetric: Tensor) -> tuple[Tensor, Tensor]:
    """(C,) eigenvalues, largest first, and (C, C) their vectors, as columns, of a (C, C) matrix."""
    values, vectors = cast(Any, torch.linalg).eigh(symmetric)
    return values.flip(0), vectors.flip(1)


def _appearance(coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(A, C) whitening of normed features, their (C,) mean, and the mean deviation of a place before the norm."""
    places = coarse.permute(0, 2, 3, 1).flatten(0, 2)
    normed = F.layer_norm(places, (places.shape[1],))
    center = normed.mean(0)
    values, vectors = _eigen(torch.cov((normed - center).T))
    white: Tensor = (vectors[:, :APPEARANCE] / values[:APPEARANCE].clamp(min=TINY) ** WHITENING).T
    size = ((normed - center) @ white.T).square().sum(1).mean()
    return white * (APPEARANCE / size).sqrt(), center, places.std(1).mean()


def _remember_both(
    parts: MemoryParts, shares: Tensor, codes: Tensor, weight: Tensor, appearance: Tensor, center: Tensor
) -> None:
    """Maps of appearance and mask: the former in the first channels, the latter read off the random convolutions."""
    encoder = parts.memory_encoder
    look, mask = encoder.feature_projection, encoder.mask_downsampler.final_conv
    for module in (look, mask, encoder.projection):
        module.weight.zero_()
        cast(Tensor, module.bias).zero_()
    look.weight[:APPEARANCE, :, 0, 0] = appearance * LOUDNESS
    cast(Tensor, look.bias)[:APPEARANCE] = -center * LOUDNESS
    read: list[Tensor] = []
    for first in range(0, len(shares), 8):
        seen = shares[first : first + 8, None] * 20 - 10
        for layer in encoder.mask_downsampler.layers:
            seen = layer(seen)
        read.append(cast(Tensor, seen).permute(0, 2, 3, 1).flatten(0, 2))
    solved = _least_squares(torch.cat(read), codes, weight)
    count = codes.shape[1]
    mask.weight[-count:, :, 0, 0] = solved[:-1].T
    cast(Tensor, mask.bias)[-count:] = solved[-1]
    encoder.projection.weight[:APPEARANCE, :APPEARANCE, 0, 0] = torch.eye(APPEARANCE)
    encoder.projection.weight[-count:, -count:, 0, 0] = torch.eye(count)


def _least_squares(inputs: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """(I + 1, O) weighted ridge solution; the last row is the constant."""
    wide = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
    square = (wide * weight[:, None]).T @ wide
    square += RIDGE * torch.diag(square.diag().clamp(min=TINY))
    return cast(Any, torch.linalg).solve(square, (wide * weight[:, None]).T @ targets)


def _look_alike(parts: MemoryParts, appearance: Tensor, center: Tensor, directions: Tensor) -> None:
    """Attention from each place to earlier ones that look alike and are near, of which it takes the mask."""
    layer = cast(Any, parts.memory_attention.layers[0])
    for module in (layer.self_attn.o_proj, layer.linear2):
        module.weight.mul_(QUIET)
        module.bias.zero_()
    parts.object_pointer_proj.proj_out.weight.mul_(QUIET)
    look = layer.cross_attn_image
    width, count = appearance.shape[1], len(directions)
    for module in (look.q_proj, look.k_proj, look.v_proj, look.o_proj):
        module.weight.zero_()
        module.bias.zero_()
    half, pairs = width // 2, width // 4
    # channels turn in pairs, the first half with x, the others with y, the slowest last
    slow = [2 * i + axis for axis in (0, half) for i in range(pairs - APPEARANCE // 2, pairs)]
    fast = [2 * i + axis for axis in (0, half) for i in FAST]
    strength = (SHARPNESS * width**0.5 / APPEARANCE) ** 0.5
    look.q_proj.weight[slow] = appearance * strength
    look.q_proj.bias[slow] = -(appearance @ center) * strength
    look.k_proj.weight[slow, :APPEARANCE] = torch.eye(APPEARANCE) * strength / LOUDNESS
    for projection in (look.q_proj, look.k_proj):
        projection.bias[fast] = (NEARNESS * width**0.5 / len(fast)) ** 0.5
    look.v_proj.weight[:count, APPEARANCE:] = torch.eye(count)
    look.o_proj.weight[:, :count] = directions.T * MASK_SCALE


def _say_as_prompted(tracker: VideoTracker, coarse: Tensor, added: Tensor, prompted: Tensor, weight: Tensor) -> None:
    """Fit the last norm, channel by channel, to what the decoder gets where the mask is given as a prompt."""
    heads, width, grid = cast(Any, tracker.tracker.tracker_model), coarse.shape[1], coarse.shape[-1]
    own: Tensor = cast(Any, grid_sines(width, grid, grid, coarse.device)).unflatten(0, (grid, grid))
    plain = coarse.permute(0, 2, 3, 1)
    normed = F.layer_norm(plain + OWN_PLACE * own + added, (width,)).flatten(0, 2)
    nothing = heads.prompt_encoder.no_mask_embed.weight.view(-1)  # the decoder's caller adds it
    wanted = (plain + heads.no_memory_embedding.view(-1) + prompted - nothing).flatten(0, 2)
    share = (weight / weight.sum())[:, None]
    middle, goal = (normed * share).sum(0), (wanted * share).sum(0)
    gain = ((normed - middle) * (wanted - goal) * share).sum(0) / ((normed - middle).square() * share).sum(0)
    norm = tracker.parts.memory_attention.layer_norm
    norm.weight.copy_(gain)
    norm.bias.copy_(goal - gain * middle)
