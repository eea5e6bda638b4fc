"""`python -m benchmarks.loop faults|crowd|price|rules|video|votes|rescue`: run one measurement, print it as JSON."""

import argparse
import json
import logging

from benchmarks.loop import crowd, faults, price, rescue, rules, video, votes
from benchmarks.machine import machine_words


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop", description=__doc__)
    parser.add_argument("what", choices=("faults", "crowd", "price", "rules", "video", "votes", "rescue"))
    parser.add_argument(
        "--runs",
        type=int,
        default=0,
        help="[faults 1000, crowd 200, price 300, rules 500, video 120, votes 200, rescue 100]",
    )
    parser.add_argument("--share", type=float, default=0.3, help="share of faulty replies (faults)")
    parser.add_argument("--jobs", type=int, default=16, help="runs at once (faults)")
    parser.add_argument("--pictures", type=int, default=8, help="open images (crowd)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long the LLM thinks (crowd)")
    parser.add_argument("--model", default="tiny", help="tiny, perfect (knows the truth), or a checkpoint")
    parser.add_argument(
        "--right", type=float, default=0.7, help="how often the LLM is right at a choice (votes, rescue)"
    )
    parser.add_argument("--votes", type=int, default=5, help="runs of a question at most (votes)")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    figures = {
        "faults": lambda: faults.measure(given.runs or 1000, given.share, given.jobs),
        "crowd": lambda: crowd.measure(given.runs or 200, given.pictures, given.seconds, given.model),
        "price": lambda: price.measure(given.runs or 300, given.model),
        "rules": lambda: rules.measure(given.runs or 500, given.model),
        "video": lambda: video.measure(given.runs or 120, given.model),
        "votes": lambda: votes.measure(given.runs or 200, given.model, given.right, given.votes),
        "rescue": lambda: rescue.measure(given.runs or 100, given.model, given.right),
    }[given.what]()
    print(json.dumps({"machine": machine_words(), **figures}, indent=2))


if __name__ == "__main__":
    main()
