"""golden.npz: what is written is what is read, for every dtype; a foreign or broken file is refused with a sentence."""

from __future__ import annotations

import io
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from contract.errors import UsageError
from contract.golden import Example, check_inputs, read_examples, synthesize, write_examples
from contract.tensors import DTYPES, Array, TensorSpec, dtype_of


def values(dtype: str, shape: tuple[int, ...], seed: int = 3) -> Array:
    random = np.random.default_rng(seed)
    if dtype == "string":
        words = np.empty(shape, object)
        for index in np.ndindex(shape):
            words[index] = random.bytes(int(random.integers(0, 9)))
        return words
    return np.asarray(random.normal(size=shape) * 50).clip(0).astype(dtype)


def assert_same(left: Array, right: Array) -> None:
    assert dtype_of(left) == dtype_of(right)
    assert left.shape == right.shape
    assert np.array_equal(left, right)


def archive(**entries: Array) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **entries)
    return buffer.getvalue()


def refusal(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        read_examples(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    return sentence.removeprefix(str(path))


@pytest.mark.parametrize("shape", [(), (1,), (3, 2), (0, 4), (2, 0), (2, 1, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_written_is_what_is_read(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    tensor = values(dtype, shape)
    write_examples(tmp_path / "golden.npz", [Example("r0000", {"x": tensor}, {"y": tensor})])
    (found,) = read_examples(tmp_path / "golden.npz")
    assert found.key == "r0000"
    assert_same(found.inputs["x"], tensor)
    assert_same(found.outputs["y"], tensor)


def test_strings_keep_every_byte(tmp_path: Path) -> None:
    words = np.array([[b"", b"\x00"], [b"\xff\xfe", b"a\x00"]], object)
    write_examples(tmp_path / "golden.npz", [Example("r0000", {"x": words})])
    assert read_examples(tmp_path / "golden.npz")[0].inputs["x"].tolist() == words.tolist()


def test_nan_and_inf_survive(tmp_path: Path) -> None:
    tensor = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)
    write_examples(tmp_path / "golden.npz", [Example("r0000", {"x": tensor})])
    assert read_examples(tmp_path / "golden.npz")[0].inputs["x"].tobytes() == tensor.tobytes()


def test_examples_come_back_in_the_order_of_their_keys(tmp_path: Path) -> None:
    keys = ["r0010", "r0002", "r0001"]
    write_examples(tmp_path / "golden.npz", [Example(key, {"x": np.full((1,), int(key[1:]))}) for key in keys])
    found = read_examples(tmp_path / "golden.npz")
    assert [example.key for example in found] == ["r0001", "r0002", "r0010"]
    assert [int(example.inputs["x"][0]) for example in found] == [1, 2, 10]


def test_inputs_keep_their_order(tmp_path: Path) -> None:
    tensors = {name: np.zeros((1,), np.float32) for name in ("zeta", "alpha", "mid")}
    write_examples(tmp_path / "golden.npz", [Example("r0000", tensors)])
    assert list(read_examples(tmp_path / "golden.npz")[0].inputs) == ["zeta", "alpha", "mid"]


def test_the_same_values_give_the_same_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [Example("r0000", {"x": values("float32", (2, 3)), "s": values("string", (2,))})]
    write_examples(tmp_path / "a.npz", examples)
    later = time.time() + 86_400.0
    monkeypatch.setattr(time, "time", lambda: later)
    write_examples(tmp_path / "b.npz", examples)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_nothing_in_the_file_is_pickled(tmp_path: Path) -> None:
    write_examples(tmp_path / "golden.npz", [Example("r0000", {"x": values("string", (3,))})])
    with np.load(tmp_path / "golden.npz", allow_pickle=False) as found:
        assert sorted(found.files) == ["r0000/in/x.bytes", "r0000/in/x.shape"]
        assert found["r0000/in/x.bytes"].dtype == np.uint8


def test_rows_are_the_batch_axis() -> None:
    assert Example("r0000", {"x": np.zeros((3, 2)), "z": np.zeros((3,))}).rows == 3


@pytest.mark.parametrize("count", [9_999, 10_000])
def test_what_cannot_be_read_back_is_never_written(tmp_path: Path, count: int) -> None:
    """Keys have four digits: the ten-thousand-and-first example is refused when written, or else read."""
    example = Example(f"r{count:04d}", {"x": np.zeros((1,), np.float32)})
    try:
        write_examples(tmp_path / "golden.npz", [example])
    except UsageError:
        return
    assert read_examples(tmp_path / "golden.npz")[0].key == example.key


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"golden\.npz does not exist; run 'make zoo' first"):
        read_examples(tmp_path / "golden.npz", "make zoo")


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, data)
    return buffer.getvalue()


def npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


GOOD = archive(**{"r0000/in/x": np.arange(1000)})
FLIPPED = GOOD[:800] + bytes([GOOD[800] ^ 0xFF]) + GOOD[801:]
BYTES = np.array([1, 0, 0, 0, 97], np.uint8)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (archive(x=np.zeros(3)), "entry 'x' is not of the form r0000/in/NAME or r0000/out/NAME"),
        (archive(**{"r0000/in/a-b": np.zeros(3)}), "entry 'r0000/in/a-b' is not of the form"),
        (archive(**{"r0000/inside/x": np.zeros(3)}), "entry 'r0000/inside/x' is not of the form"),
        (zipped("README", b"hello"), "entry 'README' is not of the form"),
        (archive(), "holds no examples"),
        (archive(**{"r0000/in/x": np.array([b"a", None], object)}), "cannot be read as an .npz file of examples"),
        (pickle.dumps({"x": 1}), "cannot be read as an .npz file of examples"),
        (b"hello, I am a text file", "cannot be read as an .npz file of examples"),
        (archive(**{"r0000/in/x.bytes": BYTES}), "r0000/in/x.shape"),
        (archive(**{"r0000/in/x.bytes": BYTES, "r0000/in/x.shape": np.array([2])}), "2 strings do not fit into"),
        (archive(**{"r0000/in/x.bytes": BYTES, "r0000/in/x.shape": np.array([0])}), "5 bytes are left over"),
        (archive(**{"r0000/in/x.bytes": BYTES, "r0000/in/x.shape": np.array([-1])}), "cannot be read"),
        (archive(**{"r0000/in/x.bytes": BYTES, "r0000/in/x.shape": np.array(1)}), "cannot be read"),
        (archive(**{"r0000/in/x.bytes": BYTES, "r0000/in/x.shape": np.array([2**40])}), "cannot be read"),
        (b"", "cannot be read"),
        (b"PK\x03\x04 and then nothing", "cannot be read"),
        (GOOD[: len(GOOD) // 2], "cannot be read"),
        (FLIPPED, "cannot be read"),
        (npy(np.zeros(3)), "cannot be read"),
        (npy(np.array([{}], object)), "cannot be read"),
        (zipped("r0000/in/x.npy", b"hello"), "cannot be read"),
        (zipped("r0000/in/x", b"hello"), "cannot be read"),
    ],
    ids=[
        "foreign entry", "foreign name", "foreign side", "foreign zip", "no entries", "pickled entry", "pickle", "text",
        "no shape", "too few bytes", "too many bytes", "negative shape", "scalar shape", "gigantic shape", "empty file",
        "zip magic alone", "cut off", "flipped bit", "npy", "pickled npy", "entry that is no npy",
        "entry without npy suffix",
    ],
)  # fmt: skip
def test_a_foreign_or_broken_file_is_refused_with_a_sentence(tmp_path: Path, data: bytes, part: str) -> None:
    assert part in refusal(tmp_path / "golden.npz", data)


def test_no_damage_to_a_file_is_met_by_anything_but_a_sentence(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    path = tmp_path / "golden.npz"
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, **{"r0000/in/x": np.arange(50), "r0000/in/s.bytes": BYTES, "r0000/in/s.shape": np.array([1])}
    )
    for round_ in range(300):
        data = bytearray(buffer.getvalue())
        if round_ % 3:
            for place in random.integers(0, len(data), 3):
                data[place] ^= 1 << int(random.integers(0, 8))
        else:
            del data[int(random.integers(0, len(data))) :]
        path.write_bytes(data)
        try:
            read_examples(path)
        except UsageError:
            continue


SPECS = [
    TensorSpec(name="x", dtype="float32", dims=["batch", 2]),
    TensorSpec(name="n", dtype="int64", dims=["batch", "length"]),
]
X, N = np.zeros((3, 2), np.float32), np.zeros((3, 7), np.int64)


def test_inputs_as_declared_are_accepted(tmp_path: Path) -> None:
    check_inputs([Example("r0000", {"n": N, "x": X})], SPECS, tmp_path / "e.npz")


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({"x": X}, "r0004 gives inputs ['x'], models.toml declares ['n', 'x']"),
        ({"x": X, "n": N, "m": N}, "r0004 gives inputs ['m', 'n', 'x'], models.toml declares ['n', 'x']"),
        ({"x": X.astype(np.float64), "n": N}, "r0004: dtype of 'x' is float64, expected float32"),
        ({"x": X[:, :1], "n": N}, "r0004: shape of 'x' is [3, 1], expected ['batch', 2]"),
        ({"x": X, "n": N[0]}, "r0004: shape of 'n' is [7], expected ['batch', 'length']"),
    ],
)
def test_inputs_that_are_not_as_declared_are_named(tmp_path: Path, inputs: dict[str, Array], sentence: str) -> None:
    path = tmp_path / "e.npz"
    with pytest.raises(UsageError) as caught:
        check_inputs([Example("r0000", {"x": X, "n": N}), Example("r0004", inputs)], SPECS, path)
    assert str(caught.value) == f"{path}: {sentence}"


def test_inputs_whose_batch_sizes_differ_are_refused(tmp_path: Path) -> None:
    """A dim's name means one size within a request."""
    with pytest.raises(UsageError, match="batch"):
        check_inputs([Example("r0000", {"x": X, "n": N[:2]})], SPECS, tmp_path / "e.npz")


def test_an_example_without_rows_or_inputs_never_reaches_a_model(tmp_path: Path) -> None:
    path = tmp_path / "e.npz"
    write_examples(path, [Example("r0000", {}, {"y": X})])
    with pytest.raises(UsageError, match=r"r0000 gives inputs \[\]"):
        check_inputs(read_examples(path), SPECS, path)


@pytest.mark.parametrize("dtype", DTYPES)
def test_made_up_examples_fit_their_specs(tmp_path: Path, dtype: str) -> None:
    specs = [
        TensorSpec(name="x", dtype=dtype, dims=["batch", "length", 3]),
        TensorSpec(name="z", dtype=dtype, dims=["batch"]),
    ]
    examples = synthesize(specs, 12, seed=1)
    check_inputs(examples, specs, tmp_path)
    assert [example.key for example in examples] == [f"r{n:04d}" for n in range(12)]
    write_examples(tmp_path / "e.npz", examples)
    for made, found in zip(examples, read_examples(tmp_path / "e.npz"), strict=True):
        assert_same(found.inputs["x"], made.inputs["x"])


def test_a_dim_s_name_means_one_size_within_a_request() -> None:
    specs = [TensorSpec(name=name, dtype="int64", dims=["batch", "length"]) for name in ("ids", "mask")]
    examples = synthesize(specs, 20, seed=2)
    assert all(example.inputs["ids"].shape == example.inputs["mask"].shape for example in examples)
    assert len({example.inputs["ids"].shape[1] for example in examples}) > 3
    assert {example.rows == 1 for example in examples} == {True, False}


def test_the_same_seed_makes_the_same_examples_up_and_another_does_not() -> None:
    specs = [TensorSpec(name="x", dtype="float32", dims=["batch", 8])]
    one, same, other = (synthesize(specs, 5, seed)[1].inputs["x"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("dtype", "bounds"),
    [("float32", (-3.0, 5.0)), ("int64", (5.0, 9.0)), ("uint8", (200.0, 256.0)), ("float64", (0.0, 1e-6))],
)
def test_made_up_values_lie_within_the_range(dtype: str, bounds: tuple[float, float]) -> None:
    spec = TensorSpec(name="x", dtype=dtype, dims=["batch", 50], range=bounds)
    made = np.concatenate([example.inputs["x"].ravel() for example in synthesize([spec], 8, seed=3)])
    assert made.min() >= bounds[0]
    assert made.max() < bounds[1]
    assert len(np.unique(made)) > 2
