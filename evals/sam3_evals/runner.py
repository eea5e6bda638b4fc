"""Launching a run: the plan, the eye, a solver a job, the progress."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sam3_evals.datasets import Dataset
from sam3_evals.manifest import FILE as MANIFEST
from sam3_evals.manifest import prompts_hash, weights_hash
from sam3_evals.progress import Progress
from sam3_evals.run import Plan, execute, prepare
from sam3_evals.shard import Shard
from sam3_evals.solvers import Solver, make_solver, needs_eye

if TYPE_CHECKING:
    from sam3_agent.workspace import Workspace

_CALLS = 32
"""Of the eye, by one job at a time, at most: it asks about several tiles at once."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What `sam3-eval run` was told."""

    dataset: Dataset
    out: Path
    solver: str
    llm: str
    limit: int | None
    jobs: int
    shard: Shard
    seed: int
    model: str
    device: str
    dtype: str


def launch(given: Launch) -> int:
    """Run, or resume; returns how many cases were answered now.

    Raises:
        InputError: the folder holds another run, or the dataset is broken.
        ModelUnavailable: there is no such model, or it does not fit.
        LLMConfigError: there is no such brain.
    """
    plan = _plan(given)
    if resuming := (given.out / MANIFEST).exists():
        prepare(plan, given.out)  # refuses another run's folder before a model is loaded
    solvers = _solvers(given)
    if not resuming:
        prepare(plan, given.out)
    with Progress(given.out) as progress:
        return execute(given.out, given.dataset, solvers, progress)


def _plan(given: Launch) -> Plan:
    weights = model = device = dtype = ""
    if needs_eye(given.solver):
        from sam3_agent.model.loading import locate  # torch: not for score and compare

        model, folder = locate(given.model)
        weights = weights_hash(folder)
        device, dtype = _numbers(given)
    return Plan(
        dataset=given.dataset,
        solver=given.solver,
        model=model,
        llm=given.llm,
        limit=given.limit,
        weights=weights,
        prompts=prompts_hash() if given.llm else "",
        seed=given.seed,
        device=device,
        dtype=dtype,
        shard=given.shard,
    )


def _numbers(given: Launch) -> tuple[str, str]:
    """The kind of device and the number format that the options come to: figures differ between them in the last digit.

    How many devices of a kind there are makes no difference.
    """
    from sam3_agent.model.devices import device_names
    from sam3_agent.model.loading import pick_device, pick_dtype

    devices = [pick_device(name) for name in device_names(given.device)]
    kinds = {device.type for device in devices}
    formats = {str(pick_dtype(given.dtype, device)).removeprefix("torch.") for device in devices}
    return ",".join(sorted(kinds)), ",".join(sorted(formats))


def _solvers(given: Launch) -> list[Solver]:
    """One a job; each has a workspace of its own over the one eye."""
    if not needs_eye(given.solver):
        return [make_solver(given.solver, None, given.llm) for _ in range(given.jobs)]
    spaces = _workspaces(given)
    return [make_solver(given.solver, space, given.llm) for space in spaces]


def _workspaces(given: Launch) -> "list[Workspace]":
    from sam3_agent.model.replicas import load_eye, load_replicas
    from sam3_agent.model.scheduler import Scheduler
    from sam3_agent.workspace import Workspace

    if given.jobs == 1:
        return [Workspace(load_eye(given.model, device=given.device, dtype=given.dtype))]
    # With several callers the scheduler puts their questions into common batches, and none is sent away.
    replicas = load_replicas(given.model, device=given.device, dtype=given.dtype)
    eye = Scheduler(replicas, max_waiting=_CALLS * given.jobs)
    return [Workspace(eye) for _ in range(given.jobs)]
