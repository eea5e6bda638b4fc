"""Task of lmms-eval that asks a dataset of ours: NAME.yaml, utils.py, a row a case as JSON lines, and the images.

lmms-eval finds it by `--include_path FOLDER --tasks NAME` and needs `pip install 'sam3-agent[score]'` beside it.
"""

import json
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_text
from sam3_agent.formats.orientation import copy_picture
from sam3_agent.formats.yaml_document import dump_yaml
from sam3_evals.datasets import Dataset
from sam3_evals.lmms.scoring import FIGURES
from sam3_evals.sample import Case, still

PROMPT = (
    "Segment every instance of what the expression means in the image. Answer with JSON only:"
    ' {"masks": [{"size": [height, width], "counts": "COCO run lengths"}], "scores": [0.9]}; an empty list if there is'
    " none.\nExpression: "
)
"""For language models; models that take an expression alone, such as lmms-eval's SAM 3, are given no prompt."""
BARE = ("sam3",)
"""Names of such models there."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_ROWS = "cases.jsonl"


def write_task(dataset: Dataset, out: Path, name: str, limit: int | None = None) -> int:
    """Write the folder of a task; gives how many cases it asks.

    The yaml names the rows by their absolute path, as `datasets` looks for others in the folder that it is started in:
    write the task again rather than moving it.

    Raises:
        InputError: the name is none for a task, the dataset has no case or asks videos, or an image is gone.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"a task's name has letters, digits, - and _, got {name!r:.60}")
    count, done = 0, set[str]()
    with replacing(out / _ROWS) as temporary, temporary.open("w", encoding="utf-8") as file:
        for case in islice(dataset.cases(limit), limit):
            place = _put_image(dataset, case, out, done)
            row = {"id": case.id, "query": case.query, "image": place, "case": json.dumps(case.to_json())}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
        if not count:
            raise InputError(f"{dataset.name}: no case in it")
    write_text(out / "utils.py", _utils())
    write_text(out / f"{name}.yaml", _yaml(dataset, name, (out / _ROWS).resolve()))
    return count


def _put_image(dataset: Dataset, case: Case, out: Path, done: set[str]) -> str:
    """Write the image of a case, upright, once; gives its place in the folder."""
    if case.frames:
        raise InputError(f"{dataset.name}: lmms-eval's tasks are given images here, not videos")
    source = still(dataset.picture(case))
    suffix = source.suffix if isinstance(source, Path) else ".png"
    plain = re.sub(r"[^A-Za-z0-9._-]", lambda found: f"%{ord(found[0]):02x}", case.picture)
    place = f"images/{plain.removesuffix(suffix)}{suffix}"
    if place in done:
        return place
    done.add(place)
    if isinstance(source, Path):
        copy_picture(source, out / place)
    else:
        with replacing(out / place) as temporary:
            Image.fromarray(np.asarray(source)).save(temporary, "PNG")
    return place


def _yaml(dataset: Dataset, name: str, rows: Path) -> str:
    document: Mapping[str, Any] = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(rows)}},
        "test_split": "test",
        "output_type": "generate_until",
        "generation_kwargs": {"max_new_tokens": 4096, "temperature": 0.0, "do_sample": False},
        "lmms_eval_specific_kwargs": {
            "default": {"pre_prompt": PROMPT, "post_prompt": ""},
            **{model: {"pre_prompt": "", "post_prompt": ""} for model in BARE},
        },
        "metadata": {"version": 1.0, "description": f"{dataset.name}, figures as sam3-eval has them"},
    }
    calls = ("doc_to_visual", "doc_to_text", "doc_to_target", "process_results")
    functions = "".join(f"{call}: !function utils.{call}\n" for call in calls)
    metrics = "".join(
        f"  - metric: {figure}\n    aggregation: !function utils.{figure}\n    higher_is_better: true\n"
        for figure in FIGURES
    )
    return f"{dump_yaml(document)}{functions}metric_list:\n{metrics}"


def _utils() -> str:
    figures = "".join(f'\n\ndef {name}(rows):\n    return scoring.aggregate("{name}", rows)\n' for name in FIGURES)
    return (
        '"""Written by `sam3-eval lmms-task`: the functions that the yaml names."""\n\n'
        "from pathlib import Path\n\n"
        "from sam3_evals.lmms import scoring\n"
        "from sam3_evals.lmms.scoring import doc_to_target, doc_to_text, process_results\n\n\n"
        "def doc_to_visual(document):\n    return scoring.doc_to_visual(Path(__file__).parent, document)\n"
        f"{figures}"
    )
