"""What a reader must know before believing a score."""

from collections.abc import Iterator

from sam3_evals.manifest import Manifest

_TINY = "tiny"


def caveats_of(manifest: Manifest, cases: int, missing: int, errors: int) -> Iterator[str]:
    """One sentence each, the gravest first."""
    if missing:
        yield f"INCOMPLETE: {missing} of {cases} cases have no prediction; they score as empty."
    if manifest.shard:
        yield f"PART OF A RUN: shard {manifest.shard}, {cases} of {manifest.cases} cases; merge all shards for figures."
    if errors:
        yield f"{errors} cases ended in an error; they score as empty or as the best so far."
    if manifest.model == _TINY and not manifest.dataset.startswith("scenes:"):
        yield (
            "OUT OF ITS DOMAIN: the tiny eye knows only drawings by this project's generator. On anything else its"
            " figures are poor by nature and say nothing about facebook/sam3."
        )
    if manifest.solver == "oracle":
        yield "The oracle reads the truth: an upper bound for what can be chosen among this eye's masks, no contender."
