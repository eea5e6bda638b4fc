"""A memory by key, bounded in bytes, that counts how well it serves."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """Hits, misses and bytes of a cache."""

    hits: int
    """Asked for and there."""
    misses: int
    """Asked for, not there, and made."""
    evictions: int
    """Dropped because of the limit; what was forgotten on purpose does not count."""
    items: int
    """Held now."""
    bytes: int
    """Held now."""
    limit: int
    """Bytes; exceeded only by a newest item that alone is larger."""

    def to_json(self) -> dict[str, int]:
        """{"hits", "misses", "evictions", "items", "bytes", "limit"}."""
        return asdict(self)


class ByteLru(Generic[K, V]):
    """Keeps values until their bytes exceed a limit, then drops those used least recently.

    The newest value stays even when it alone exceeds the limit. Values that are passing go before all others, the
    newest of them first: so a scan over more than fits pushes nothing lasting out, and the next scan still meets what
    it began with. Safe to call from several threads.
    """

    def __init__(self, limit: int, size: Callable[[V], int], owner: Callable[[K], Hashable] = lambda _: None) -> None:
        """`limit` in bytes; `size` gives the bytes of a value, which are taken when it is put.

        `owner` tells whose a key is when it is put: values of the owner who holds most bytes are dropped first.
        """
        self._limit = limit
        self._size = size
        self._owner = owner
        self._bytes_of: Counter[Hashable] = Counter()
        self._held: OrderedDict[K, tuple[V, int, Hashable]] = OrderedDict()
        self._bytes = 0
        self._hits = self._misses = self._evictions = 0
        self._lock = threading.Lock()

    @property
    def statistics(self) -> CacheStatistics:
        """Return its hits, misses and bytes so far."""
        with self._lock:
            return CacheStatistics(self._hits, self._misses, self._evictions, len(self._held), self._bytes, self._limit)

    def get(self, key: K, *, passing: bool = False) -> V | None:
        """The value of a key; None where it is not held. A value found is a hit, and, unless passing, the newest."""
        with self._lock:
            if key not in self._held:
                return None
            self._hits += 1
            if not passing:
                self._held.move_to_end(key)
            return self._held[key][0]

    def put(self, key: K, value: V, *, passing: bool = False) -> None:
        """Hold a value that had to be made: a miss. One that is only passing goes first when room is needed."""
        with self._lock:
            self._misses += 1
            self._drop(key)
            size = self._size(value)
            owner = self._owner(key)
            self._held[key] = (value, size, owner)
            self._held.move_to_end(key, last=not passing)
            self._bytes += size
            self._bytes_of[owner] += size
            while self._bytes > self._limit and len(self._held) > 1:
                self._drop(self._next_out(key, passing=passing))
                self._evictions += 1

    def forget(self, unwanted: Callable[[K], bool]) -> None:
        """Drop every value whose key is unwanted."""
        with self._lock:
            for key in [key for key in self._held if unwanted(key)]:
                self._drop(key)

    def _next_out(self, newest: K, *, passing: bool) -> K:
        """The key to drop: of the owner who holds most, the one used least recently; the newest only in passing."""
        for owner, _ in self._bytes_of.most_common():
            for key, (_, _, whose) in self._held.items():
                if whose == owner and (passing or key != newest):
                    return key
        raise AssertionError("several values are held, so one of them is not the newest")

    def _drop(self, key: K) -> None:
        if key in self._held:
            _, size, owner = self._held.pop(key)
            self._bytes -= size
            self._bytes_of[owner] -= size
            if self._bytes_of[owner] <= 0:
                del self._bytes_of[owner]
