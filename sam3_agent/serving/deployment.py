"""Deployment: the model as an application of Ray Serve, with as many replicas as are wanted."""

import contextlib
import sys
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sam3_agent.errors import InputError, ModelUnavailable, Sam3AgentError
from sam3_agent.model.devices import Fast
from sam3_agent.model.ray_cluster import APP, ServedAddress, connect, first_words, import_ray, import_serve
from sam3_agent.model.served_segmenter import ServedSegmenter, open_served
from sam3_agent.serving.replica import LoadedModel, Replica

NAME = "segmenter"
"""Of the deployment in its application."""
ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
"""Sends requests of one session id, here the digest of an image, to one replica; of Ray itself, from 2.60 on."""
MAX_ONGOING = 16
"""Calls that a replica has at once: as many as prompts that go through the network together."""
MAX_QUEUED = 256
"""Calls of one client that wait for a place at a replica."""
SPREAD = 16
"""Further replicas that take an image where its own has no place; each encodes it anew, and holds it from then on. What
that saves and costs on a thousand replicas is in docs/serving.md, by `benchmarks.serving simulate`."""
FEATURE_MIB = 2048
_MAX_BACKOFF = 0.05
"""Seconds between two looks for a place; Serve's 0.5 leaves a replica idle that answers in 0.03."""
_HEALTH_SECONDS = 5.0
_SURGE = 20
"""Percent of further replicas while old ones are replaced; as many as Serve replaces at a time."""
_DRAIN_SECONDS = 120.0
"""Calls in work are finished before a replica that is replaced ends."""


@dataclass(frozen=True, slots=True)
class ModelLoader:
    """Loader of a model by its name, as it runs in the process of a replica."""

    model: str
    """As the user named it."""
    device: str = "auto"
    dtype: str = "auto"
    fast: Fast = "auto"
    place: str = field(init=False)
    """The name as replicas understand it, whose working folder is another one: paths are absolute."""

    def __post_init__(self) -> None:
        """Find out whether the name is a path."""
        path = Path(self.model).expanduser()
        is_path = self.model not in ("tiny", "facebook/sam3") and path.exists()
        object.__setattr__(self, "place", str(path.resolve()) if is_path else self.model)

    def __call__(self) -> LoadedModel:
        """Load the model; raises ModelUnavailable."""
        from sam3_agent.model.loading import locate
        from sam3_agent.model.model_folder import weights_hash
        from sam3_agent.model.replicas import load_replicas

        engines = load_replicas(self.place, self.device, self.dtype, fast=self.fast)
        _, folder = locate(self.place)
        return LoadedModel(tuple(engines), self.model, weights_hash(folder))


@dataclass(frozen=True, slots=True)
class Deployment:
    """Options of a deployment."""

    load: Callable[[], LoadedModel]
    app: str = APP
    replicas: int | None = None
    """None: one a GPU of the cluster, or one for two CPUs."""
    max_replicas: int | None = None
    """Limit of autoscaling; above `replicas`, Serve adds replicas under load, and takes them away when it is over."""
    max_ongoing: int = MAX_ONGOING
    max_queued: int = MAX_QUEUED
    feature_mib: int = FEATURE_MIB
    spread: int = SPREAD
    cpus: float = 1.0
    """Of each replica; threads of its network, too."""
    on_gpu: bool = True
    """Whether a replica takes a GPU where the cluster has any."""

    def __post_init__(self) -> None:
        """Raise InputError for numbers that do not fit together."""
        ServedAddress(self.app)
        if self.max_replicas is not None and self.max_replicas < (self.replicas or 1):
            raise InputError(f"--max-replicas {self.max_replicas} is less than --replicas {self.replicas}")


def deploy(options: Deployment) -> int:
    """Deploy on the cluster that this process is connected to; gives the number of replicas.

    An application of that name is replaced, a fifth of its replicas at a time; each finishes what it has begun. Where
    the cluster has room for one more, new ones are ready before old ones end. So the same call again is a rolling
    restart.

    Raises:
        InputError: the cluster is too small.
        ModelUnavailable: a replica cannot load the model.
    """
    ray, serve = import_ray(), import_serve()
    room = ray.cluster_resources()
    gpus, cpus = (room.get("GPU", 0.0) if options.on_gpu else 0.0), room.get("CPU", 0.0)
    count = options.replicas or int(gpus) or max(int(cpus // 2), 1)
    if count * options.cpus > cpus or 0 < gpus < count:
        raise InputError(
            f"the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs: too few for {count} replicas; give fewer --replicas"
        )
    serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
    left = ray.available_resources()
    roomy = left.get("CPU", 0.0) >= options.cpus and (not gpus or left.get("GPU", 0.0) >= 1)
    app = configured(options, count, on_gpu=gpus > 0, roomy=roomy).bind(
        options.load, options.max_ongoing, options.feature_mib * 2**20
    )
    try:
        serve.run(app, name=options.app, route_prefix=None, logging_config={"log_level": "WARNING"})
    except RuntimeError as error:
        raise ModelUnavailable(f"the model cannot be served: {_reason(serve, options.app, error)}") from error
    return count


def configured(options: Deployment, count: int, *, on_gpu: bool, roomy: bool = False) -> Any:
    """Give Serve's `Deployment` of these options, with `count` replicas at least, not yet deployed.

    Args:
        options: what is served.
        count: replicas, at first.
        on_gpu: each takes a GPU.
        roomy: there is room for further ones while replicas are replaced.
    """
    return (
        import_serve()
        .deployment(Replica, name=NAME)
        .options(
            **_scaling(options, count),
            max_ongoing_requests=options.max_ongoing,
            max_queued_requests=options.max_queued,
            ray_actor_options={"num_cpus": options.cpus, "num_gpus": 1 if on_gpu else 0},
            request_router_config=_router(options.spread),
            health_check_period_s=_HEALTH_SECONDS,
            graceful_shutdown_timeout_s=_DRAIN_SECONDS,
            max_surge_percent=_SURGE if roomy else 0,
        )
    )


def remove(app: str) -> None:
    """End an application; calls that its replicas have begun are finished. One that is not there is no error."""
    serve = import_serve()
    with contextlib.suppress(serve.exceptions.RayServeException):  # the cluster has gone before
        serve.delete(app)


@contextmanager
def serving(options: Deployment, **cluster: Any) -> Generator[ServedSegmenter]:
    """Serve a model as long as the block lasts, on the cluster of RAY_ADDRESS or else on one of this machine.

    Args:
        options: what is served, under a name that nothing else has.
        cluster: options of `ray.init`.

    Raises:
        Sam3AgentError: as `connect`, `deploy` and `open_served`.
    """
    with cluster_of_ray(**cluster):
        try:
            deploy(options)
            yield open_served(ServedAddress(options.app))
        finally:
            remove(options.app)


@contextmanager
def serving_model(model: str, device: str, dtype: str, fast: Fast) -> Generator[ServedSegmenter]:
    """Serve a model by its name for one run: under a made-up name, on as many replicas as the cluster has room for."""
    load = ModelLoader(model, device, dtype, fast)
    app = f"{APP}-{uuid.uuid4().hex[:12]}"
    with serving(Deployment(load, app, on_gpu=device != "cpu")) as served:
        yield served


@contextmanager
def cluster_of_ray(address: str = "", **options: Any) -> Generator[None]:
    """Be connected to a cluster as `connect` does; one that was started for it ends with the block.

    Raises:
        Sam3AgentError: as `connect`.
    """
    ours = connect(address, **options)
    try:
        yield
    finally:
        if ours:
            with redirect_stdout(sys.stderr):  # Ray tells there of Serve's own processes, which end with it
                import_ray().shutdown()


def _scaling(options: Deployment, count: int) -> dict[str, Any]:
    if options.max_replicas is None or options.max_replicas == count:
        return {"num_replicas": count}
    target = max(1.0, options.max_ongoing / 2)  # half full: room for a burst while a replica starts
    return {
        "num_replicas": None,
        "autoscaling_config": {
            "min_replicas": count,
            "max_replicas": options.max_replicas,
            "target_ongoing_requests": target,
        },
    }


def _router(spread: int) -> Any:
    config = import_serve().config
    return config.RequestRouterConfig(
        request_router_class=ROUTER,
        request_router_kwargs={"num_fallback_replicas": spread},
        max_backoff_s=_MAX_BACKOFF,
    )


def _reason(serve: Any, app: str, error: Exception) -> str:
    """Find in the status of an application why no replica starts; its last line is the error itself."""
    try:
        deployed = serve.status().applications[app].deployments[NAME]
    except (KeyError, RuntimeError, serve.exceptions.RayServeException):
        return first_words(error)
    lines = [line.strip() for line in str(deployed.message).splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line or "Unavailable" in line]
    return first_words(Sam3AgentError((told or lines or [str(error)])[-1]))
