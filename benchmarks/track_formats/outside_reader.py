"""Reads exported tracks with other people's readers; run by a Python that has them, without this package.

`PYTHON outside_reader.py DIR` prints a JSON list of {format, reader, annotations, equal, says}.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    """Read everything under DIR; what the readers print goes nowhere."""
    out = Path(sys.argv[1])
    truth = json.loads((out / "truth.json").read_text())
    with contextlib.redirect_stdout(io.StringIO()):
        rows = [*by_datumaro(out / "datumaro", truth), *by_trackeval(out / "trackeval", truth)]
    print(json.dumps(rows))


def by_datumaro(folder: Path, truth: dict) -> list:
    """Every annotation against the mask or box that was written."""
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset
    from pycocotools import mask as coco

    rows = []
    for name, form, first in (
        ("mot", "mot_seq", 1),
        ("mots", "mots", 0),
        ("cvat-polygon", "cvat", 0),
        ("cvat-box", "cvat", 0),
    ):
        dataset = Dataset.import_from(str(folder / name), form)
        seen = equal = 0
        for item in dataset:
            frame = int(item.attributes["frame"]) if form == "cvat" else int(item.id) - first
            for annotation in item.annotations:
                if annotation.attributes.get("outside"):
                    continue
                seen += 1
                entry = truth["tracks"].get(f"t{int(annotation.attributes['track_id'])}", {}).get(str(frame))
                if entry is None:
                    continue
                mask = bitmap(entry[0], truth["size"])
                if annotation.type == AnnotationType.mask:
                    equal += bool((annotation.image.astype(bool) == mask).all())
                elif annotation.type == AnnotationType.polygon:
                    coded = coco.merge(coco.frPyObjects([list(map(float, annotation.points))], *truth["size"]))
                    equal += bool((coco.decode(coded).astype(bool) == mask).all())
                else:
                    box = (annotation.x, annotation.y, annotation.x + annotation.w, annotation.y + annotation.h)
                    equal += tuple(map(float, box)) == tuple(map(float, entry[1]))
        expected = sum(len(frames) for frames in truth["tracks"].values())
        rows.append(row(name, "datumaro", expected, equal if seen == expected else 0, f"{seen} annotations"))
    return rows


def by_trackeval(folder: Path, truth: dict) -> list:
    """HOTA of the export against itself, and J&F where TrackEval has it: 1 if everything was read."""
    import trackeval

    frames = {"clip": truth["frames"]}
    quiet = {"PRINT_CONFIG": False}
    kinds = trackeval.datasets
    common = {name: trees(folder / name) for name in ("mots", "mot", "davis")}
    readers = [
        ("mots-txt", kinds.MOTSChallenge({**quiet, **common["mots"], "SEQ_INFO": frames}), []),
        ("mot", kinds.MotChallenge2DBox({**quiet, **common["mot"], "SEQ_INFO": frames, "BENCHMARK": "MOT17"}), []),
        ("davis", kinds.DAVIS({**quiet, **common["davis"], "SEQ_INFO": frames}), [trackeval.metrics.JAndF()]),
        ("ytvis", kinds.YouTubeVIS({**quiet, **trees(folder / "ytvis", "/"), "SPLIT_TO_EVAL": "train",
                                    "CLASSES_TO_EVAL": ["fish", "pedestrian"]}), []),
    ]  # fmt: skip
    expected = sum(len(entries) for entries in truth["tracks"].values())
    return [scored(name, dataset, metrics, expected) for name, dataset, metrics in readers]


def scored(name: str, dataset, metrics: list, expected: int) -> dict:
    """One format: how many detections TrackEval matched at every threshold."""
    import trackeval

    off = ("PRINT_RESULTS", "PRINT_CONFIG", "TIME_PROGRESS", "OUTPUT_SUMMARY", "OUTPUT_DETAILED", "PLOT_CURVES",
           "USE_PARALLEL", "OUTPUT_EMPTY_CLASSES")  # fmt: skip
    evaluator = trackeval.Evaluator(dict.fromkeys(off, False))
    result, _ = evaluator.evaluate([dataset], [trackeval.metrics.HOTA(), *metrics])
    classes = next(iter(result.values()))["ours"]["COMBINED_SEQ"]
    found = [values for key, values in classes.items() if not key.startswith("cls_comb")]
    hits = int(sum(values["HOTA"]["HOTA_TP"][-1] for values in found))
    says = "HOTA " + ", ".join(f"{values['HOTA']['HOTA'].mean():.3f}" for values in found)
    if metrics:
        says += ", J&F " + ", ".join(f"{np.mean(values['JAndF']['J&F']):.3f}" for values in found)
    return row(name, "trackeval", expected, hits, says)


def trees(folder: Path, end: str = "") -> dict:
    """TrackEval's two folders; some of its readers want a slash at the end."""
    return {"GT_FOLDER": f"{folder / 'gt'}{end}", "TRACKERS_FOLDER": f"{folder / 'trackers'}{end}"}


def bitmap(runs: list, size: list) -> "np.ndarray":
    """(H, W) bool of runs by rows, beginning with what is outside."""
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


def row(form: str, reader: str, annotations: int, equal: int, says: str) -> dict:
    """One line of the table."""
    return {"format": form, "reader": reader, "annotations": annotations, "equal": equal, "says": says}


if __name__ == "__main__":
    main()
