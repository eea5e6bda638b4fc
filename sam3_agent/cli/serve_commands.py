"""The commands that serve the model until Ctrl-C, `serve model` and `serve label-studio`, as `app.py` takes them up."""

from pathlib import Path
from typing import Annotated

import typer

from sam3_agent.cli.options import (
    DeviceOption,
    DtypeOption,
    FastOption,
    ModelOption,
    ModelOptions,
    ThresholdOption,
)
from sam3_agent.cli.outputs import CheckedCommand

HostOption = Annotated[str, typer.Option(metavar="H", help="Address to listen on.")]
PortOption = Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 takes a free one.")]
ServedOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the images that the tool serves as local files.")
]
LabelStudioOption = Annotated[
    str,
    typer.Option(
        "--label-studio",
        metavar="URL",
        help="Address of Label Studio, for uploaded images; token in LABEL_STUDIO_API_KEY.",
    ),
]
AllowHostOption = Annotated[list[str] | None, typer.Option(metavar="HOST", help="Further host of images; repeatable.")]
LoginOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="One line, user:password, asked of every caller.")
]
LearnedOption = Annotated[
    list[str] | None, typer.Option(metavar="FILE", help='A learned concept, for model_phrase="@NAME"; repeatable.')
]
VerticesOption = Annotated[
    float, typer.Option(metavar="PX", min=0.0, max=100.0, help="Polygons may be off by so many pixels.")
]
AppOption = Annotated[
    str, typer.Option("--name", metavar="APP", help="Its name on the cluster: ask it as --segmenter serve:APP.")
]
ReplicasOption = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=100_000, help="Processes with the model [one a GPU, or one for 2 CPUs]."),
]
MaxReplicasOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=100_000, help="Let Ray add replicas under load, up to so many.")
]
OngoingOption = Annotated[
    int, typer.Option("--max-ongoing", metavar="N", min=1, max=1024, help="Calls that a replica has at a time.")
]
QueuedOption = Annotated[
    int,
    typer.Option(
        "--max-queued", metavar="N", min=1, max=100_000, help="Calls of one client that may wait; more are told 'busy'."
    ),
]
FeatureOption = Annotated[
    int,
    typer.Option("--feature-mib", metavar="MIB", min=1, help="Features of images that a replica keeps."),
]
SpreadOption = Annotated[
    int, typer.Option(metavar="N", min=0, max=1000, help="Further replicas that take an image whose own is full.")
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Return when all replicas are ready, and leave them on the cluster.")
]
RemoveOption = Annotated[bool, typer.Option("--remove", help="Only end what is served under --name.")]

serve = typer.Typer(
    name="serve",
    help="Serve the model: to other programs and machines, or to a labeling tool.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@serve.command("model", cls=CheckedCommand)
def model(
    name: AppOption = "sam3",
    replicas: ReplicasOption = None,
    max_replicas: MaxReplicasOption = None,
    max_ongoing: OngoingOption = 16,
    max_queued: QueuedOption = 256,
    feature_mib: FeatureOption = 2048,
    spread: SpreadOption = 16,
    detach: DetachOption = False,
    remove: RemoveOption = False,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    fast: FastOption = "auto",
) -> None:
    """Serve the model by Ray Serve, on the cluster of RAY_ADDRESS or else on this machine, until Ctrl-C.

    Every command takes it as --segmenter serve:APP. The same command again replaces the replicas step by step.
    """
    from sam3_agent.cli.commands import serve_model as command
    from sam3_agent.serving.deployment import Deployment, ModelLoader

    if remove:
        return command.remove_model(name)
    load = ModelLoader(model, device, dtype, fast)
    numbers = (replicas, max_replicas, max_ongoing, max_queued, feature_mib, spread)
    return command.serve_model(Deployment(load, name, *numbers, on_gpu=device != "cpu"), detach=detach)


@serve.command("label-studio", cls=CheckedCommand)
def label_studio(
    host: HostOption = "127.0.0.1",
    port: PortOption = 9090,
    images: ServedOption = None,
    address: LabelStudioOption = "",
    allow_host: AllowHostOption = None,
    login_file: LoginOption = None,
    concept: LearnedOption = None,
    threshold: ThresholdOption = 0.5,
    simplify: VerticesOption = 1.0,
    model: ModelOption = "tiny",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
) -> None:
    """Serve the model to Label Studio as its ML backend: masks by labels, examples, clicks and boxes."""
    from sam3_agent.cli.commands import serve as command
    from sam3_agent.labeling.label_studio.backend import Answering

    service = command.Service(
        host,
        port,
        images,
        address,
        tuple(allow_host or ()),
        login_file,
        tuple(concept or ()),
        Answering(threshold, simplify),
    )
    command.serve_label_studio(service, ModelOptions(model, device, dtype))
