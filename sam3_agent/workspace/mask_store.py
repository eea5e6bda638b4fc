"""Store of masks by id."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sam3_agent.errors import InputError, UnknownHandle
from sam3_agent.masks import Box, Rle
from sam3_agent.types import Candidate, ClickedMask, ClickPrompt, ConceptPrompt, Instance
from sam3_agent.workspace.crops import candidate_in_image
from sam3_agent.workspace.feature_cache import Window


@dataclass(frozen=True, slots=True)
class Record:
    """A mask with where it came from."""

    instance: Instance
    image_id: str
    phrase: str
    """Question in words."""
    asked: str | None
    """The phrase when it was asked by words alone; only such scores compare between phrases."""
    kept: bool
    """Above the threshold when it was last found; False for a near miss."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mask about to be recorded."""

    rle: Rle
    box: Box
    score: float
    object_score: float
    kept: bool = True


Prompt = ConceptPrompt | ClickPrompt


class Records:
    """Masks by id; ids count up over the life of a workspace and are never used again.

    Finding the very same mask again by the same prompt gives it its old id. Safe to call from several threads.
    """

    def __init__(self, suffix: str = "") -> None:
        self._suffix = suffix
        self._records: dict[str, Record] = {}
        self._known: dict[tuple[str, Prompt, Rle, float], str] = {}
        self._count = 0
        self._lock = threading.Lock()

    def add(
        self, image_id: str, phrase: str, findings: Sequence[Finding], prompt: Prompt | None = None
    ) -> list[Instance]:
        """Give findings their ids, in order."""
        with self._lock:
            return [self._add(image_id, phrase, finding, prompt) for finding in findings]

    def __len__(self) -> int:
        return len(self._records)

    def get(self, mask_id: str) -> Record:
        """The record of a mask.

        Raises:
            UnknownHandle: no such mask.
        """
        with self._lock:
            record = self._records.get(mask_id)
            if record is None:
                raise UnknownHandle("mask", mask_id, self._records)
            return record

    def of_image(self, image_id: str) -> list[Record]:
        """All masks of an image, oldest first."""
        with self._lock:
            return [record for record in self._records.values() if record.image_id == image_id]

    def on_image(self, image_id: str, mask_ids: Sequence[str]) -> list[Record]:
        """These masks, each once, which must all be of one image.

        Raises:
            UnknownHandle: no such mask.
            InputError: a mask belongs to another image.
        """
        records = [self.get(mask_id) for mask_id in dict.fromkeys(mask_ids)]
        for record in records:
            if record.image_id != image_id:
                raise InputError(
                    f"mask {record.instance.id!r} is on image {record.image_id!r}, not on {image_id!r}; masks work "
                    f"together only within one image"
                )
        return records

    def forget(self, image_id: str) -> int:
        """Drop the masks of an image; how many there were."""
        with self._lock:
            gone = [mask_id for mask_id, record in self._records.items() if record.image_id == image_id]
            for mask_id in gone:
                del self._records[mask_id]
            self._known = {key: mask_id for key, mask_id in self._known.items() if key[0] != image_id}
            return len(gone)

    def _add(self, image_id: str, phrase: str, finding: Finding, prompt: Prompt | None) -> Instance:
        key = (image_id, prompt, finding.rle, finding.object_score) if prompt is not None else None
        known = self._known.get(key) if key is not None else None
        if known is not None:
            record = replace(self._records[known], kept=finding.kept)
        else:
            self._count += 1
            instance = Instance(
                f"m{self._count}{self._suffix}", finding.rle, finding.box, finding.score, finding.object_score
            )
            asked = prompt.phrase if isinstance(prompt, ConceptPrompt) and prompt.words_alone else None
            record = Record(instance, image_id, phrase, asked, finding.kept)
        self._records[record.instance.id] = record
        if key is not None:
            self._known[key] = record.instance.id
        return record.instance


def clicked(answers: Sequence[ClickedMask], window: Window, width: int, height: int) -> list[Finding]:
    """The best answer is kept, the others are near misses; both scores are the predicted IoU."""
    given = [Candidate(answer.rle, answer.box, answer.predicted_iou) for answer in answers]
    placed = [candidate_in_image(c, window, width, height) for c in given]
    return [Finding(c.rle, c.box, c.object_score, c.object_score, kept=not index) for index, c in enumerate(placed)]
