"""One scene as files, and as the part that the index is made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.formats.files import replacing
from sam3_agent.formats.reasonseg import write_record
from sam3_agent.scenes import Concept, Query, Scene, SceneObject, concepts_of, generate_scene, queries_of

SEEDS_APART = 1_000_000
"""Scene n of seed S is `generate_scene(S * SEEDS_APART + n)`, as in `sam3-eval run scenes:S`."""
IDS_APART = 100
"""Object k of image i has annotation id `i * IDS_APART + k`; a scene has fewer objects than that."""


def draw(seed: int, number: int) -> tuple[Scene, list[Query]]:
    """Scene `number` of a seed with its queries, one of each kind that it has."""
    scene = generate_scene(seed * SEEDS_APART + number)
    return scene, queries_of(scene, np.random.default_rng([seed, number]), limit_per_kind=1)


def write_coco_scene(seed: int, number: int, out: Path) -> dict[str, Any]:
    """Write images/NUMBER.jpg; returns the entries of this scene for the index."""
    scene, queries = draw(seed, number)
    image_id = number + 1
    name = f"{number:06d}.jpg"
    with replacing(out / "images" / name) as temporary:
        Image.fromarray(scene.image).save(temporary, "JPEG", quality=92, subsampling=0)
    concepts = concepts_of(scene, np.random.default_rng([seed, number]))
    return {
        "image": {"id": image_id, "file_name": name, "width": scene.width, "height": scene.height, "seed": scene.seed},
        "objects": [_object_entry(image_id, thing) for thing in scene.objects],
        "queries": [_query_entry(image_id, query) for query in queries],
        "concepts": [_concept_entry(image_id, concept) for concept in concepts],
        "counted": {"images": 1, "objects": len(scene.objects), "queries": len(queries)},
    }


def write_reasonseg_scene(seed: int, number: int, out: Path) -> dict[str, Any]:
    """Write NUMBER-qK.jpg and .json for every query of the scene (the format has one text an image)."""
    scene, queries = draw(seed, number)
    image = Image.fromarray(scene.image)
    for index, query in enumerate(queries):
        write_record(
            out,
            f"{number:06d}-q{index}",
            image,
            query.text,
            target_mask(scene, query.target_ids),
            is_sentence=query.is_sentence,
            extra={"kind": query.kind, "seed": scene.seed},
        )
    return {"counted": {"images": len(queries), "objects": len(scene.objects), "queries": len(queries)}}


def target_mask(scene: Scene, target_ids: Sequence[int]) -> NDArray[np.bool_]:
    """(H, W) union of the targets' visible pixels; empty when nothing is meant."""
    union = np.zeros((scene.height, scene.width), dtype=np.bool_)
    for thing in scene.objects:
        if thing.id in target_ids:
            union |= thing.mask
    return union


def _object_entry(image_id: int, thing: SceneObject) -> dict[str, Any]:
    return {
        "id": image_id * IDS_APART + thing.id,
        "noun": thing.noun,
        "rle": masks.encode(thing.mask).to_json(),
        "color": thing.color,
        "pattern": thing.pattern,
        "visible_fraction": round(thing.visible_fraction, 4),
        "depth": thing.depth,
    }


def _query_entry(image_id: int, query: Query) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "text": query.text,
        "kind": query.kind,
        "is_sentence": query.is_sentence,
        "annotation_ids": _annotation_ids(image_id, query.target_ids),
    }


def _concept_entry(image_id: int, concept: Concept) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "phrase": concept.phrase,
        "kind": concept.kind,
        "annotation_ids": _annotation_ids(image_id, concept.target_ids),
    }


def _annotation_ids(image_id: int, target_ids: Sequence[int]) -> list[int]:
    return [image_id * IDS_APART + target for target in target_ids]
