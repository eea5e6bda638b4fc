"""`python -m benchmarks.track_formats --out DIR --readers PYTHON`: exported tracks in Datumaro and TrackEval.

Writes made tracks (holes, parts, gaps, one that enters late) in each format and has them read by an interpreter that
has `datumaro`, `trackeval`, `scikit-image` and `opencv-python-headless`: Datumaro's annotations are compared mask by
mask or box by box, TrackEval scores the export against itself. Prints a table; exits 1 where anything differs.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from sam3_agent import masks
from sam3_agent.formats.files import write_json
from sam3_agent.formats.video import export_tracks
from sam3_agent.formats.video.cvat_video import write_cvat_video
from sam3_agent.formats.video.mot import write_mot
from sam3_agent.formats.video.mots import write_mots_txt
from sam3_agent.formats.video.track_set import TrackSet, track_of
from sam3_agent.formats.video.ytvis import write_predictions, write_ytvis
from sam3_agent.masks import Rle
from sam3_agent.tracks import Track

SIZE, FRAMES = (240, 320), 20


def main() -> None:
    """Write, have read, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--readers", required=True, metavar="PYTHON", help="a Python that has the readers")
    given = parser.parse_args()
    video = TrackSet("clip", SIZE[1], SIZE[0], FRAMES, tuple(made_tracks()), 10.0, source="clip.mp4")
    write_datumaro(video, given.out / "datumaro")
    write_trackeval(video, given.out / "trackeval")
    write_truth(video, given.out / "truth.json")
    script = Path(__file__).with_name("outside_reader.py")
    done = subprocess.run([given.readers, str(script), str(given.out)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the reader failed:\n{done.stderr[-2000:]}")
    rows = json.loads(done.stdout)
    print("| format | read by | annotations | equal | says |\n|---|---|---:|---:|---|")
    for row in rows:
        print(f"| {row['format']} | {row['reader']} | {row['annotations']} | {row['equal']} | {row['says']} |")
    sys.exit(any(row["annotations"] != row["equal"] for row in rows))


def made_tracks() -> list[Track]:
    """Three tracks that do not touch: a ring, a thing of two parts with a gap in time, one that comes late."""
    made = [
        track_of("t3", "pedestrian", {t: (_ring(4 + 6 * t, 10, 40), 0.9) for t in range(FRAMES)}),
        track_of("t7", "pedestrian", {t: (_parts(10 + 4 * t, 90), 0.8) for t in range(FRAMES) if not 5 <= t < 9}),
        track_of("t12", "pedestrian", {t: (_ring(200 - 5 * t, 170, 30), 0.7) for t in range(6, FRAMES)}),
    ]
    return [track for track in made if track is not None]


def write_datumaro(video: TrackSet, out: Path) -> None:
    """One folder a format that Datumaro reads."""
    for form in ("mot", "mots"):
        export_tracks(video, form, out / form)
    write_cvat_video(video, out / "cvat-polygon" / "annotations.xml", "polygon")
    write_cvat_video(video, out / "cvat-box" / "annotations.xml", "box")


def write_trackeval(video: TrackSet, out: Path) -> None:
    """Truth and predictions in the trees that TrackEval wants."""
    mots, mot, davis, ytvis = (out / name for name in ("mots", "mot", "davis", "ytvis"))
    numbers = {"pedestrian": 2}
    write_mots_txt(video, mots / "gt/MOTS-train/clip/gt/gt.txt", numbers)
    write_mots_txt(video, mots / "trackers/MOTS-train/ours/data/clip.txt", numbers)
    export_tracks(video, "mot", mot / "gt/MOT17-train/clip")
    write_mot(video, mot / "given", predictions=True)
    (mot / "trackers/MOT17-train/ours/data").mkdir(parents=True, exist_ok=True)
    (mot / "given/gt/gt.txt").replace(mot / "trackers/MOT17-train/ours/data/clip.txt")
    for side in ("gt/clip", "trackers/ours/data/clip"):
        export_tracks(video, "davis", davis / side)
        (davis / side / "objects.json").unlink()  # TrackEval takes every file of the folder for a frame
    split = replace(video, tracks=(replace(video.tracks[0], concept="fish"), *video.tracks[1:]))
    write_ytvis([split], ytvis / "gt/youtube_vis_train/train.json", "list")
    categories = {concept: number for number, concept in enumerate(split.concepts, start=1)}
    write_predictions([(0, split)], categories, ytvis / "trackers/youtube_vis_train/ours/data/results.json")


def write_truth(video: TrackSet, path: Path) -> None:
    """Masks as uncompressed runs by rows, and boxes: {id: {frame: [runs, box]}}."""
    document = {
        track.id: {frame.index: [_runs(frame.rle), list(frame.box)] for frame in track.frames} for track in video.tracks
    }
    write_json(path, {"size": SIZE, "frames": FRAMES, "tracks": document})


def _runs(rle: Rle) -> list[int]:
    flat = masks.decode(rle).ravel()
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *lengths] if flat[0] else lengths


def _ring(x: int, y: int, side: int) -> Rle:
    mask = np.zeros(SIZE, dtype=bool)
    mask[y : y + side, x : x + side] = True
    mask[y + 8 : y + side - 8, x + 8 : x + side - 8] = False
    return masks.encode(mask)


def _parts(x: int, y: int) -> Rle:
    mask = np.zeros(SIZE, dtype=bool)
    mask[y : y + 20, x : x + 14] = True
    mask[y + 4 : y + 30, x + 20 : x + 31] = True
    return masks.encode(mask)


if __name__ == "__main__":
    main()
