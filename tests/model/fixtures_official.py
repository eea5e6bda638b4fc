"""Weights in the layout of Meta's own sam3.pt: the inverse of what is tested, written down from Meta's classes."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

RESBLOCKS = "detector.backbone.language_backbone.encoder.transformer.resblocks."
TEXT_LAYERS = r"text_encoder\.text_model\.encoder\.layers\.(\d+)\."
TRUNK = "detector.backbone.vision_backbone.trunk."
LANGUAGE = "detector.backbone.language_backbone."
DECODER = "detector.transformer.decoder."
DETECTOR_RULES = (
    (r"vision_encoder\.backbone\.embeddings\.position_embeddings", f"{TRUNK}pos_embed"),
    (r"vision_encoder\.backbone\.embeddings\.patch_embeddings\.projection\.(.*)", rf"{TRUNK}patch_embed.proj.\1"),
    (r"vision_encoder\.backbone\.layer_norm\.(.*)", rf"{TRUNK}ln_pre.\1"),
    (r"vision_encoder\.backbone\.layers\.(\d+)\.layer_norm(\d)\.(.*)", rf"{TRUNK}blocks.\1.norm\2.\3"),
    (r"vision_encoder\.backbone\.layers\.(\d+)\.attention\.o_proj\.(.*)", rf"{TRUNK}blocks.\1.attn.proj.\2"),
    (r"vision_encoder\.backbone\.layers\.(\d+)\.attention\.(.*)", rf"{TRUNK}blocks.\1.attn.\2"),
    (r"vision_encoder\.backbone\.layers\.(\d+)\.mlp\.(.*)", rf"{TRUNK}blocks.\1.mlp.\2"),
    (r"text_projection\.(.*)", rf"{LANGUAGE}resizer.\1"),
    (r"text_encoder\.text_projection\.weight", f"{LANGUAGE}encoder.text_projection"),
    (r"text_encoder\.text_model\.embeddings\.token_embedding\.(.*)", rf"{LANGUAGE}encoder.token_embedding.\1"),
    (r"text_encoder\.text_model\.embeddings\.position_embedding\.weight", f"{LANGUAGE}encoder.positional_embedding"),
    (r"text_encoder\.text_model\.final_layer_norm\.(.*)", rf"{LANGUAGE}encoder.ln_final.\1"),
    (rf"{TEXT_LAYERS}self_attn\.(.*)", rf"{RESBLOCKS}\1.attn.\2"),
    (rf"{TEXT_LAYERS}layer_norm(\d)\.(.*)", rf"{RESBLOCKS}\1.ln_\2.\3"),
    (rf"{TEXT_LAYERS}mlp\.fc1\.(.*)", rf"{RESBLOCKS}\1.mlp.c_fc.\2"),
    (rf"{TEXT_LAYERS}mlp\.fc2\.(.*)", rf"{RESBLOCKS}\1.mlp.c_proj.\2"),
    (r"geometry_encoder\.layers\.(\d+)\.cross_attn\.(.*)", r"detector.geometry_encoder.encode.\1.cross_attn_image.\2"),
    (r"geometry_encoder\.layers\.(\d+)\.(.*)", r"detector.geometry_encoder.encode.\1.\2"),
    (r"geometry_encoder\.vision_layer_norm\.(.*)", r"detector.geometry_encoder.img_pre_norm.\1"),
    (r"geometry_encoder\.prompt_layer_norm\.(.*)", r"detector.geometry_encoder.norm.\1"),
    (r"geometry_encoder\.output_layer_norm\.(.*)", r"detector.geometry_encoder.encode_norm.\1"),
    (r"detr_encoder\.layers\.(\d+)\.cross_attn\.(.*)", r"detector.transformer.encoder.layers.\1.cross_attn_image.\2"),
    (r"detr_encoder\.(.*)", r"detector.transformer.encoder.\1"),
    (r"detr_decoder\.layers\.(\d+)\.vision_cross_attn_layer_norm\.(.*)", rf"{DECODER}layers.\1.norm1.\2"),
    (r"detr_decoder\.layers\.(\d+)\.text_cross_attn_layer_norm\.(.*)", rf"{DECODER}layers.\1.catext_norm.\2"),
    (r"detr_decoder\.layers\.(\d+)\.self_attn_layer_norm\.(.*)", rf"{DECODER}layers.\1.norm2.\2"),
    (r"detr_decoder\.layers\.(\d+)\.mlp_layer_norm\.(.*)", rf"{DECODER}layers.\1.norm3.\2"),
    (r"detr_decoder\.layers\.(\d+)\.vision_cross_attn\.(.*)", rf"{DECODER}layers.\1.cross_attn.\2"),
    (r"detr_decoder\.layers\.(\d+)\.text_cross_attn\.(.*)", rf"{DECODER}layers.\1.ca_text.\2"),
    (r"detr_decoder\.presence_head\.(.*)", rf"{DECODER}presence_token_head.\1"),
    (r"detr_decoder\.presence_layer_norm\.(.*)", rf"{DECODER}presence_token_out_norm.\1"),
    (r"detr_decoder\.output_layer_norm\.(.*)", rf"{DECODER}norm.\1"),
    (r"detr_decoder\.box_head\.(.*)", rf"{DECODER}bbox_embed.\1"),
    (r"detr_decoder\.box_rpb_embed_(\w)\.(.*)", rf"{DECODER}boxRPB_embed_\1.\2"),
    (r"detr_decoder\.(.*)", rf"{DECODER}\1"),
    (r"dot_product_scoring\.text_mlp_out_norm\.(.*)", r"detector.dot_prod_scoring.prompt_mlp.out_norm.\1"),
    (r"dot_product_scoring\.text_mlp\.(.*)", r"detector.dot_prod_scoring.prompt_mlp.\1"),
    (r"dot_product_scoring\.text_proj\.(.*)", r"detector.dot_prod_scoring.prompt_proj.\1"),
    (r"dot_product_scoring\.query_proj\.(.*)", r"detector.dot_prod_scoring.hs_proj.\1"),
    (r"mask_decoder\.mask_embedder\.(.*)", r"detector.segmentation_head.mask_predictor.mask_embed.\1"),
    (r"mask_decoder\.instance_projection\.(.*)", r"detector.segmentation_head.instance_seg_head.\1"),
    (r"mask_decoder\.semantic_projection\.(.*)", r"detector.segmentation_head.semantic_seg_head.\1"),
    (r"mask_decoder\.prompt_cross_attn\.(.*)", r"detector.segmentation_head.cross_attend_prompt.\1"),
    (r"mask_decoder\.prompt_cross_attn_norm\.(.*)", r"detector.segmentation_head.cross_attn_norm.\1"),
    (r"mask_decoder\.pixel_decoder\.(.*)", r"detector.segmentation_head.pixel_decoder.\1"),
    (r"(.*)", r"detector.\1"),
)  # fmt: skip
"""The first that fits the whole name counts."""
DETECTOR_PARTS = (
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"\.mlp\.fc(\d)\.", r".linear\1."),
    (r"\.o_proj\.", ".out_proj."),
)
"""Within layers of the detector, where the rules above have not said it yet."""
TRACKER_PARTS = (
    (r"^memory_attention\.layer_norm\.", "transformer.encoder.norm."),
    (r"^memory_attention\.", "transformer.encoder."),
    (r"^memory_encoder\.projection\.", "memory_encoder.out_proj."),
    (r"^memory_encoder\.", "maskmem_backbone."),
    (r"mask_downsampler\.final_conv\.", "mask_downsampler.encoder.12."),
    (r"feature_projection\.", "pix_feat_proj."),
    (r"memory_fuser\.", "fuser."),
    (r"depthwise_conv\.", "dwconv."),
    (r"pointwise_conv(\d)\.", r"pwconv\1."),
    (r"\.scale$", ".gamma"),
    (r"shared_embedding\.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
    (r"mask_embed\.conv1\.", "mask_downscaling.0."),
    (r"mask_embed\.layer_norm1\.", "mask_downscaling.1."),
    (r"mask_embed\.conv2\.", "mask_downscaling.3."),
    (r"mask_embed\.layer_norm2\.", "mask_downscaling.4."),
    (r"mask_embed\.conv3\.", "mask_downscaling.6."),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    (r"upscale_conv1\.", "output_upscaling.0."),
    (r"upscale_layer_norm\.", "output_upscaling.1."),
    (r"upscale_conv2\.", "output_upscaling.3."),
    (r"(transformer\.layers\.\d+\.mlp)\.proj_in\.", r"\1.lin1."),
    (r"(transformer\.layers\.\d+\.mlp)\.proj_out\.", r"\1.lin2."),
    (r"(iou_prediction_head|pred_obj_score_head|mlps\.\d+|object_pointer_proj)\.layers\.0\.", r"\1.layers.1."),
    (r"\.proj_in\.", ".layers.0."),
    (r"\.proj_out\.", ".layers.2."),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    (r"^object_pointer_proj\.", "obj_ptr_proj."),
    (r"^temporal_positional_encoding_projection_layer\.", "obj_ptr_tpos_proj."),
    (r"^occlusion_spatial_embedding_parameter", "no_obj_embed_spatial"),
    (r"^memory_temporal_positional_encoding", "maskmem_tpos_enc"),
    (r"^no_memory_embedding", "no_mem_embed"),
    (r"^no_memory_positional_encoding", "no_mem_pos_enc"),
    (r"^no_object_pointer", "no_obj_ptr"),
    (r"layer_norm_final_attn\.", "norm_final_attn."),
    (r"\.layer_norm(\d?)\.", r".norm\1."),
    (r"\.o_proj\.", ".out_proj."),
)  # fmt: skip
NECK = (
    (r"scale_layers\.2\.", "dconv_2x2_1."),
    (r"^0\.scale_layers\.0\.", "0.dconv_2x2_0."),
    (r"scale_layers\.0\.", "dconv_2x2."),
    (r"proj1\.", "conv_1x1."),
    (r"proj2\.", "conv_3x3."),
)
MULTIHEAD = re.compile(
    r"(.*\.(?:attn|self_attn|cross_attn|cross_attn_image|ca_text|cross_attend_prompt))\.q_proj\.(\w+)"
)


def in_official_layout(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the layout of facebook/sam3 as Meta's file has them, with what only that file has."""
    official = {official_name(name): value for name, value in weights.items() if "shared_image_embedding" not in name}
    points = official.pop("tracker.sam_prompt_encoder.point_embed.weight")
    official |= {f"tracker.sam_prompt_encoder.point_embeddings.{i}.weight": row[None] for i, row in enumerate(points)}
    position = official[f"{TRUNK}pos_embed"]
    official[f"{TRUNK}pos_embed"] = torch.cat([torch.full_like(position[:, :1], 7.0), position], dim=1)
    projection = f"{LANGUAGE}encoder.text_projection"
    official[projection] = official[projection].T.contiguous()
    for name in [name for name in official if MULTIHEAD.fullmatch(name) and name.startswith("detector.")]:
        stem, kind = MULTIHEAD.fullmatch(name).groups()  # type: ignore[union-attr]
        fused = torch.cat([official.pop(f"{stem}.{letter}_proj.{kind}") for letter in "qkv"])
        official[f"{stem}.qkv.{kind}" if stem.startswith(TRUNK) else f"{stem}.in_proj_{kind}"] = fused
    official[f"{TRUNK}blocks.0.attn.freqs_cis"] = torch.ones(4, 4, dtype=torch.complex64)
    official["detector.geometry_encoder.points_direct_project.weight"] = torch.ones(2, 2)
    return official


def official_name(name: str) -> str:
    if name.startswith("tracker_neck."):
        return "detector.backbone.vision_backbone.sam2_convs." + _through(
            NECK, name.removeprefix("tracker_neck.fpn_layers.")
        )
    if name.startswith("tracker_model."):
        bare = name.removeprefix("tracker_model.")
        if found := re.match(r"memory_encoder\.mask_downsampler\.layers\.(\d)\.(conv|layer_norm)\.(.*)", bare):
            place = 3 * int(found[1]) + (found[2] == "layer_norm")
            return f"tracker.maskmem_backbone.mask_downsampler.encoder.{place}.{found[3]}"
        return "tracker." + _through(TRACKER_PARTS, bare)
    bare = name.removeprefix("detector_model.")
    if bare.startswith("vision_encoder.neck.fpn_layers."):
        rest = _through(NECK, bare.removeprefix("vision_encoder.neck.fpn_layers."))
        return f"detector.backbone.vision_backbone.convs.{rest}"
    for pattern, replacement in DETECTOR_RULES:
        if found := re.fullmatch(pattern, bare):
            new = found.expand(replacement)
            break
    new = re.sub(r"\.layer(\d)\.", lambda m: f".layers.{int(m[1]) - 1}.", new)
    return new if new.startswith((TRUNK, LANGUAGE)) else _through(DETECTOR_PARTS, new)


def _through(rules: tuple[tuple[str, str], ...], name: str) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
