"""Meta's own checkpoint file, `sam3.pt`: read without running code from it, renamed to the layout of facebook/sam3.

The file is a pickle. It is read with `weights_only=True`, so that only tensors come out of it; no other way is tried.
Names of both layouts are facts of the two public models (facebookresearch/sam3 and transformers' Sam3VideoModel). The
renamed weights are kept in a folder of the user's cache, so that a second start reads them like any other checkpoint.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor
from transformers import Sam3VideoConfig

from sam3_agent.errors import ModelUnavailable
from sam3_agent.model.clip_tokenizer import write_tokenizer

SUFFIXES = (".pt", ".pth")

Fragments = Mapping[str, str]

_LAYER: Fragments = {
    "cross_attn_image.": "cross_attn.",
    "out_proj.": "o_proj.",
    "linear1.": "mlp.fc1.",
    "linear2.": "mlp.fc2.",
    ".norm1.": ".layer_norm1.",
    ".norm2.": ".layer_norm2.",
    ".norm3.": ".layer_norm3.",
}
"""Within a transformer layer of the detector."""
_COUNTED: Fragments = {"layers.0.": "layer1.", "layers.1.": "layer2.", "layers.2.": "layer3."}
"""Within a small MLP of the detector."""
_MLP: Fragments = {"layers.0.": "proj_in.", "layers.1.": "layers.0.", "layers.2.": "proj_out."}
"""Within a small MLP of the tracker."""
_NECK: Fragments = {
    "dconv_2x2_0.": "scale_layers.0.",
    "dconv_2x2_1.": "scale_layers.2.",
    "dconv_2x2.": "scale_layers.0.",
    "conv_1x1.": "proj1.",
    "conv_3x3.": "proj2.",
}


@dataclass(frozen=True, slots=True)
class Subtree:
    """A part of the network: its prefix in both layouts, and the fragments that differ below it, applied in order."""

    official: str
    ours: str
    fragments: Fragments


DETECTOR = (
    Subtree(
        "backbone.vision_backbone.trunk.",
        "vision_encoder.backbone.",
        {
            "pos_embed": "embeddings.position_embeddings",
            "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
            "ln_pre.": "layer_norm.",
            "blocks.": "layers.",
            ".norm1.": ".layer_norm1.",
            ".norm2.": ".layer_norm2.",
            ".attn.proj.": ".attention.o_proj.",
            ".attn.": ".attention.",
        },
    ),
    Subtree("backbone.vision_backbone.convs.", "vision_encoder.neck.fpn_layers.", _NECK),
    Subtree(
        "backbone.language_backbone.encoder.",
        "text_encoder.",
        {
            "token_embedding.": "text_model.embeddings.token_embedding.",
            "positional_embedding": "text_model.embeddings.position_embedding.weight",
            "ln_final.": "text_model.final_layer_norm.",
            "text_projection": "text_projection.weight",
            "transformer.resblocks.": "text_model.encoder.layers.",
            ".attn.": ".self_attn.",
            ".ln_1.": ".layer_norm1.",
            ".ln_2.": ".layer_norm2.",
            ".c_fc.": ".fc1.",
            ".c_proj.": ".fc2.",
        },
    ),
    Subtree("backbone.language_backbone.resizer.", "text_projection.", {}),
    Subtree("geometry_encoder.encode.", "geometry_encoder.layers.", _LAYER),
    Subtree("geometry_encoder.img_pre_norm.", "geometry_encoder.vision_layer_norm.", {}),
    Subtree("geometry_encoder.norm.", "geometry_encoder.prompt_layer_norm.", {}),
    Subtree("geometry_encoder.encode_norm.", "geometry_encoder.output_layer_norm.", {}),
    Subtree("geometry_encoder.", "geometry_encoder.", {}),
    Subtree("transformer.encoder.", "detr_encoder.", _LAYER),
    Subtree(
        "transformer.decoder.layers.",
        "detr_decoder.layers.",
        {
            "cross_attn.": "vision_cross_attn.",
            "ca_text.": "text_cross_attn.",
            "out_proj.": "o_proj.",
            "linear1.": "mlp.fc1.",
            "linear2.": "mlp.fc2.",
            ".norm1.": ".vision_cross_attn_layer_norm.",
            ".catext_norm.": ".text_cross_attn_layer_norm.",
            ".norm2.": ".self_attn_layer_norm.",
            ".norm3.": ".mlp_layer_norm.",
        },
    ),
    Subtree("transformer.decoder.presence_token_head.", "detr_decoder.presence_head.", _COUNTED),
    Subtree("transformer.decoder.presence_token_out_norm.", "detr_decoder.presence_layer_norm.", {}),
    Subtree("transformer.decoder.norm.", "detr_decoder.output_layer_norm.", {}),
    Subtree("transformer.decoder.bbox_embed.", "detr_decoder.box_head.", _COUNTED),
    Subtree("transformer.decoder.ref_point_head.", "detr_decoder.ref_point_head.", _COUNTED),
    Subtree("transformer.decoder.boxRPB_embed_x.", "detr_decoder.box_rpb_embed_x.", _COUNTED),
    Subtree("transformer.decoder.boxRPB_embed_y.", "detr_decoder.box_rpb_embed_y.", _COUNTED),
    Subtree("transformer.decoder.", "detr_decoder.", {}),
    Subtree(
        "dot_prod_scoring.",
        "dot_product_scoring.",
        {
            "prompt_mlp.out_norm.": "text_mlp_out_norm.",
            "prompt_mlp.": "text_mlp.",
            "prompt_proj.": "text_proj.",
            "hs_proj.": "query_proj.",
            **_COUNTED,
        },
    ),
    Subtree("segmentation_head.mask_predictor.mask_embed.", "mask_decoder.mask_embedder.", {}),
    Subtree(
        "segmentation_head.",
        "mask_decoder.",
        {
            "instance_seg_head.": "instance_projection.",
            "semantic_seg_head.": "semantic_projection.",
            "cross_attend_prompt.": "prompt_cross_attn.",
            "cross_attn_norm.": "prompt_cross_attn_norm.",
            "out_proj.": "o_proj.",
        },
    ),
)
"""The longest prefix that fits counts."""

TRACKER_NECK = Subtree("backbone.vision_backbone.sam2_convs.", "tracker_neck.fpn_layers.", _NECK)

_DOWNSAMPLER = {
    f"mask_downsampler.encoder.{3 * layer + place}.": f"mask_downsampler.layers.{layer}.{kind}."
    for layer in range(4)
    for place, kind in ((0, "conv"), (1, "layer_norm"))
}

TRACKER = (
    Subtree(
        "transformer.encoder.",
        "memory_attention.",
        {
            "out_proj.": "o_proj.",
            ".norm1.": ".layer_norm1.",
            ".norm2.": ".layer_norm2.",
            ".norm3.": ".layer_norm3.",
        },
    ),
    Subtree("transformer.encoder.norm.", "memory_attention.layer_norm.", {}),
    Subtree(
        "maskmem_backbone.",
        "memory_encoder.",
        {
            **_DOWNSAMPLER,
            "mask_downsampler.encoder.12.": "mask_downsampler.final_conv.",
            "pix_feat_proj.": "feature_projection.",
            "fuser.": "memory_fuser.",
            "dwconv.": "depthwise_conv.",
            "pwconv1.": "pointwise_conv1.",
            "pwconv2.": "pointwise_conv2.",
            ".norm.": ".layer_norm.",
            ".gamma": ".scale",
            "out_proj.": "projection.",
        },
    ),
    Subtree(
        "sam_prompt_encoder.",
        "prompt_encoder.",
        {
            "pe_layer.positional_encoding_gaussian_matrix": "shared_embedding.positional_embedding",
            "mask_downscaling.0.": "mask_embed.conv1.",
            "mask_downscaling.1.": "mask_embed.layer_norm1.",
            "mask_downscaling.3.": "mask_embed.conv2.",
            "mask_downscaling.4.": "mask_embed.layer_norm2.",
            "mask_downscaling.6.": "mask_embed.conv3.",
        },
    ),
    Subtree(
        "sam_mask_decoder.",
        "mask_decoder.",
        {
            "output_upscaling.0.": "upscale_conv1.",
            "output_upscaling.1.": "upscale_layer_norm.",
            "output_upscaling.3.": "upscale_conv2.",
        },
    ),
    Subtree(
        "sam_mask_decoder.transformer.",
        "mask_decoder.transformer.",
        {
            "mlp.lin1.": "mlp.proj_in.",
            "mlp.lin2.": "mlp.proj_out.",
            "mlp.layers.0.": "mlp.proj_in.",
            "mlp.layers.1.": "mlp.proj_out.",
            "norm_final_attn.": "layer_norm_final_attn.",
            "out_proj.": "o_proj.",
            **{f".norm{n}.": f".layer_norm{n}." for n in range(1, 5)},
        },
    ),
    Subtree("sam_mask_decoder.iou_prediction_head.", "mask_decoder.iou_prediction_head.", _MLP),
    Subtree("sam_mask_decoder.pred_obj_score_head.", "mask_decoder.pred_obj_score_head.", _MLP),
    Subtree("sam_mask_decoder.output_hypernetworks_mlps.", "mask_decoder.output_hypernetworks_mlps.", _MLP),
    Subtree("obj_ptr_proj.", "object_pointer_proj.", _MLP),
    Subtree("obj_ptr_tpos_proj.", "temporal_positional_encoding_projection_layer.", {}),
    Subtree("no_obj_embed_spatial", "occlusion_spatial_embedding_parameter", {}),
    Subtree("maskmem_tpos_enc", "memory_temporal_positional_encoding", {}),
    Subtree("no_mem_embed", "no_memory_embedding", {}),
    Subtree("no_mem_pos_enc", "no_memory_positional_encoding", {}),
    Subtree("no_obj_ptr", "no_object_pointer", {}),
    Subtree("mask_downsample.", "mask_downsample.", {}),
)

_DETECTOR_PREFIXES = ("detector.", "sam3_model.")
_TRACKER_PREFIXES = ("tracker.", "sam2_predictor.model.")
"""In the released file, and in Meta's older ones."""
_COMPUTED = ("freqs_cis", "attn_mask")
"""Tables that a file may hold and a model makes for itself."""
_UNUSED = ("geometry_encoder.points_", "geometry_encoder.mask_encoder.", "transformer.decoder.instance_")
"""Parts of Meta's network that no prompt of this project reaches."""
_POINT = re.compile(r"(tracker_model\.prompt_encoder\.)point_embeddings\.(\d)\.weight")
_QKV = re.compile(r"(.*)\.(?:qkv\.|in_proj_)(weight|bias)")


def is_official(path: Path) -> bool:
    """Whether a path is a file that could be Meta's; the content decides when it is read."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def converted(path: Path) -> Path:
    """The folder with the weights of Meta's file in the layout of facebook/sam3, made where it is not there yet.

    A config.json beside the file is used; else the file is taken for the full-size model.

    Raises:
        ModelUnavailable: the file holds anything but tensors, is not SAM 3, or the cache cannot be written.
    """
    folder = _cache() / _digest(path)
    if (folder / "config.json").is_file():
        return folder
    weights = rename(read_tensors(path))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder.parent) as scratch:
            made = Path(scratch) / "model"
            made.mkdir()
            save_file(weights, made / "model.safetensors")
            write_tokenizer(path.parent, made)
            _write_config(path.parent, made)
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    except OSError as error:
        raise ModelUnavailable(
            f"the weights of '{path}' cannot be kept in '{folder.parent}' ({error.strerror})"
        ) from error
    return folder


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint file by Meta's names; never runs code that it may hold.

    Raises:
        ModelUnavailable: it cannot be read, or holds more than tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # about what the restricted reader may not understand: it then says so itself
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        raise ModelUnavailable(
            f"'{path}' is no checkpoint that holds only tensors, and nothing else is read from such a file"
        ) from error
    if isinstance(content, dict) and isinstance(cast(dict[str, Any], content).get("model"), dict):
        content = cast(dict[str, Any], content)["model"]  # Meta's trainer writes the optimizer beside it
    if not isinstance(content, dict):
        raise ModelUnavailable(f"'{path}' holds a {type(content).__name__}, not the tensors of a model")
    return {str(name): value for name, value in cast(dict[Any, Any], content).items() if isinstance(value, Tensor)}


def rename(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights by the names of facebook/sam3; what that model does not have is left out.

    Raises:
        ModelUnavailable: these are not the weights of a SAM 3.
    """
    found: dict[str, Tensor] = {}
    points: dict[int, Tensor] = {}
    for name, value in official.items():
        new = new_name(name)
        if new is None:
            continue
        if (point := _POINT.fullmatch(new)) is not None:
            points[int(point[2])] = value
        else:
            found |= _converted(new, value)
    if not any(name.startswith("detector_model.vision_encoder.backbone.layers.") for name in found):
        raise ModelUnavailable("the file holds no SAM 3: none of its tensors is called as Meta's are")
    if points:
        found["tracker_model.prompt_encoder.point_embed.weight"] = torch.cat([points[i] for i in sorted(points)])
    shared = "tracker_model.prompt_encoder.shared_embedding.positional_embedding"
    if shared in found:
        found["tracker_model.shared_image_embedding.positional_embedding"] = found[shared].clone()
    if not any(name.startswith("tracker_neck.") for name in found):
        # without its neck the tracker half is of no use, as in files of later versions: phrases and boxes remain
        found = {name: value for name, value in found.items() if not name.startswith("tracker_model.")}
    return {name: value.contiguous() for name, value in found.items()}


def new_name(official: str) -> str | None:
    """The name in the layout of facebook/sam3, fused projections still fused; None for what that has no place for."""
    tracker, bare = _without(official, _TRACKER_PREFIXES)
    if tracker:
        return _named("tracker_model.", TRACKER, bare)
    _, bare = _without(official, _DETECTOR_PREFIXES)
    if bare.endswith(_COMPUTED) or bare.startswith(_UNUSED):
        return None
    return _named("", (TRACKER_NECK,), bare) or _named("detector_model.", DETECTOR, bare)


def _without(name: str, prefixes: Iterable[str]) -> tuple[bool, str]:
    for prefix in prefixes:
        if name.startswith(prefix):
            return True, name.removeprefix(prefix)
    return False, name


def _named(half: str, subtrees: Iterable[Subtree], bare: str) -> str | None:
    fitting = [subtree for subtree in subtrees if bare.startswith(subtree.official)]
    if not fitting:
        return None
    subtree = max(fitting, key=lambda one: len(one.official))
    rest = bare.removeprefix(subtree.official)
    if _MLP is subtree.fragments or _COUNTED is subtree.fragments:  # one step each: "layers.1." becomes "layers.0."
        return half + subtree.ours + _once(rest, subtree.fragments)
    for old, new in subtree.fragments.items():
        rest = _replaced(rest, old, new)
    return half + subtree.ours + rest


def _once(rest: str, fragments: Fragments) -> str:
    for old, new in fragments.items():
        if old in rest:
            return rest.replace(old, new)
    return rest


def _replaced(rest: str, old: str, new: str) -> str:
    """Replace a fragment where a part of the name begins: "cross_attn." is not in "vision_cross_attn."."""
    return re.sub(rf"(?<![a-z0-9_]){re.escape(old)}" if old[0] != "." else re.escape(old), new, rest)


def _converted(name: str, value: Tensor) -> dict[str, Tensor]:
    """One tensor as transformers keeps it: projections apart, no class position, text projection transposed."""
    if name.endswith("embeddings.position_embeddings"):
        return {name: value[:, 1:] if (value.shape[1] - 1) ** 0.5 % 1 == 0 else value}
    if name.endswith("text_encoder.text_projection.weight"):
        return {name: value.T}
    if (fused := _QKV.fullmatch(name)) is not None:
        parts = zip("qkv", value.chunk(3), strict=True)
        return {f"{fused[1]}.{letter}_proj.{fused[2]}": part for letter, part in parts}
    return {name: value}


def _write_config(source: Path, target: Path) -> None:
    beside = source / "config.json"
    text = (
        beside.read_text(encoding="utf-8") if beside.is_file() else json.dumps(cast(Any, Sam3VideoConfig)().to_dict())
    )
    (target / "config.json").write_text(text, encoding="utf-8")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sam3-agent" / "checkpoints"


def _digest(path: Path) -> str:
    """Of the file's place, size and time, and of the configuration beside it; to read 3.4 GB for it would take long."""
    status = path.stat()
    beside = path.parent / "config.json"
    config = beside.read_bytes() if beside.is_file() else b""
    said = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0".encode() + config
    return hashlib.sha256(said).hexdigest()[:16]
