"""`python -m benchmarks.tiling`: recall of small objects with and without tiles, duplicates at their seams."""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from benchmarks.tiling.figures import Figures, figures_of, total
from benchmarks.tiling.scene import BigScene, crosses_every_seam, draw_crowd, draw_seams
from benchmarks.tiling.truth_segmenter import TruthSegmenter, map_picture
from sam3_agent.model.sam3 import Sam3
from sam3_agent.types import ModelInfo
from sam3_agent.workspace import TileMode, Workspace

KINDS: dict[str, Callable[[int], BigScene]] = {"crowd": draw_crowd, "seams": draw_seams}
RECALL_RATIO, DUPLICATES = 3.0, 0.02
"""The bars: recall with tiles against without, in crowds; share of masks that count an object again, at seams."""
TRUTH = "truth"
TRUTH_INFO = ModelInfo("truth", "cpu", "float32", input_side=160, queries=48, patch=8)
TRUTH_LEAST_SIDE, TRUTH_CELLS = 8.0, 40
"""The model that knows the truth sees no smaller objects and draws no finer masks than the tiny one could."""


def main() -> None:
    """Look at every scene without tiles, where they pay, and with them; print a table, optionally write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiling", description=__doc__)
    parser.add_argument(
        "--model", default="tiny", help="tiny, facebook/sam3, a folder, or truth: no model but the truth"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scenes", type=int, default=5, help="of each kind")
    parser.add_argument("--modes", nargs="+", default=list(get_args(TileMode)), choices=get_args(TileMode))
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    segmenter = None if options.model == TRUTH else Sam3.load(options.model, device=options.device)
    rows: dict[tuple[str, TileMode], Figures] = {}
    for kind, draw in KINDS.items():
        scenes = [draw(seed) for seed in range(options.scenes)]
        if kind == "seams":
            assert all(crosses_every_seam(scene) for scene in scenes), "a seam is crossed by no large object"
        for mode in options.modes:
            rows[kind, mode] = total(_look(segmenter, scene, mode) for scene in scenes)
            print(f"{kind} {mode}: {rows[kind, mode].to_json()}", flush=True)
    print(f"\n{_table(rows)}\n\n{_bars(rows)}\n{options.scenes} scenes of each kind, {options.model}, {_machine()}")
    if options.out:
        document = {f"{kind} {mode}": figures.to_json() for (kind, mode), figures in rows.items()}
        options.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _look(segmenter: Sam3 | None, scene: BigScene, mode: TileMode) -> Figures:
    """All nouns of a scene in one call, in a workspace of its own."""
    if segmenter is None:
        truth = {noun: scene.truth(noun) for noun in scene.nouns}
        workspace = Workspace(TruthSegmenter(truth, TRUTH_INFO, least_side=TRUTH_LEAST_SIDE, cells=TRUTH_CELLS))
        picture = map_picture(*scene.image.shape[:2])
    else:
        workspace, picture = Workspace(segmenter), scene.image
    image = workspace.open(picture)
    start = time.perf_counter()
    answers = workspace.segment(image.id, scene.nouns, tiles=mode)
    spent = time.perf_counter() - start
    parts = [figures_of([i.rle for i in each.instances], scene.truth(each.prompt.label)) for each in answers]
    return total([*parts, Figures(tiles=max(each.tiles for each in answers), seconds=spent)])


def _table(rows: dict[tuple[str, TileMode], Figures]) -> str:
    lines = ["| scenes | tiles | objects | recall@.5 | precision@.5 | duplicates | stray | tiles looked at | seconds |"]
    lines.append("|---" * 9 + "|")
    for (kind, mode), figures in rows.items():
        row = figures.to_json()
        cells = [f"{row[key]:.3f}" for key in ("recall_50", "precision_50", "duplicates", "stray")]
        end = f"{row['tiles']:.0f} | {row['seconds']:.1f}"
        lines.append(f"| {kind} | {mode} | {row['targets']:.0f} | {' | '.join(cells)} | {end} |")
    return "\n".join(lines)


def _bars(rows: dict[tuple[str, TileMode], Figures]) -> str:
    lines: list[str] = []
    without, tiled, seams = rows.get(("crowd", "never")), rows.get(("crowd", "always")), rows.get(("seams", "always"))
    if without and tiled:
        ratio = tiled.recall / without.recall if without.recall else float("inf") if tiled.recall else 0.0
        lines.append(f"recall with tiles / without: {ratio:.1f} (bar {RECALL_RATIO:g}) {_word(ratio >= RECALL_RATIO)}")
    if seams:
        share = seams.duplicate_share
        lines.append(f"duplicates at seams: {share:.1%} (bar {DUPLICATES:.0%}) {_word(share <= DUPLICATES)}")
    return "\n".join(lines)


def _word(reached: bool) -> str:
    return "reached" if reached else "MISSED"


def _machine() -> str:
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
