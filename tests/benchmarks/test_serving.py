"""The simulation of many replicas loses no question, and the paper plan multiplies what it says."""

from dataclasses import replace

from benchmarks.serving.plan import Costs, limits, need
from benchmarks.serving.simulation import Simulation, World

SMALL = World(replicas=20, seconds=2.0, hot_share=0.0, failures=0.0)


def test_every_question_is_answered_whatever_dies() -> None:
    figures = Simulation(replace(SMALL, failures=600.0, restart=1.0)).run()
    assert figures.deaths > 0
    assert figures.lost > 0
    assert figures.answered == figures.asked == len(figures.latencies)


def test_an_image_is_encoded_once_where_features_are_kept_and_nothing_dies() -> None:
    figures = Simulation(replace(SMALL, load=0.3)).run()
    assert figures.encodes == figures.opened


def test_features_that_are_forgotten_are_made_anew() -> None:
    assert Simulation(replace(SMALL, held=1)).run().encodes > Simulation(SMALL).run().encodes


def test_fallbacks_take_questions_of_a_hot_image() -> None:
    hot = replace(SMALL, hot_share=0.5, hot_images=1)
    alone, shared = (Simulation(replace(hot, fallbacks=count)).run() for count in (0, 8))
    assert alone.spilled == 0
    assert shared.spilled > 0
    assert shared.waits < alone.waits


def test_the_same_seed_gives_the_same_figures() -> None:
    assert Simulation(SMALL).run().to_json() == Simulation(SMALL).run().to_json()


def test_needs_grow_with_the_gpus_and_the_first_limit_is_told_first() -> None:
    costs = Costs(images=10.0, file_mb=1.0, network_mb=1000.0, journal_rows=500.0, cpu_seconds=0.1)
    one, many = need(1, costs), need(1000, costs)
    assert (one.images, one.journals, one.cores) == (10.0, 1, 1)
    assert (many.images, many.journals, many.readers, many.cores) == (10_000.0, 20, 10, 1000)
    assert list(limits(costs).values()) == sorted(limits(costs).values())
    assert limits(costs)["a journal (one writing process)"] == 50.0
