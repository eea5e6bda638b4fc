"""The detector between image and masks: DETR encoder, decoder and scores, as functions that compile and capture.

The same arithmetic as `sam3_forward.ground`, but: queries and keys of an encoder layer are one product; keys and values
of the image for all decoder layers are one product each; the bias by box position is written once, in the layout that
attention reads; masks, position tables and sine frequencies are made once. No tensor is made on the host, nothing
waits.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_convert  # pyright: ignore[reportMissingTypeStubs]
from transformers import Sam3Model
from transformers.models.sam3.modeling_sam3 import inverse_sigmoid

from sam3_agent.model.cuda.layers import (
    ACTIVATIONS,
    Affine,
    FeedForward,
    affine,
    attend,
    feed_forward,
    fuse,
    linear,
    mask_bias,
    norm,
    relu_stack,
    stack_of,
)


class EncoderLayer(NamedTuple):
    """Weights of a DETR encoder layer."""

    norm1: Affine
    qk: Affine
    v: Affine
    out: Affine
    norm2: Affine
    prompt_q: Affine
    prompt_kv: Affine
    prompt_out: Affine
    norm3: Affine
    mlp: FeedForward


class DecoderLayer(NamedTuple):
    """Weights of a DETR decoder layer; keys and values of the image are made for all layers together."""

    qk: Affine
    v: Affine
    out: Affine
    norm1: Affine
    prompt_q: Affine
    prompt_kv: Affine
    prompt_out: Affine
    norm2: Affine
    image_q: Affine
    image_out: Affine
    norm3: Affine
    mlp: FeedForward
    norm4: Affine


class Boxes(NamedTuple):
    """Weights and tables by which decoder layers read and move their boxes; all layers share them."""

    point: tuple[Affine, ...]
    across: tuple[Affine, ...]
    down: tuple[Affine, ...]
    head: tuple[Affine, ...]
    norm: Affine
    frequencies: Tensor
    """(C / 2,) of the sine encoding."""
    rows: Tensor
    """(h,) places of the grid's rows, shares of the image."""
    columns: Tensor
    """(w,)"""


def encoder_layer(
    x: Tensor, position: Tensor, tokens: Tensor, bias: Tensor, layer: EncoderLayer, heads: int, activation: str
) -> Tensor:
    """(P, h * w, C) image tokens after they have met each other and the (P, L, C) prompt tokens."""
    y = norm(x, layer.norm1)
    q, k = linear(y + position, layer.qk).chunk(2, -1)
    x = x + linear(attend(q, k, linear(y, layer.v), heads), layer.out)
    q = linear(norm(x, layer.norm2), layer.prompt_q)
    k, v = linear(tokens, layer.prompt_kv).chunk(2, -1)
    x = x + linear(attend(q, k, v, heads, bias), layer.prompt_out)
    y = ACTIVATIONS[activation](linear(norm(x, layer.norm3), layer.mlp.up))
    return x + linear(y, layer.mlp.down)


def decoder_layer(
    x: Tensor,
    boxes: Tensor,
    tokens: Tensor,
    bias: Tensor,
    keys: Tensor,
    values: Tensor,
    layer: DecoderLayer,
    shared: Boxes,
    heads: int,
    activation: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """One round of the queries: their (P, 1 + Q, C) states, (P, Q, C) normed without presence, (P, Q, 4) moved boxes.

    Args:
        x: (P, 1 + Q, C), the presence token first.
        boxes: (P, Q, 4) cxcywh, shares of the image.
        tokens: (P, L, C) of the prompt.
        bias: (P, 1, 1, L) of `mask_bias`.
        keys: (P, h * w, C) of the image, for this layer.
        values: the same.
        layer: weights.
        shared: see `Boxes`.
        heads: of every attention.
        activation: of the perceptron.
    """
    place = functional.pad(relu_stack(sine_encoding(boxes, shared.frequencies), shared.point), (0, 0, 1, 0))
    q, k = linear(x + place, layer.qk).chunk(2, -1)
    x = norm(x + linear(attend(q, k, linear(x, layer.v), heads), layer.out), layer.norm1)
    q = linear(x + place, layer.prompt_q)
    k, v = linear(tokens, layer.prompt_kv).chunk(2, -1)
    x = norm(x + linear(attend(q, k, v, heads, bias), layer.prompt_out), layer.norm2)
    q = linear(x + place, layer.image_q)
    near = box_bias(boxes, shared)
    x = norm(x + linear(attend(q, keys, values, heads, near), layer.image_out), layer.norm3)
    y = ACTIVATIONS[activation](linear(x, layer.mlp.up))
    x = norm(x + linear(y, layer.mlp.down), layer.norm4)
    queries = norm(x[:, 1:], shared.norm)
    moved = (relu_stack(queries, shared.head) + inverse_sigmoid(boxes)).sigmoid()
    return x, queries, moved


def sine_encoding(boxes: Tensor, frequencies: Tensor) -> Tensor:
    """(P, Q, 2 C) of (P, Q, 4) cxcywh boxes: y, x, width, height, each as sines and cosines in turn."""
    angles = (boxes * (2 * math.pi))[..., None] / frequencies  # (P, Q, 4, C / 2)
    waves = torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=-1).flatten(-2)
    return torch.cat([waves[:, :, 1], waves[:, :, 0], waves[:, :, 2], waves[:, :, 3]], dim=-1)


def box_bias(boxes: Tensor, shared: Boxes) -> Tensor:
    """(P, heads, 1 + Q, h * w) what each query adds to its attention to each place; 0 for the presence token."""
    down, across = axis_bias(boxes, shared)
    table = down.permute(0, 3, 1, 2)[..., None] + across.permute(0, 3, 1, 2)[..., None, :]  # (P, heads, Q, h, w)
    return functional.pad(table.flatten(3), (0, 0, 1, 0))


def axis_bias(boxes: Tensor, shared: Boxes) -> tuple[Tensor, Tensor]:
    """(P, Q, h, heads) for rows and (P, Q, w, heads) for columns, whose sum is the bias of a place."""
    x, y, w, h = boxes.unbind(-1)  # (P, Q) each
    x0, y0, x1, y1 = x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h
    return (
        relu_stack(_distances(shared.rows, y0, y1), shared.down),
        relu_stack(_distances(shared.columns, x0, x1), shared.across),
    )


def _distances(places: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """(P, Q, n, 2) signed distances of n places to both sides of a box, on a logarithmic scale."""
    deltas = (places[:, None] - torch.stack([first, last], dim=-1)[:, :, None]) * 8
    return torch.sign(deltas) * torch.log2(torch.abs(deltas) + 1.0) / math.log2(8)


class Detector:
    """DETR encoder, decoder and scores of a prepared model. Lays its projections side by side (`layers.fuse`)."""

    def __init__(self, model: Sam3Model, position: Tensor, grid: tuple[int, int]) -> None:
        """`position` is the (1, h * w, C) encoding of the coarsest level, which has (h, w) = `grid` places."""
        parts = cast(Any, model)
        encoder, self._decoder = parts.detr_encoder, parts.detr_decoder
        self._scoring = parts.dot_product_scoring
        self._position = position
        self._heads = (int(encoder.config.num_attention_heads), int(self._decoder.config.num_attention_heads))
        self._activations = (str(encoder.config.hidden_act), str(self._decoder.config.hidden_act))
        self._encoder_layers = [_encoder_weights(layer) for layer in encoder.layers]
        images = [layer.vision_cross_attn for layer in self._decoder.layers]
        self._keys = fuse(*(attention.k_proj for attention in images))
        self._values = fuse(*(attention.v_proj for attention in images))
        self._decoder_layers = [_decoder_weights(layer) for layer in self._decoder.layers]
        self._boxes = _box_weights(self._decoder, grid)
        self._length = 0
        self._encode: Callable[..., Tensor] = encoder_layer
        self._round: Callable[..., tuple[Tensor, Tensor, Tensor]] = decoder_layer

    def compile(self, length: int, **options: Any) -> None:
        """Have torch compile both layer functions when they first run: for one prompt, then for any number.

        Only for prompts of `length` tokens: a rarer length must not hold a caller up for as long as compiling takes.
        """
        self._length = length
        self._encode = torch.compile(encoder_layer, fullgraph=True, **options)
        self._round = torch.compile(decoder_layer, fullgraph=True, **options)

    def __call__(self, coarse: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Logits, presence, boxes, queries and memory of `sam3_forward.Grounded`.

        Args:
            coarse: (P, C, h, w) coarsest level.
            tokens: (P, L, C) of the prompts.
            mask: (P, L) bool.
        """
        bias = mask_bias(mask, coarse.dtype)
        memory = coarse.flatten(2).transpose(1, 2).contiguous()  # (P, h * w, C)
        encode = self._encode if tokens.shape[1] == self._length else encoder_layer
        for layer in self._encoder_layers:
            memory = encode(memory, self._position, tokens, bias, layer, self._heads[0], self._activations[0])
        x, queries, boxes = self._decoded(memory, tokens, bias)
        decoder = self._decoder
        presence = decoder.presence_head(decoder.presence_layer_norm(x[:, :1]))[:, 0, 0]
        limit = decoder.clamp_presence_logit_max_val
        logits = self._scoring(decoder_hidden_states=queries[None], text_features=tokens, text_mask=mask)[0]
        # The last refinement in float32: in bfloat16 a coordinate near 1 has steps of 4 pixels in 1008.
        refined = inverse_sigmoid(boxes.float()) + relu_stack(queries, self._boxes.head).float()
        return (
            logits.squeeze(-1).float(),
            presence.clamp(-limit, limit).float(),
            box_convert(refined.sigmoid(), "cxcywh", "xyxy"),
            queries,
            memory,
        )

    def _decoded(self, memory: Tensor, tokens: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States and normed queries after all rounds, and the boxes before the last one moved them."""
        decoder, count = self._decoder, len(memory)
        start = torch.cat([decoder.presence_token.weight, decoder.query_embed.weight])
        x = start[None].expand(count, -1, -1)
        boxes = moved = decoder.reference_points.weight.sigmoid()[None].expand(count, -1, -1)
        layers = len(self._decoder_layers)
        keys = linear(memory + self._position, self._keys).chunk(layers, -1)
        values = linear(memory, self._values).chunk(layers, -1)
        queries = x[:, 1:]
        turn = self._round if tokens.shape[1] == self._length else decoder_layer
        for layer, k, v in zip(self._decoder_layers, keys, values, strict=True):
            boxes = moved
            x, queries, moved = turn(
                x, boxes, tokens, bias, k, v, layer, self._boxes, self._heads[1], self._activations[1]
            )
        return x, queries, boxes


def _encoder_weights(layer: Any) -> EncoderLayer:
    own, prompt = layer.self_attn, layer.cross_attn
    return EncoderLayer(
        affine(layer.layer_norm1),
        fuse(own.q_proj, own.k_proj),
        affine(own.v_proj),
        affine(own.o_proj),
        affine(layer.layer_norm2),
        affine(prompt.q_proj),
        fuse(prompt.k_proj, prompt.v_proj),
        affine(prompt.o_proj),
        affine(layer.layer_norm3),
        feed_forward(layer.mlp),
    )


def _decoder_weights(layer: Any) -> DecoderLayer:
    own, prompt, image = layer.self_attn, layer.text_cross_attn, layer.vision_cross_attn
    return DecoderLayer(
        fuse(own.q_proj, own.k_proj),
        affine(own.v_proj),
        affine(own.o_proj),
        affine(layer.self_attn_layer_norm),
        affine(prompt.q_proj),
        fuse(prompt.k_proj, prompt.v_proj),
        affine(prompt.o_proj),
        affine(layer.text_cross_attn_layer_norm),
        affine(image.q_proj),
        affine(image.o_proj),
        affine(layer.vision_cross_attn_layer_norm),
        feed_forward(layer.mlp),
        affine(layer.mlp_layer_norm),
    )


def _box_weights(decoder: Any, grid: tuple[int, int]) -> Boxes:
    weight = decoder.reference_points.weight
    count = decoder.position_encoding.num_position_features
    steps = torch.arange(count, device=weight.device).to(weight.dtype)
    rows, columns = (torch.arange(n, device=weight.device, dtype=weight.dtype) / n for n in grid)
    return Boxes(
        stack_of(decoder.ref_point_head),
        stack_of(decoder.box_rpb_embed_x),
        stack_of(decoder.box_rpb_embed_y),
        stack_of(decoder.box_head),
        affine(decoder.output_layer_norm),
        decoder.position_encoding.temperature ** (2 * torch.div(steps, 2, rounding_mode="floor") / count),
        rows,
        columns,
    )
