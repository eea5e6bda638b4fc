"""A shard: one of n parts of a run, for as many machines; images are dealt out in turn."""

import re
from dataclasses import dataclass

from sam3_agent.errors import InputError


@dataclass(frozen=True, slots=True)
class Shard:
    """The i-th of n parts, i from 1."""

    index: int = 1
    count: int = 1

    def has(self, picture: int) -> bool:
        """Whether the image of that rank, from 0, is in this part; all cases about it go with it."""
        return picture % self.count == self.index - 1

    def __str__(self) -> str:
        return "" if self.count == 1 else f"{self.index}/{self.count}"


WHOLE = Shard()


def read_shard(text: str) -> Shard:
    """Read "i/n"; an empty text is the whole.

    Raises:
        InputError: it is not that, or i is not among 1 to n.
    """
    if not text:
        return WHOLE
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0)
    if not 1 <= shard.index <= shard.count:
        raise InputError(f"a shard is i/n with i from 1 to n, such as 2/4; got {text!r}")
    return shard
