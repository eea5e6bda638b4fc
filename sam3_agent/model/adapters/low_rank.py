"""Low-rank changes of linear layers (LoRA, arXiv 2106.09685), and a network that shares everything else with its base.

A change has two tensors, `NAME.down` (r, in) and `NAME.up` (out, r), for y = W x + b + up down x; or, where the whole
layer was trained, `NAME.weight` and `NAME.bias`, which are added to W and b. NAME is the layer's in a `Sam3Model`.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Sam3Model

PARTS = ("detr_encoder", "detr_decoder", "dot_product_scoring")
"""Parts behind the vision features, so that the same cached features serve base and adapter."""
WHOLE = "detr_decoder.presence_head."
"""Trained whole: it breaks first when a model learns a new word, and is small (0.13 M numbers at full size)."""
KINDS = ("down", "up", "weight", "bias")


def layers_of(model: Sam3Model) -> Iterator[tuple[str, nn.Linear]]:
    """Every linear layer that an adapter may change, by its name in the model."""
    for part in PARTS:
        for name, module in getattr(model, part).named_modules():
            if isinstance(module, nn.Linear):
                yield f"{part}.{name}", module


def shapes_of(model: Sam3Model, rank: int) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of an adapter of this rank."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, layer in layers_of(model):
        if name.startswith(WHOLE):
            shapes |= {f"{name}.weight": tuple(layer.weight.shape), f"{name}.bias": (layer.out_features,)}
        else:
            shapes |= {f"{name}.down": (rank, layer.in_features), f"{name}.up": (layer.out_features, rank)}
    return shapes


def fresh(model: Sam3Model, rank: int, seed: int) -> dict[str, Tensor]:
    """Tensors of an adapter that changes nothing yet: `down` at random (uniform, 1 / sqrt(in)), the others zero."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, shape in shapes_of(model, rank).items():
        if name.endswith(".down"):
            tensors[name] = (torch.rand(shape, generator=generator) * 2 - 1) / shape[1] ** 0.5
        else:
            tensors[name] = torch.zeros(shape)
    return tensors


def averaged(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of the changes of several adapters, exactly: their ranks stand side by side."""
    count = len(parts)
    mean: dict[str, Tensor] = {}
    for name in parts[0]:
        held = [part[name] for part in parts]
        if name.endswith(".down"):
            mean[name] = torch.cat(held, dim=0)
        elif name.endswith(".up"):
            mean[name] = torch.cat(held, dim=1) / count
        else:
            mean[name] = torch.stack(held).mean(dim=0)
    return mean


def view_of(model: Sam3Model, tensors: Mapping[str, Tensor]) -> Sam3Model:
    """The same network with these changes: every tensor is the base's own, which stays as it is.

    Differentiable in the changes, which are read at each call.
    """
    memo: dict[int, Any] = {id(held): held for part in PARTS for held in _tensors(getattr(model, part))}
    view = copy.copy(model)
    view.__dict__["_modules"] = dict(cast(Any, model)._modules)
    for part in PARTS:
        view._modules[part] = copy.deepcopy(getattr(model, part), memo)  # pyright: ignore[reportPrivateUsage]
    for name, layer in layers_of(view):
        if f"{name}.down" in tensors:
            layer.register_forward_hook(_low_rank(tensors, name))
        if f"{name}.weight" in tensors:
            layer.register_forward_hook(_whole(tensors, name))
    return view


def weights_with(tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the changed layers, changes added in float32; `weights` has the names of a Sam3Model."""
    changed: dict[str, Tensor] = {}
    for name in dict.fromkeys(each.rpartition(".")[0] for each in tensors):
        weight = weights[f"{name}.weight"]
        if f"{name}.down" in tensors:
            more = tensors[f"{name}.up"].float() @ tensors[f"{name}.down"].float()
        else:
            more = tensors[f"{name}.weight"].float()
            bias = weights[f"{name}.bias"]
            changed[f"{name}.bias"] = (bias.float() + tensors[f"{name}.bias"].float().to(bias.device)).to(bias.dtype)
        changed[f"{name}.weight"] = (weight.float() + more.to(weight.device)).to(weight.dtype)
    return changed


def merge(model: Sam3Model, tensors: Mapping[str, Tensor]) -> None:
    """Give the model weights with the changes; a view that was made before keeps the old ones."""
    for name, value in weights_with(tensors, model.state_dict()).items():
        layer, _, kind = name.rpartition(".")
        setattr(model.get_submodule(layer), kind, nn.Parameter(value, requires_grad=False))


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]


def _low_rank(tensors: Mapping[str, Tensor], name: str) -> Hook:
    def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        (x,) = inputs
        down, up = tensors[f"{name}.down"].to(x.dtype), tensors[f"{name}.up"].to(x.dtype)
        return output + functional.linear(functional.linear(x, down), up)

    return add


def _whole(tensors: Mapping[str, Tensor], name: str) -> Hook:
    def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        (x,) = inputs
        return output + functional.linear(x, tensors[f"{name}.weight"].to(x.dtype), tensors[f"{name}.bias"].to(x.dtype))

    return add
