"""The functions of torch that can be read: one name for all spellings of one, the names of their arguments, their kinds."""

from collections.abc import Callable
from typing import Any


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SPELLINGS = {
    **{f"{end}{name}": name for name in ("add", "mul") for end in "ri"},
    **{f"i{name}": name for name in ("sub", "div", "pow", "matmul")},
    **{"truediv": "div", "itruediv": "div", "rtruediv": "rdiv", "true_divide": "div", "divide": "div"},
    **{"multiply": "mul", "subtract": "sub", "concat": "cat", "concatenate": "cat", "clip": "clamp"},
    **{"max_pool2d_with_indices": "max_pool2d", "max_pool1d_with_indices": "max_pool1d"},
    **{"adaptive_max_pool2d_with_indices": "adaptive_max_pool2d", "adaptive_max_pool1d_with_indices": "adaptive_max_pool1d"},
    **{
        "upsample": "interpolate",
        "swapaxes": "transpose",
        "swapdims": "transpose",
        "moveaxis": "movedim",
        "T": "t",
        "linalg_vector_norm": "vector_norm",
    },
}
POINTWISE = _names(
    "abs acos alpha_dropout asin atan batch_norm bernoulli bool ceil celu channel_shuffle clamp clamp_max clamp_min clone "
    "contiguous cos cpu cuda data detach double dropout dropout1d dropout2d elu erf exp expm1 feature_dropout "
    "feature_alpha_dropout float floor gelu group_norm half hardshrink hardsigmoid hardswish hardtanh instance_norm layer_norm "
    "leaky_relu local_response_norm log log10 log1p log2 logical_not logit logsigmoid log_sigmoid masked_fill mish nan_to_num "
    "native_channel_shuffle neg positive prelu reciprocal relu relu6 requires_grad rms_norm round rrelu rsqrt selu sigmoid sign "
    "silu sin softplus softshrink softsign sqrt square tan tanh tanhshrink threshold to trunc type type_as bfloat16"
)
JOINS = _names(
    "add sub rsub mul div rdiv pow rpow maximum minimum cat stack where lerp fmod remainder floor_divide atan2 hypot addcmul "
    "addcdiv copy gt lt ge le eq ne logical_and logical_or logical_xor and or xor"
)
OVER_DIM = _names("softmax log_softmax softmin normalize cumsum gumbel_softmax")
REDUCTIONS = {
    **{"mean": "average", "amax": "max", "amin": "min", "max": "max", "min": "min", "sum": "sum"},
    **{name: name for name in ("std", "var", "logsumexp", "norm", "vector_norm", "prod", "median")},
}
RESHAPES = _names("flatten view reshape squeeze unsqueeze unflatten view_as reshape_as ravel")
SPREADS = _names("expand expand_as broadcast_to repeat tile repeat_interleave")
PARTS = _names("chunk split tensor_split split_with_sizes unbind getitem select narrow index_select")
ORDERS = _names("permute transpose t mT movedim flip roll")
RECURRENT = _names("lstm gru rnn_tanh rnn_relu")
CELLS = _names("lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell")
PRODUCTS = _names("linear matmul rmatmul mm bmm mv addmm baddbmm einsum")
ATTENTION = _names("scaled_dot_product_attention multi_head_attention_forward")
CONVOLUTIONS = {
    "conv1d": "conv1d", "conv2d": "conv", "conv_transpose1d": "transposed conv1d", "conv_transpose2d": "transposed conv",
}  # fmt: skip
POOLINGS = {
    f"{adaptive}{kind}_pool{dims}d": pool
    for kind, pool in (("max", "maxpool"), ("avg", "avgpool"))
    for adaptive in ("", "adaptive_")
    for dims in (1, 2)
} | {"lp_pool1d": "lppool", "lp_pool2d": "lppool"}
RESIZES = _names("interpolate pixel_shuffle pixel_unshuffle")
CONSTANT = _names(
    "zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty new_tensor argmax"
)
"""What takes an image's shape or type alone, or leaves nothing that could be trained."""

LIKE_ANOTHER = _names("to type_as view_as reshape_as expand_as")
"""What takes another tensor for its shape or type alone."""

COUNTED = PRODUCTS | ATTENTION | RECURRENT | CELLS | CONVOLUTIONS.keys()
"""What multiplies and accumulates."""

ARGUMENTS: dict[str, tuple[str, ...]] = {  # in their order, which many functions of torch cannot tell, being built in
    **dict.fromkeys(("conv1d", "conv2d"), ("input", "weight", "bias", "stride", "padding", "dilation", "groups")),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d"),
        ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    ),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), ("input", "kernel_size", "stride", "padding", "ceil_mode")),
    **dict.fromkeys(("lp_pool1d", "lp_pool2d"), ("input", "norm_type", "kernel_size", "stride")),
    "interpolate": ("input", "size", "scale_factor", "mode", "align_corners"),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), ("input", "factor")),
    "pad": ("input", "pad", "mode", "value"),
    **dict.fromkeys(REDUCTIONS, ("input", "dim", "keepdim")),
    **dict.fromkeys(("norm", "vector_norm"), ("input", "p", "dim", "keepdim")),
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "cumsum"), ("input", "dim")),
    **{"normalize": ("input", "p", "dim"), "gumbel_softmax": ("input", "tau", "hard", "eps", "dim")},
    "glu": ("input", "dim"),
    **dict.fromkeys(("chunk", "split", "tensor_split", "split_with_sizes"), ("input", "sizes", "dim")),
    "unbind": ("input", "dim"),
    "getitem": ("input", "index"),
    "select": ("input", "dim", "index"),
    "narrow": ("input", "dim", "start", "length"),
    "index_select": ("input", "dim", "index"),
    "transpose": ("input", "dim0", "dim1"),
    "movedim": ("input", "source", "destination"),
    **{"flip": ("input", "dims"), "roll": ("input", "shifts", "dims"), "permute": ("input", "dims")},
    "repeat_interleave": ("input", "repeats", "dim"),
    **dict.fromkeys(("cat", "stack"), ("tensors", "dim")),
    "linear": ("input", "weight", "bias"),
    **dict.fromkeys(("matmul", "mm", "bmm", "mv"), ("input", "other")),
    **dict.fromkeys(("addmm", "baddbmm"), ("bias", "input", "other")),
}


def named(function: Callable[..., Any]) -> str:
    """A function's one name, whether it is spelled as an operator, a method, in place, or as an attribute."""
    name: str = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        name = function.__self__.__name__  # type: ignore[attr-defined]  # an attribute of tensors, like x.T
    name = name.strip("_")
    return SPELLINGS.get(name, name)


def bound(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name; what `permute(0, 2, 1)` or `flip(2, 3)` are given one by one is one tuple."""
    names = ARGUMENTS.get(name, ("input",))
    if names[-1] == "dims" and len(args) > len(names):
        args = (*args[: len(names) - 1], args[len(names) - 1 :])
    given = dict(zip(names, args, strict=False)) | kwargs
    given |= {"dim": given["axis"]} if "axis" in given else {}
    return given | ({"input": given["self"]} if "self" in given else {})
