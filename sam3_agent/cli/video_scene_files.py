"""One procedural video as files, and the index files of a folder of them (docs/video.md says what is in them)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam3_agent import masks
from sam3_agent.formats.files import replacing, write_json
from sam3_agent.masks import Rle
from sam3_agent.scenes import NOUNS, SUPERCATEGORY, Query
from sam3_agent.scenes.concepts import Concept
from sam3_agent.scenes.video import (
    QUERY_CLIPS,
    ClipObject,
    ClipPlan,
    TruthBuilder,
    VideoTruth,
    evaluation_seed,
    plan_clip,
    temporal_queries_of,
    video_concepts_of,
)
from sam3_agent.video import write_video

VideoFormat = Literal["mp4", "webm", "frames"]
RATE = 12.0
"""Frames a second: 24 frames, the usual length, are two seconds."""
IDS_APART = 100
"""Object k of video v has id `v * IDS_APART + k`; a clip has fewer objects than that."""
CATEGORY_IDS = {noun: number for number, noun in enumerate(NOUNS, 1)}
JPEG_QUALITY = 92


def write_video_scene(seed: int, number: int, frames: int, form: VideoFormat, out: Path) -> dict[str, Any]:
    """Write video `number` of a seed below `out`; returns its entries for the index."""
    plan = plan_clip(evaluation_seed(seed, number), frames, options=QUERY_CLIPS)
    name = f"{number:06d}"
    builder = TruthBuilder(plan.objects, plan.cuts)
    pictures = _drawn(plan, builder)
    if form == "frames":
        for index, picture in enumerate(pictures):
            with replacing(out / "JPEGImages" / name / f"{index:05d}.jpg") as temporary:
                Image.fromarray(picture).save(temporary, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    else:
        with replacing(out / "videos" / f"{name}.{form}") as temporary:
            write_video(temporary, pictures, fps=RATE)
    truth = builder.finish()
    return _entries(number, plan, truth, form)


def _drawn(plan: ClipPlan, builder: TruthBuilder) -> Iterator[NDArray[np.uint8]]:
    """Draw the images one by one; their truth goes to `builder`."""
    for frame in plan.frames():
        builder.add(frame.owner, frame.whole)
        yield frame.image


def _entries(number: int, plan: ClipPlan, truth: VideoTruth, form: VideoFormat) -> dict[str, Any]:
    """Collect what the index files say of one video."""
    video_id, name = number + 1, f"{number:06d}"
    queries = temporal_queries_of(truth, np.random.default_rng([plan.seed, 1]))
    concepts = video_concepts_of(truth, np.random.default_rng([plan.seed, 2]))
    seen = [thing for thing in truth.objects if truth.areas[:, thing.id - 1].any()]
    video = {
        "id": video_id,
        "video_name": name,
        "file_names": [f"{name}/{index:05d}.jpg" for index in range(plan.length)],
        "height": plan.height,
        "width": plan.width,
        "length": plan.length,
        "fps": RATE,
        "seed": plan.seed,
        "cuts": list(plan.cuts),
    }
    if form != "frames":
        video["video_file"] = f"videos/{name}.{form}"
    return {
        "video": video,
        "objects": [_object_entry(video_id, thing, truth) for thing in seen],
        "queries": [_query_entry(video_id, query) for query in queries],
        "concepts": [_concept_entry(video_id, concept) for concept in concepts],
        "counted": {"images": 1, "objects": len(seen), "queries": len(queries)},
    }


def _object_entry(video_id: int, thing: ClipObject, truth: VideoTruth) -> dict[str, Any]:
    """Make a YTVIS annotation with what is known of the object besides."""
    masklet = truth.masklets[thing.id - 1]
    twin = None if thing.twin_of is None else video_id * IDS_APART + thing.twin_of
    return {
        "id": video_id * IDS_APART + thing.id,
        "video_id": video_id,
        "category_id": CATEGORY_IDS[thing.noun],
        **_masklet_entry(masklet),
        "iscrowd": 0,
        "height": truth.height,
        "width": truth.width,
        "length": truth.length,
        "attributes": {
            "noun": thing.noun,
            "pattern": thing.pattern,
            "colors": _runs(thing.colors),
            "role": thing.role,
            "twin_of": twin,
            "visible_fractions": [round(share, 4) for share in truth.shares[:, thing.id - 1].tolist()],
        },
    }


def _masklet_entry(masklet: Sequence[Rle | None]) -> dict[str, Any]:
    """Segmentations, xywh boxes and areas, one a frame; null where nothing is seen."""
    boxes = [None if rle is None else masks.box(rle) for rle in masklet]
    return {
        "segmentations": [None if rle is None else rle.to_json() for rle in masklet],
        "bboxes": [None if box is None else [box[0], box[1], box[2] - box[0], box[3] - box[1]] for box in boxes],
        "areas": [None if rle is None else masks.area(rle) for rle in masklet],
    }


def _runs(colors: Sequence[str]) -> list[dict[str, Any]]:
    """List each color with the frame from which on it holds."""
    starts = [index for index, color in enumerate(colors) if index == 0 or color != colors[index - 1]]
    return [{"from": index, "color": colors[index]} for index in starts]


def _query_entry(video_id: int, query: Query) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "text": query.text,
        "kind": query.kind,
        "is_sentence": query.is_sentence,
        "annotation_ids": [video_id * IDS_APART + target for target in query.target_ids],
    }


def _concept_entry(video_id: int, concept: Concept) -> dict[str, Any]:
    return {
        "video_id": video_id,
        "phrase": concept.phrase,
        "kind": concept.kind,
        "annotation_ids": [video_id * IDS_APART + target for target in concept.target_ids],
    }


def write_video_index(out: Path, parts: Sequence[dict[str, Any]]) -> None:
    """Write the index files, each atomically: YTVIS, SA-Co/VEval, MeViS, and the queries with their kinds."""
    info = {"description": "procedural videos with exact truth", "contributor": "sam3-agent scenes --video"}
    videos = [part["video"] for part in parts]
    annotations = [entry for part in parts for entry in part["objects"]]
    categories = [{"id": i, "name": noun, "supercategory": SUPERCATEGORY[noun]} for noun, i in CATEGORY_IDS.items()]
    ytvis = {"info": info, "videos": videos, "annotations": annotations, "categories": categories}
    write_json(out / "instances.json", ytvis)
    write_json(out / "concepts.json", {"info": info, **_by_phrases(parts)})
    queries = [entry for part in parts for entry in part["queries"]]
    write_json(out / "queries.json", [{"id": number, **entry} for number, entry in enumerate(queries, 1)])
    write_json(
        out / "meta_expressions.json", {"videos": {part["video"]["video_name"]: _expressions(part) for part in parts}}
    )
    write_json(out / "mask_dict.json", {str(entry["id"]): entry["segmentations"] for entry in annotations})


def _by_phrases(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Regroup for SA-Co/VEval: phrases, absent ones too, are categories, with an annotation an object."""
    phrases = sorted({entry["phrase"] for part in parts for entry in part["concepts"]})
    numbers = {phrase: number for number, phrase in enumerate(phrases, 1)}
    annotations: list[dict[str, Any]] = []
    pairs: list[dict[str, Any]] = []
    for part in parts:
        objects = {entry["id"]: entry for entry in part["objects"]}
        for concept in part["concepts"]:
            told = {"category_id": numbers[concept["phrase"]], "noun_phrase": concept["phrase"]}
            masklets = concept["annotation_ids"]
            pair = {"id": len(pairs) + 1, "video_id": concept["video_id"], **told, "num_masklets": len(masklets)}
            pairs.append(pair)
            for number in masklets:
                kept = {key: value for key, value in objects[number].items() if key != "attributes"}
                annotations.append({**kept, **told, "id": len(annotations) + 1, "object_id": number})
    return {
        "videos": [part["video"] for part in parts],
        "annotations": annotations,
        "categories": [{"id": number, "name": phrase} for phrase, number in numbers.items()],
        "video_np_pairs": pairs,
    }


def _expressions(part: dict[str, Any]) -> dict[str, Any]:
    """List for MeViS: the expressions of one video with the keys of their masks in mask_dict.json."""
    video = part["video"]
    expressions = {
        str(number): {
            "exp": query["text"],
            "obj_id": [target % IDS_APART for target in query["annotation_ids"]],
            "anno_id": query["annotation_ids"],
            "kind": query["kind"],
        }
        for number, query in enumerate(part["queries"])
    }
    frames = [f"{index:05d}" for index in range(video["length"])]
    return {"expressions": expressions, "vid_id": video["id"], "frames": frames}
