"""The blocks of any network: a weight layer with the norm and the activation behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import activation as activations
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import FrozenBatchNorm2d

from bayesft.models.trace import Op, Trace, trace

_MATRICES = (nn.Linear, nn.Bilinear)
_WEIGHTS = (_ConvNd, *_MATRICES, nn.MultiheadAttention)
_NORMS = (
    _NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
    FrozenBatchNorm2d,
)
_GATES = (nn.Sigmoid, nn.Hardsigmoid)
_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin)
_ACTIVATIONS = tuple(
    kind
    for kind in (getattr(activations, name) for name in activations.__all__)
    if kind not in _NO_ACTIVATIONS
)
_GATE_FUNCTIONS = {F.sigmoid, F.hardsigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid}
_ACTIVATION_FUNCTIONS = _GATE_FUNCTIONS | {
    function
    for space in (F, torch, Tensor)
    for name in (
        *("relu", "relu_", "relu6", "elu", "elu_", "selu", "celu", "gelu", "silu", "mish"),
        *("leaky_relu", "leaky_relu_", "hardswish", "hardtanh", "tanh", "tanh_", "softplus"),
    )
    if (function := getattr(space, name, None)) is not None
}
_MULTIPLICATIONS = {
    torch.mul,
    torch.multiply,
    *(getattr(Tensor, name) for name in ("mul", "mul_", "__mul__", "__rmul__", "__imul__")),
}
_FUNCTIONAL_WEIGHTS = {F.linear, F.conv1d, F.conv2d, F.conv3d}


@dataclass(frozen=True)
class Host:
    """Where a block's value can be taken hold of.

    Attributes:
        module: of the network, called once in a forward pass (or the weight layer itself).
        before: whether the value is its first argument; else what it returns.
    """

    module: nn.Module
    before: bool


@dataclass(frozen=True)
class Block:
    """A weight layer with the norm and the activation behind it.

    Attributes:
        path: of the weight layer.
        host: where its value is; None where no module takes or returns it.
        channel_axis: of a feature map, whose channels are dropped as a whole; None for
            vectors and tokens, whose numbers are dropped one by one.
        stage: which of the network's stages it is in, `stage1`, ..., `head`.
        last: whether the network's output comes from it with no other block in between.
    """

    path: str
    host: Host | None
    channel_axis: int | None
    stage: str
    last: bool


def find_blocks(model: nn.Module, batch: Tensor) -> list[Block]:
    """Return the blocks of `model`, in the order of the forward pass.

    A block's value is what comes out of its activation, or out of its norm or weight layer
    where no activation follows at once: in the branch of a residual block, before the sum.
    Where no module shows that value alone (a ReLU that is used in several places, a function
    such as `F.relu`), it is taken where the next layer receives it, or before the
    activation, which for ReLU is the same: it keeps zeros and positive factors.

    Left out are gates, blocks whose sigmoid is a factor of something else (squeeze and
    excitation): what they gate has a site of its own. A weight layer that is called several
    times, on several feature maps, is one block, which ends at the layer itself.

    A *stage* is the blocks whose feature maps have the same size, numbered from the largest
    on; `head` are those on vectors at the end. Vectors in between belong to the
    stage of the block before them.

    Args:
        model: any network, in eval mode.
        batch: images, shape `(2, channels, height, width)`.
    """
    graph = trace(model, batch, _is_layer)
    users = graph.users()
    paths = {module: path for path, module in model.named_modules()}
    owners = {
        id(parameter): path.rpartition(".")[0] for path, parameter in model.named_parameters()
    }
    last = _last(graph)
    found: dict[str, tuple[Host | None, int | None, bool, tuple[int, ...] | None]] = {}
    for number, op in enumerate(graph.ops):
        path = _path_of_weights(op, paths, owners)
        if path is None or path in found:
            continue
        chain = _chain(number, graph, users)
        if _is_gate(chain[-1], graph, users):
            continue
        shape = graph.ops[chain[-1]].shape
        found[path] = (
            _host(chain, graph, users),
            _channel_axis(op, shape),
            number in last,
            _size(op, shape),
        )
    stages = _stages([size for *_, size in found.values()])
    return [
        Block(path, host, axis, stage, is_last)
        for (path, (host, axis, is_last, _)), stage in zip(found.items(), stages, strict=True)
    ]


def _is_layer(module: nn.Module) -> bool:
    if isinstance(module, (*_WEIGHTS, *_NORMS, *_ACTIVATIONS)):
        return True
    # Pooling and the like, which can be the next layer. Dropout that is off makes nothing.
    ours = type(module).__module__.startswith("torch.nn.modules.")
    nothing = isinstance(module, (nn.Identity, _DropoutNd))
    return ours and not any(module.children()) and not nothing


def _is_gate(number: int, graph: Trace, users: dict[int, list[int]]) -> bool:
    """Whether what step `number` gives are factors from 0 to 1 of something else."""
    op = graph.ops[number]
    if not (isinstance(op.layer, _GATES) or op.function in _GATE_FUNCTIONS):
        return False
    taken_by = [graph.ops[user].function for user in users[number]]
    return bool(taken_by) and all(function in _MULTIPLICATIONS for function in taken_by)


def _path_of_weights(op: Op, paths: dict[nn.Module, str], owners: dict[int, str]) -> str | None:
    """Return the path of the weight layer that `op` is the use of, if it is."""
    if isinstance(op.layer, _WEIGHTS):
        return paths[op.layer]
    if op.function in _FUNCTIONAL_WEIGHTS:
        # Weights that are used without calling the layer that holds them.
        return next((owners[id(each)] for each in op.tensors if id(each) in owners), None)
    return None


def _chain(number: int, graph: Trace, users: dict[int, list[int]]) -> list[int]:
    """Return the steps of the block that begins with the weight layer `number`."""
    chain = [number]
    wanted = [_is_norm, _is_activation]
    while wanted and len(users[chain[-1]]) == 1 and chain[-1] not in graph.outputs:
        [following] = users[chain[-1]]
        op = graph.ops[following]
        while wanted and not wanted[0](op):
            wanted.pop(0)
        if wanted:
            wanted.pop(0)
            chain.append(following)
    return chain


def _is_norm(op: Op) -> bool:
    return isinstance(op.layer, _NORMS)


def _is_activation(op: Op) -> bool:
    return isinstance(op.layer, _ACTIVATIONS) or op.function in _ACTIVATION_FUNCTIONS


def _host(chain: Sequence[int], graph: Trace, users: dict[int, list[int]]) -> Host | None:
    layer = graph.ops[chain[0]].layer
    if layer is not None and graph.calls[layer] > 1:
        # What follows one of its calls need not follow the others.
        return Host(layer, before=False)
    for number in reversed(chain):
        for module in graph.returned_by.get(number, []):
            if graph.calls[module] == 1:
                return Host(module, before=False)
        if len(users[number]) == 1 and number not in graph.outputs:
            [following] = users[number]
            op = graph.ops[following]
            if op.layer is not None and graph.calls[op.layer] == 1 and op.first == number:
                return Host(op.layer, before=True)
    return None


def _channel_axis(op: Op, shape: tuple[int, ...]) -> int | None:
    if isinstance(op.layer, nn.MultiheadAttention):
        return None
    if isinstance(op.layer, _MATRICES) or op.function is F.linear:
        # Feature maps with their channels last, as in ConvNeXt; tokens have one axis less.
        return -1 if len(shape) > 3 else None
    return 1


def _size(op: Op, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the height and width of a feature map or the number of tokens; None for a vector."""
    axis = _channel_axis(op, shape)
    sizes = shape[2:] if axis == 1 else shape[1:-1]
    return sizes or None


def _last(graph: Trace) -> set[int]:
    """Return the weight layers that the output comes from with no other in between."""
    found, seen, waiting = set(), set(), list(graph.outputs)
    while waiting:
        number = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        op = graph.ops[number]
        if isinstance(op.layer, _WEIGHTS) or op.function in _FUNCTIONAL_WEIGHTS:
            found.add(number)
        else:
            waiting.extend(op.inputs)
    return found


def _stages(sizes: Sequence[tuple[int, ...] | None]) -> list[str]:
    """Return the stage of each block from the sizes of their feature maps, in their order."""

    def places(size: tuple[int, ...] | None) -> int:
        return math.prod(size or ())

    larger_later = [
        any(places(later) > places(size) for later in sizes[position:] if places(size) <= 1)
        for position, size in enumerate(sizes)
    ]
    own = [size for size, between in zip(sizes, larger_later, strict=True) if size and not between]
    order = sorted(set(own), key=places, reverse=True)
    names = {size: f"stage{number}" for number, size in enumerate(order, 1)}
    found: list[str] = []
    for size, between in zip(sizes, larger_later, strict=True):
        if between:
            found.append(found[-1] if found else "stage1")
        else:
            found.append(names[size] if size else "head")
    return found
