"""`sam3-agent serve model`: the model as a deployment of Ray Serve."""

import os
import signal
import threading

from sam3_agent.cli.output import print_line, progress_console
from sam3_agent.errors import InputError
from sam3_agent.model.ray_cluster import ServedAddress, connect
from sam3_agent.serving.deployment import Deployment, cluster_of_ray, deploy, remove


def serve_model(options: Deployment, *, detach: bool) -> None:
    """Deploy, and wait for Ctrl-C, unless detached; then what was deployed is removed.

    Raises:
        InputError: detached without a cluster that would go on, or the cluster is too small.
        ModelUnavailable: the model cannot be loaded.
    """
    if detach and not os.environ.get("RAY_ADDRESS"):
        raise InputError(
            "--detach leaves the model on a cluster that goes on: 'ray start --head', then RAY_ADDRESS=auto"
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside, it is removed as well
    with cluster_of_ray():
        try:
            with progress_console().status(f"starting replicas of {options.app}"):
                count = deploy(options)
            address = ServedAddress(options.app)
            print_line(f"model: {address} ({count} replicas)")
            if detach:
                return
            print_line(f"ask it: sam3-agent segment IMAGE CONCEPT --segmenter {address}; Ctrl-C ends")
            threading.Event().wait()
        finally:
            if not detach:
                remove(options.app)


def remove_model(app: str) -> None:
    """End what is served under a name on the cluster of RAY_ADDRESS, or the one of this machine.

    Raises:
        Sam3AgentError: there is no cluster.
    """
    connect("auto")
    remove(app)
    print_line(f"removed {app}")
