"""Centers of points by k-means."""

import numpy as np
from numpy.typing import NDArray


def k_centers(rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(count, C) centers of (N, C) rows by k-means (Lloyd 1982), begun at the rows furthest from each other.

    Deterministic; the order of the rows decides between equals alone. Gives fewer centers where rows coincide.
    """
    points = rows.astype(np.float64)
    centers = points.mean(axis=0, keepdims=True)
    if count == 1:
        return centers.astype(np.float32)
    first = int(np.argmax(((points - centers) ** 2).sum(axis=1)))
    centers = points[[first]]
    while len(centers) < count:
        distance = _distances(points, centers).min(axis=1)  # (N,)
        if distance.max() <= 0:
            break
        centers = np.concatenate([centers, points[[int(np.argmax(distance))]]])
    for _ in range(20):
        nearest = _distances(points, centers).argmin(axis=1)  # (N,)
        moved = np.stack([points[nearest == k].mean(axis=0) for k in range(len(centers)) if (nearest == k).any()])
        if moved.shape == centers.shape and np.allclose(moved, centers):
            break
        centers = moved
    return centers.astype(np.float32)


def _distances(points: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, K) squared distances."""
    return ((points[:, None] - centers[None]) ** 2).sum(axis=2)
