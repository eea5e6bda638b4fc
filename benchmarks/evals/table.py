"""Several runs over the same cases as one Markdown table: `python -m benchmarks.evals.table RUN RUN ...`."""

import sys
from pathlib import Path
from typing import Any

from sam3_evals.manifest import read_manifest
from sam3_evals.score import score_run

_COLUMNS = (
    ("gIoU", "lisa", "giou"),
    ("cIoU", "lisa", "ciou"),
    ("gIoU VR", "vision_reasoner", "giou"),
    ("cIoU VR", "vision_reasoner", "ciou"),
    ("P@.5", "lisa", "p@0.5"),
    ("N-acc", "gres", "n_acc"),
    ("T-acc", "gres", "t_acc"),
    ("cgF1", "instances", "cgf1"),
)


def table(runs: list[Path]) -> str:
    """A row a run; gIoU with its 95 % interval, all x 100.

    Raises:
        SystemExit: the runs asked different cases.
    """
    if len({read_manifest(run).dataset_hash for run in runs}) > 1:
        raise SystemExit("these runs asked different cases")
    rows = [
        f"| solver | n | {' | '.join(name for name, _, _ in _COLUMNS)} | s/case |",
        "|---|" + "---:|" * (len(_COLUMNS) + 2),
    ]
    for run in runs:
        document = score_run(run).to_json()
        made, cells = document["manifest"], [_cell(document["overall"], *column) for column in _COLUMNS]
        solver = f"{made['solver']} ({made['llm']})" if made["llm"] else made["solver"]
        seconds = document["usage"]["seconds"] / document["cases"]
        rows.append(f"| {solver} | {document['cases']} | {' | '.join(cells)} | {seconds:.2f} |")
        rows += [f"\n**{sentence}**\n" for sentence in document["caveats"] if sentence.startswith("INCOMPLETE")]
    return "\n".join(rows)


def _cell(overall: dict[str, Any], label: str, metric: str, name: str) -> str:
    figure = overall.get(metric, {}).get(name)
    if figure is None or figure["value"] is None:
        return "-"
    value = f"{100 * figure['value']:.1f}"
    if label != "gIoU" or figure["low"] is None:
        return value
    return f"{value} ({100 * figure['low']:.1f}-{100 * figure['high']:.1f})"


if __name__ == "__main__":
    print(table([Path(argument) for argument in sys.argv[1:]]))
