"""The end of a run on one screen: its answer, the figures by kind of query, and the cases that went worst."""

import hashlib
import heapq
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from sam3_agent.errors import InputError
from sam3_evals.metrics.matched_sample import Scored
from sam3_evals.score import Score, score_run
from sam3_evals.table import figure_at, groups_of, section_lines, top_lines

_ROWS = 10
"""Of the table: with title, worst cases and price all stays within 24 lines."""
_WORST = 3
_COLUMNS = 100
_QUERY = 60
"""Characters of a query in such a line."""
_FIGURES = (
    ("gIoU", "lisa.giou"),
    ("cIoU", "lisa.ciou"),
    ("P@.5", "lisa.p@0.5"),
    ("N-acc", "gres.n_acc"),
    ("cgF1", "instances.cgf1"),
    ("J&F", "video.jf"),
)


@dataclass(slots=True)
class Ending:
    """A scored run with the cases that its last screen tells of."""

    score: Score
    failure: str = ""
    """Case and words of the first failure."""
    _worst: list[tuple[float, str, Scored]] = field(default_factory=list[tuple[float, str, Scored]])

    @classmethod
    def of(cls, run: Path) -> "Ending":
        """Score a run and keep what its end tells.

        Raises:
            InputError: as `score_run`.
        """
        failures: list[str] = []
        worst: list[tuple[float, str, Scored]] = []

        def take(case: Scored) -> None:
            if case.error and not failures:
                failures.append(f"{case.case}: {' '.join(case.error.split())}")
            chance = hashlib.blake2b(case.case.encode(), digest_size=8).hexdigest()  # breaks ties without favor
            if case.lisa.iou < 1 and not case.error:
                heapq.heappush(worst, (-case.lisa.iou, chance, case))
                if len(worst) > _WORST:
                    heapq.heappop(worst)

        score = score_run(run, take)
        return cls(score, "".join(failures), worst)

    def check(self) -> None:
        """Raise InputError where the solver failed on most cases: no figure of it is worth reading."""
        score = self.score
        if score.errors > (score.cases - score.missing) / 2:
            raise InputError(
                f"the solver failed on {score.errors} of {score.cases} cases, first on {self.failure};"
                f" mend it and give another --out (what there is: sam3-eval score {score.run})"
            )

    def screen(self) -> str:
        """Title, headline, warnings, figures by kind of query, worst cases and price."""
        document = self.score.to_json()
        kinds = [group for group in groups_of(document) if group[0].startswith(("target: ", "kind: "))]
        rows = [("all", document["overall"]), *sorted(kinds, key=lambda group: group[0][:4], reverse=True)][:_ROWS]
        shown = [figure for figure in _FIGURES if any(figure_at(found, figure[1]) for _, found in rows)]
        names, columns = [name for name, _ in shown], [column for _, column in shown]
        lines = [textwrap.fill(line, _COLUMNS) for line in top_lines(document)]
        lines += [*section_lines(names, columns, rows), ""]
        if self._worst:
            cases = [case for _, _, case in sorted(self._worst, reverse=True)]
            lines += ["worst:", *(f"  {c.lisa.iou:.2f}  {c.case}  {_short(c.query)}" for c in cases), ""]
        usage = self.score.usage
        lines += [
            f"{usage.seconds:.1f} s, {usage.encodes} encodes, {usage.llm_calls} LLM calls, {usage.usd:.4f} USD;"
            f" every figure: sam3-eval score {self.score.run}; images: sam3-eval report {self.score.run}"
        ]
        return "\n".join(lines)


def _short(query: str) -> str:
    words = " ".join(query.split())
    return words if len(words) <= _QUERY else f"{words[: _QUERY - 3]}..."
