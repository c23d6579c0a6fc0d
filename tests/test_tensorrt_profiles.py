"""The ranges of shapes that TensorRT is given: what the model's batches would not fit is refused in words."""

from __future__ import annotations

import pytest
from tritonclient.grpc import model_config_pb2 as pb

from contract.batching import Batching, TensorRT, Triton
from contract.errors import UsageError
from contract.tensors import TensorSpec
from serving.layout.triton_config import model_config
from tests.builders import LOGITS, TOKENS

MASK = TensorSpec(name="mask", dtype="bool", dims=["batch", "length"])
IMAGE = TensorSpec(name="image", dtype="float32", dims=["batch", 1, 28, 28])
AGE = TensorSpec(name="age", dtype="float32", dims=["batch"])
TEXT = TensorSpec(name="text", dtype="string", dims=["batch"])


def written(inputs: list[TensorSpec], *shapes: str | None, max_batch_size: int = 32) -> pb.ModelConfig:
    """The configuration of a model that has these inputs and is given these min, opt and max shapes."""
    names = ("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes")
    options = {name: text for name, text in zip(names, shapes, strict=True) if text is not None}
    batching, triton = Batching(max_batch_size=max_batch_size), Triton(tensorrt=TensorRT(options=options))
    return model_config("words__onnx", "onnx", inputs, [LOGITS], batching, [], "a" * 64, triton)


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        ([TOKENS], ("tokens:1x1", "tokens:8x16", "tokens:32x64")),
        ([TOKENS], ("tokens:1x1", "tokens:64x64", "tokens:64x64")),
        ([TOKENS, MASK], ("tokens:1x1,mask:1x1", "mask:8x16,tokens:8x16", "tokens:32x64,mask:32x64")),
        ([IMAGE], ("image:1x1x28x28", "image:8x1x28x28", "image:32x1x28x28")),
        ([AGE], ("age:1", "age:8", "age:32")),
        # Two profiles, which hold all sizes of a batch together.
        ([TOKENS], ("tokens:1x1,tokens:9x1", "tokens:8x16,tokens:32x16", "tokens:8x64,tokens:32x64")),
        # Profiles that overlap, in no order, and one for sizes that no batch has.
        (
            [TOKENS],
            (
                "tokens:8x1,tokens:1x1,tokens:64x1",
                "tokens:8x1,tokens:8x1,tokens:64x1",
                "tokens:32x64,tokens:9x64,tokens:99x64",
            ),
        ),
        # A tensor within the graph, where what TensorRT takes of it begins; and a text, which it does not take.
        ([TOKENS, TEXT], ("tokens:1x1,/Range_0:0", "tokens:8x16,/Range_0:16", "tokens:32x64,/Range_0:64")),
    ],
)
def test_profiles_that_hold_every_batch_are_written_as_they_are(
    inputs: list[TensorSpec], shapes: tuple[str, str, str]
) -> None:
    (accelerator,) = written(inputs, *shapes).optimization.execution_accelerators.gpu_execution_accelerator
    assert tuple(accelerator.parameters[f"trt_profile_{size}_shapes"] for size in ("min", "opt", "max")) == shapes


@pytest.mark.parametrize(
    ("inputs", "shapes", "sentence"),
    [
        (
            [TOKENS],
            ("tokens:1x1", None, "tokens:32x64"),
            "there is trt_profile_min_shapes and no trt_profile_opt_shapes; give all three, or none",
        ),
        ([TOKENS], (None, None, "tokens:32x64"), "there is trt_profile_max_shapes and no trt_profile_min_shapes"),
        (
            [TOKENS],
            ("tokens:1x1", "tokens=8x16", "tokens:32x64"),
            "trt_profile_opt_shapes holds 'tokens=8x16'; give name:1x8 for each input, and a comma between two",
        ),
        ([TOKENS], ("tokens:1x1", "tokens:8x16, mask:1", "tokens:32x64"), "trt_profile_opt_shapes holds ' mask:1'"),
        ([TOKENS], ("tokens:1x1", "tokens:8x-1", "tokens:32x64"), "trt_profile_opt_shapes holds 'tokens:8x-1'"),
        (
            [TOKENS],
            ("tokens:1x1", "tokens:8x16,tokens:8x16", "tokens:32x64"),
            "'tokens' has another number of shapes in each (trt_profile_min_shapes 1, trt_profile_opt_shapes 2, "
            "trt_profile_max_shapes 1); give one per profile",
        ),
        ([TOKENS], ("tokens:1x1", "tokns:8x16", "tokens:32x64"), "trt_profile_opt_shapes 0"),
        (
            [TOKENS],
            ("tokens:1x8", "tokens:8x4", "tokens:32x64"),
            "'tokens' has 1x8, 8x4, 32x64; give as many axes to each, and min <= opt <= max along all",
        ),
        ([TOKENS], ("tokens:1x1", "tokens:8x128", "tokens:32x64"), "'tokens' has 1x1, 8x128, 32x64; give as many"),
        ([TOKENS], ("tokens:1", "tokens:8x16", "tokens:32x64"), "'tokens' has 1, 8x16, 32x64; give as many axes"),
        (
            [TOKENS, MASK],
            ("tokens:1x1,msk:1x1", "tokens:8x16,msk:8x16", "tokens:32x64,msk:32x64"),
            "'mask' is an input and has no shapes, which every input needs; named are tokens, msk",
        ),
        (
            [TOKENS],
            ("tokens:1", "tokens:16", "tokens:64"),
            "'tokens' has 1, 16, 64; the model takes ?x?, the rows of a batch first",
        ),
        ([AGE], ("age:1x1", "age:8x1", "age:32x1"), "'age' has 1x1, 8x1, 32x1; the model takes ?, the rows"),
        (
            [IMAGE],
            ("image:1x1x14x28", "image:8x1x28x28", "image:32x1x28x28"),
            "'image' has 1x1x14x28, 8x1x28x28, 32x1x28x28; axis 2 is always 28 in the model",
        ),
        (
            [TOKENS],
            ("tokens:1x1", "tokens:8x16", "tokens:16x64"),
            "'tokens' may have 1 to 16 rows, and a batch has 1 to 32, the max_batch_size",
        ),
        ([TOKENS], ("tokens:8x1", "tokens:8x16", "tokens:32x64"), "'tokens' may have 8 to 32 rows"),
        (
            [TOKENS],
            ("tokens:8x1,tokens:1x1", "tokens:8x16,tokens:1x16", "tokens:32x64,tokens:2x64"),
            "no profile has 'tokens' with 3 to 7 rows, and a batch has 1 to 32, the max_batch_size",
        ),
        (
            [TOKENS],
            ("tokens:1x1,tokens:40x1", "tokens:8x16,tokens:40x16", "tokens:16x64,tokens:64x64"),
            "no profile has 'tokens' with 17 to 32 rows, and a batch has 1 to 32",
        ),
        (
            [TOKENS, MASK],
            ("tokens:1x1,tokens:9x1,mask:1x1", "tokens:8x8,tokens:9x8,mask:8x8", "tokens:8x9,tokens:32x9,mask:32x9"),
            "the tensors have different numbers of profiles ('tokens' 2, 'mask' 1); give each a shape in every one",
        ),
    ],
)
def test_profiles_that_the_models_batches_do_not_fit_are_refused_in_words(
    inputs: list[TensorSpec], shapes: tuple[str | None, ...], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        written(inputs, *shapes)
    assert str(caught.value).startswith("triton.tensorrt.options of words__onnx: ")
    assert sentence in str(caught.value)


def test_what_a_batch_may_have_is_the_models_own() -> None:
    shapes = ("tokens:1x1", "tokens:8x16", "tokens:16x64")
    assert written([TOKENS], *shapes, max_batch_size=16).max_batch_size == 16
    with pytest.raises(UsageError, match="1 to 16 rows, and a batch has 1 to 17"):
        written([TOKENS], *shapes, max_batch_size=17)
