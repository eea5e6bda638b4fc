"""Memory bounded in bytes, and what it says of itself."""

from sam3_agent.model.lru_cache import ByteLru


def test_what_was_used_least_recently_goes_when_the_bytes_are_too_many() -> None:
    memory: ByteLru[str, bytes] = ByteLru(10, len)
    for name in "abc":
        memory.put(name, bytes(4))
        assert memory.get("a") == bytes(4)
    assert memory.get("b") is None
    assert memory.get("c") == bytes(4)
    found = memory.statistics
    assert (found.hits, found.misses, found.evictions, found.items, found.bytes, found.limit) == (4, 3, 1, 2, 8, 10)
    assert found.to_json() == {"hits": 4, "misses": 3, "evictions": 1, "items": 2, "bytes": 8, "limit": 10}


def test_the_newest_stays_even_when_it_alone_is_too_large() -> None:
    memory: ByteLru[str, bytes] = ByteLru(10, len)
    memory.put("a", bytes(4))
    memory.put("b", bytes(40))
    assert memory.get("a") is None
    assert memory.get("b") == bytes(40)
    memory.put("c", bytes(1))
    assert memory.get("b") is None
    assert memory.statistics.bytes == 1


def test_replacing_and_forgetting_count_the_bytes_right() -> None:
    memory: ByteLru[tuple[str, int], bytes] = ByteLru(100, len)
    memory.put(("a", 1), bytes(10))
    memory.put(("a", 1), bytes(20))
    memory.put(("a", 2), bytes(5))
    memory.put(("b", 1), bytes(1))
    assert memory.statistics.bytes == 26
    memory.forget(lambda key: key[0] == "a")
    assert (memory.statistics.bytes, memory.statistics.items, memory.statistics.evictions) == (1, 1, 0)


def test_of_several_owners_the_one_who_holds_most_loses_first() -> None:
    memory: ByteLru[str, bytes] = ByteLru(10, len, lambda key: key[0])
    memory.put("b1", bytes(2))
    for key in ("a1", "a2", "a3", "a4"):
        memory.put(key, bytes(2))
    memory.put("a5", bytes(2))
    assert [key for key in ("b1", "a1", "a2", "a3", "a4", "a5") if memory.get(key)] == ["b1", "a2", "a3", "a4", "a5"]
    memory.put("c1", bytes(9))
    assert memory.get("c1") is not None
    assert memory.statistics.bytes <= 11
