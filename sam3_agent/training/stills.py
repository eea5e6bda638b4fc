"""Training scenes whose objects are cut off by the border or half hidden: stills of clips, and parts of scenes.

`generate_scene` shows at least .45 of each object and hardly cuts any. A detector that saw nothing else found .92 of
what videos show whole, .66 of what they show to .7-.95 and .50 of what they show to .45-.7 (40 clips, two stills of
each).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sam3_agent import masks
from sam3_agent.scenes.options import SceneOptions
from sam3_agent.scenes.scene import Scene, SceneObject
from sam3_agent.scenes.video import FIRST_TRAINING_SEED, ClipOptions, ClipPlan, plan_clip

FRAMES = 24
"""Of the clips that stills are of: whatever happens in them has time to."""
TRIES = 6
"""Stills of a clip, and windows of a scene, until one shows no sliver."""
LEAST_SHARE = 0.12
"""Of a silhouette, and LEAST_PART of the image: with less of it to be seen nobody can say what it is, so that such a
still teaches nothing about it, neither that it is there nor that it is not."""
LEAST_PART = 40 / 224**2
WINDOW = (0.45, 0.9)
"""Sides of a part in sides of the scene: from nearly half, as of four tiles that overlap, to a little less than all."""


def draw_still(limits: SceneOptions, rng: np.random.Generator) -> Scene | None:
    """Draw one frame of a clip within the limits of a scene; None where every one that was tried shows a sliver."""
    options = ClipOptions(
        min_side=limits.min_side,
        max_side=limits.max_side,
        excluded_pairs=limits.excluded_pairs,
        plain_objects=limits.plain_objects,
        alike=0.5,
        recolors=0.2,
    )
    plan = plan_clip(int(rng.integers(FIRST_TRAINING_SEED, 1 << 62)), FRAMES, options=options)
    for _ in range(TRIES):
        scene = still_of(plan, int(rng.integers(FRAMES)))
        if scene.objects and not _slivers(scene):
            return scene
    return None


def still_of(plan: ClipPlan, index: int) -> Scene:
    """Frame of a clip as a scene: every object of which a pixel is seen, in the color that it has there."""
    frame = plan.frame(index)
    depths = {number: len(plan.stage.order) - 1 - place for place, number in enumerate(plan.stage.order)}
    objects: list[SceneObject] = []
    for number, thing in enumerate(plan.objects):
        mask = frame.owner == thing.id
        area = int(np.count_nonzero(mask))
        if area:
            objects.append(
                SceneObject(
                    id=thing.id, noun=thing.noun, color=thing.colors[index], pattern=thing.pattern,
                    supercategory=thing.supercategory, mask=mask, box=masks.box(masks.encode(mask)), area=area,
                    visible_fraction=area / int(frame.whole[number]), depth=depths[number],
                )
            )  # fmt: skip
    return Scene(plan.seed, plan.width, plan.height, frame.image, tuple(objects))


def draw_part(scene: Scene, rng: np.random.Generator) -> Scene | None:
    """Draw a window of a scene, as a tile sees it; None where every one that was tried shows a sliver or nothing."""
    for _ in range(TRIES):
        width, height = (round(side * rng.uniform(*WINDOW)) for side in (scene.width, scene.height))
        left, top = int(rng.integers(scene.width - width + 1)), int(rng.integers(scene.height - height + 1))
        part = part_of(scene, (left, top, left + width, top + height))
        if part.objects and not _slivers(part):
            return part
    return None


def part_of(scene: Scene, window: tuple[int, int, int, int]) -> Scene:
    """Window, xyxy pixels, of a scene as a scene of its own."""
    left, top, right, bottom = window
    image = np.ascontiguousarray(scene.image[top:bottom, left:right])
    return Scene(scene.seed, right - left, bottom - top, image, tuple(_within(scene.objects, window)))


def _within(objects: Sequence[SceneObject], window: tuple[int, int, int, int]) -> list[SceneObject]:
    left, top, right, bottom = window
    found: list[SceneObject] = []
    for thing in objects:
        mask = np.ascontiguousarray(thing.mask[top:bottom, left:right])
        area = int(np.count_nonzero(mask))
        if area:
            share = thing.visible_fraction * area / thing.area
            found.append(
                replace(thing, mask=mask, box=masks.box(masks.encode(mask)), area=area, visible_fraction=share)
            )
    return found


def _slivers(scene: Scene) -> bool:
    least = LEAST_PART * scene.width * scene.height
    return any(each.visible_fraction < LEAST_SHARE or each.area < least for each in scene.objects)
