"""`python -m sam3_agent.training CONFIG --out DIR`: train the tiny SAM 3, or go on where a killed run stopped."""

import argparse
import logging
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path

from sam3_agent.errors import Sam3AgentError
from sam3_agent.training.click_run import train_clicks
from sam3_agent.training.config import CONFIGS, TrainConfig
from sam3_agent.training.export import export_clicks, export_parts, export_run, export_tracker
from sam3_agent.training.run import train
from sam3_agent.training.track_run import train_tracker


def main() -> int:
    """Parse the command line and train; further ranks are started as processes of the same command."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    config = replace(CONFIGS[options.config], device=options.device)
    if options.ranks:
        config = replace(config, ranks=options.ranks)
    if options.export:
        _export(config, options)
        return 0
    others: list[subprocess.Popen[bytes]] = []
    if options.rank == 0 and config.processes > 1:
        os.environ["SAM3_TRAINING_RUN"] = uuid.uuid4().hex
        command = [sys.executable, "-m", "sam3_agent.training", *sys.argv[1:]]
        others = [subprocess.Popen([*command, "--rank", str(rank)]) for rank in range(1, config.processes)]
    status = 1
    try:
        _train(config, options)
        status = 0
    except Sam3AgentError as error:
        logging.error("error: %s", error)
    except KeyboardInterrupt:
        logging.warning("interrupted; run the same command again to go on from the last checkpoint")
        status = 130
    finally:
        for other in others:
            if status:  # a rank whose partner is gone would wait for it forever
                other.terminate()
            other.wait()
    return status


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sam3_agent.training", description=__doc__)
    parser.add_argument("config", choices=sorted(CONFIGS))
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoint and log; resumed when it has one")
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--export", type=Path, help="write the run's weights into this folder instead of training")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu")
    parser.add_argument("--ranks", type=int, help="batches a step, on a CPU a process each (default: the config's)")
    parser.add_argument("--workers", type=int, help="processes that draw scenes ahead (default: a core each on a GPU)")
    parser.add_argument("--start-from", type=Path, help="exported weights to begin with (clicks, tracker: to learn on)")
    return parser.parse_args()


def _train(config: TrainConfig, options: argparse.Namespace) -> None:
    if config.stages[0].kind == "clicks":
        train_clicks(config, options.out, options.start_from, options.rank)
    elif config.stages[0].kind == "tracker":
        train_tracker(config, options.out, options.start_from, options.rank)
    else:
        train(config, options.out, options.rank, options.start_from, workers=_workers(options))


def _workers(options: argparse.Namespace) -> int:
    """On a GPU a core each, less the one that feeds it; on a CPU the ranks draw what they learn from."""
    if options.workers is not None:
        return options.workers
    return 0 if options.device == "cpu" else max(1, (os.cpu_count() or 2) - 1)


def _export(config: TrainConfig, options: argparse.Namespace) -> None:
    if config.stages[0].kind == "clicks":
        export_clicks(config, options.out, options.start_from, options.export)
    elif config.stages[0].kind == "tracker":
        export_tracker(config, options.out, options.start_from, options.export)
    elif all(stage.learns for stage in config.stages):
        export_parts(config, options.out, options.start_from, options.export)
    else:
        export_run(options.out, options.export)


if __name__ == "__main__":
    sys.exit(main())
