"""Paper plan: what so many GPUs need, from unit costs that were measured, and which need is over its limit first."""

from dataclasses import dataclass

FEATURE_MB = 53.0
"""Features of an image in bfloat16 at full size: 288, 144 and 72 squares of 256 channels."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Unit costs of labeling one concept on images of 2 MP."""

    images: float = 36.5
    """A second and GPU, from files to run lengths (prototype on an H200, docs/performance.md)."""
    file_mb: float = 0.8
    """A JPEG of 2 MP."""
    pixels_mb: float = 6.2
    """The same as RGB bytes, which a replica gets."""
    cpu_seconds: float = 0.06
    """Of one core for an image: decoding, masks, labels."""
    journal_rows: float = 2000.0
    """Images a second that one journal takes; see `benchmarks.labeling.entries`."""
    journal_kb: float = 6.0
    """Of an image with its labels in the journal."""
    network_mb: float = 3100.0
    """A second that a network card of 25 Gbit/s carries."""
    gpus_a_node: int = 8
    usd_gpu_hour: float = 3.0
    feature_gib: float = 2.0
    """Of each replica for features."""


@dataclass(frozen=True, slots=True)
class Need:
    """Needs of one size of cluster."""

    gpus: int
    images: float
    """A second."""
    cores: int
    journals: int
    """Runs, or shards of one, that write at the same time, each with a process of its own."""
    readers: int
    """Network cards of 25 Gbit/s that reading the files fills."""
    pixels_gb: float
    """A second over the network where no worker sits beside its replica."""
    node_gbit: float
    """A second into each node of 8 GPUs."""
    held: int
    """Images whose features are in memory."""
    journal_gb_hour: float
    usd_million: float
    """For a million images."""
    hours_million: float


def need(gpus: int, costs: Costs) -> Need:
    """Multiply the unit costs."""
    images = gpus * costs.images
    return Need(
        gpus=gpus,
        images=round(images, 1),
        cores=_up(images * costs.cpu_seconds),
        journals=_up(images / costs.journal_rows),
        readers=_up(images * costs.file_mb / costs.network_mb),
        pixels_gb=round(images * costs.pixels_mb / 1000, 2),
        node_gbit=round(costs.images * min(gpus, costs.gpus_a_node) * (costs.pixels_mb + costs.file_mb) * 8 / 1000, 1),
        held=int(gpus * costs.feature_gib * 2**30 / (FEATURE_MB * 1e6)),
        journal_gb_hour=round(images * costs.journal_kb * 3600 / 1e6, 1),
        usd_million=round(1e6 / costs.images / 3600 * costs.usd_gpu_hour, 2),
        hours_million=round(1e6 / images / 3600, 3),
    )


def limits(costs: Costs) -> dict[str, float]:
    """GPUs at which each part of one run is full, the first bottleneck first."""
    found = {
        "a journal (one writing process)": costs.journal_rows / costs.images,
        "a network card of 25 Gbit/s that sends the files": costs.network_mb / costs.file_mb / costs.images,
        "the same card where one process decodes and sends the pixels": costs.network_mb
        / costs.pixels_mb
        / costs.images,
        "16 cores that decode and write": 16 / costs.cpu_seconds / costs.images,
    }
    return {name: round(value, 1) for name, value in sorted(found.items(), key=lambda each: each[1])}


def _up(value: float) -> int:
    return max(1, -int(-value // 1))
