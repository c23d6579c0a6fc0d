"""models.toml: every error is one sentence that names key, value and nearest known key; defaults; groups; paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.batching import Batching
from contract.compare import Tolerance
from contract.config import ModelsFile, read_config
from contract.errors import UsageError
from contract.load import Load, OwnSeeds
from contract.slo import Slo

INPUTS = 'inputs = [{ name = "x", dtype = "float32", dims = ["batch", 2] }]'
OUTPUTS = 'outputs = [{ name = "y", dtype = "float32", dims = ["batch", 2] }]'
MODEL = f"""
[models.m]
framework = "pytorch"
source = "package.module:build"
formats = ["onnx"]
{INPUTS}
{OUTPUTS}
"""
GOOD = "schema_version = 1\n" + MODEL


def read(folder: Path, text: str) -> ModelsFile:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def refusal(folder: Path, text: str) -> str:
    """The sentence with which a file is refused, without the path in front."""
    with pytest.raises(UsageError) as caught:
        read(folder, text)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith(f"{folder / 'models.toml'}")
    assert caught.value.exit_code == 2
    return sentence.removeprefix(f"{folder / 'models.toml'}").removeprefix(": ")


def with_inputs(inputs: str) -> str:
    return GOOD.replace(INPUTS, f"inputs = [{inputs}]")


def test_defaults_apply_where_a_key_is_absent(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    model = config.models["m"]
    assert config.target == "26.08"
    assert config.load == Load(
        concurrency=[1, 4, 16],
        duration_s=3.0,
        open_duration_s=None,
        warmup_s=0.5,
        in_flight=64,
        answers=64,
        seed=20240,
        seeds=OwnSeeds(schedule=None, payload=None, sampling=None),
        rounds=2,
    )
    assert (model.weights, model.examples, model.group) == (None, None, "default")
    assert model.engines == ["triton", "tfserving"]
    assert model.tolerance("onnx", model.outputs) == Tolerance(atol=1e-4, rtol=1e-3)
    assert model.batching == Batching(max_batch_size=32, max_queue_delay_us=0, instances=1, threads=1)
    assert model.slo == Slo(rate=200.0, p99_ms=50.0, error_rate=0.001)


def test_what_is_written_wins_over_the_defaults(tmp_path: Path) -> None:
    model = read(tmp_path, GOOD + "rtol = 0.5\n[models.m.slo]\nrate = 7\n[models.m.batching]\ninstances = 3\n").models[
        "m"
    ]
    assert (model.rtol, model.slo.rate, model.batching.instances) == (0.5, 7.0, 3)
    assert model.tolerance("onnx", model.outputs) == Tolerance(atol=1e-4, rtol=0.5)
    assert (model.slo.p99_ms, model.batching.threads) == (50.0, 1)


@pytest.mark.parametrize(
    ("form", "dtype", "expected"),
    [
        ("onnx", "float32", Tolerance(0.5, 1e-3)),
        ("onnx", "float16", Tolerance(0.5, 1e-2)),
        ("onnx-fp16", "float32", Tolerance(1e-2, 1e-2)),
        ("onnx-int8", "float32", Tolerance(0.125, 0.1, agreement=0.9)),
    ],
)
def test_a_tolerance_is_what_is_written_else_that_of_precision_and_dtype(
    tmp_path: Path, form: str, dtype: str, expected: Tolerance
) -> None:
    text = GOOD + "atol = 0.5\n[models.m.tolerances.onnx-int8]\natol = 0.125\nagreement = 0.9\n"
    model = read(tmp_path, text.replace(OUTPUTS, OUTPUTS.replace("float32", dtype))).models["m"]
    assert model.tolerance(form, model.outputs) == expected


@pytest.mark.parametrize(
    ("framework", "source", "kind"),
    [
        ("pytorch", "a.b:build", "pytorch"),
        ("pytorch", "net.pt", "torchscript"),
        ("pytorch", "net.jit", "torchscript"),
        ("pytorch", "net.pt2", "torch.export"),
        ("keras", "net.keras", "keras"),
        ("keras", "a.b:build", "keras-factory"),
        ("tensorflow", "a.b:build", "tensorflow"),
        ("tensorflow", "some/saved_model", "savedmodel"),
        ("tensorflow", "nmp.v1", "savedmodel"),
        ("onnx", "net.onnx", "onnx"),
    ],
)
def test_the_kind_of_source_follows_from_framework_and_ending(
    tmp_path: Path, framework: str, source: str, kind: str
) -> None:
    text = GOOD.replace('"pytorch"', f'"{framework}"').replace("package.module:build", source)
    model = read(tmp_path, text).models["m"]
    assert model.kind == kind
    assert model.source == (source if ":" in source else str(tmp_path / source))


@pytest.mark.parametrize(("framework", "source"), [("pytorch", "net.pth"), ("keras", "net.h5"), ("onnx", "net.pb")])
def test_a_source_that_is_neither_a_factory_nor_a_known_file_is_refused(
    tmp_path: Path, framework: str, source: str
) -> None:
    text = GOOD.replace('"pytorch"', f'"{framework}"').replace("package.module:build", source)
    assert f"source '{source}' is neither package.module:factory nor a file" in refusal(tmp_path, text)


def test_what_is_served_must_be_exported(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD + 'serve = ["onnx"]\n').models["m"].serve == ["onnx"]
    sentence = refusal(tmp_path, GOOD + 'serve = ["savedmodel"]\n')
    assert sentence == "'models.m': serve names 'savedmodel', formats has onnx"


def test_padding_must_name_an_axis_of_the_inputs(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, GOOD + "padding = { length = 0 }\n")
    assert sentence == "'models.m': padding names the axis 'length', inputs have batch"


def test_a_value_of_its_own_is_that_of_an_input_that_is_padded(tmp_path: Path) -> None:
    text = with_inputs('{ name = "tokens", dtype = "int64", dims = ["batch", "length"] }')
    padded = text + "padding = { length = 0 }\n"
    assert read(tmp_path, padded + "pad_with = { tokens = 1 }\n").models["m"].pad_with == {"tokens": 1}
    for wrong in (padded + "pad_with = { mask = 1 }\n", text + "pad_with = { tokens = 1 }\n"):
        assert "which is no input with an axis that padding names" in refusal(tmp_path, wrong)


def test_scalars_and_states_have_no_batch_axis_in_front(tmp_path: Path) -> None:
    rate, state = '{ name = "rate", dtype = "int64", dims = [] }', 'dims = [2, "batch", 8] }'
    model = read(
        tmp_path,
        with_inputs(
            f'{{ name = "x", dtype = "float32", dims = ["batch"] }}, {rate}, {{ name = "h", dtype = "float32", {state}'
        ),
    ).models["m"]
    assert not model.batched
    assert read(tmp_path, GOOD).models["m"].batched


UNKNOWN_KEYS = [
    ("top", 'targt = "26.08"\n' + GOOD, "unknown key 'targt'; did you mean 'target'?"),
    ("model", GOOD + 'grup = "a"\n', "unknown key 'models.m.grup'; did you mean 'group'?"),
    ("load", GOOD + "[load]\nconcurency = [1]\n", "unknown key 'load.concurency'; did you mean 'concurrency'?"),
    ("slo", GOOD + "[models.m.slo]\np99 = 3\n", "unknown key 'models.m.slo.p99'; did you mean 'p99_ms'?"),
    (
        "cuda",
        GOOD + "[models.m.triton.cuda]\ncudnn_conv_algo = 'default'\n",
        "unknown key 'models.m.triton.cuda.cudnn_conv_algo'; did you mean 'cudnn_conv_algo_search'?",
    ),
    (
        "batching",
        GOOD + "[models.m.batching]\nmax_batch = 3\n",
        "unknown key 'models.m.batching.max_batch'; did you mean 'max_batch_size'?",
    ),
    (
        "tensor",
        with_inputs('{ name = "x", dtype = "float32", dims = ["batch"], rnge = [0, 1] }'),
        "unknown key 'models.m.inputs.0.rnge'; did you mean 'range'?",
    ),
    (
        "nothing near",
        GOOD + "[models.m.slo]\nzzz = 3\n",
        "unknown key 'models.m.slo.zzz'; "
        "known keys: rate, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, p9999_ms, error_rate",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), [row[1:] for row in UNKNOWN_KEYS], ids=[row[0] for row in UNKNOWN_KEYS])
def test_an_unknown_key_names_the_nearest_known_key(tmp_path: Path, text: str, sentence: str) -> None:
    assert refusal(tmp_path, text) == sentence


@pytest.mark.parametrize(
    ("good", "misspelt", "key"),
    [
        ("framework =", "frmework =", "models.m.frmework'; did you mean 'framework'?"),
        ("[models.m]", "[model.m]", "model'; did you mean 'models'?"),
        ("schema_version", "schema_versoin", "schema_versoin'; did you mean 'schema_version'?"),
        (INPUTS, INPUTS.replace("dtype", "dtyp"), "models.m.inputs.0.dtyp'; did you mean 'dtype'?"),
    ],
)
def test_a_misspelt_required_key_is_named_rather_than_missed(
    tmp_path: Path, good: str, misspelt: str, key: str
) -> None:
    assert refusal(tmp_path, GOOD.replace(good, misspelt)) == f"unknown key '{key}"


@pytest.mark.parametrize("name", ["slo", "load", "batching", "inputs", "outputs", "models"])
def test_a_model_may_bear_the_name_of_a_section(tmp_path: Path, name: str) -> None:
    text = GOOD.replace("[models.m]", f"[models.{name}]")
    assert list(read(tmp_path, text).models) == [name]
    assert refusal(tmp_path, text + 'grup = "a"\n') == f"unknown key 'models.{name}.grup'; did you mean 'group'?"


@pytest.mark.parametrize(
    ("gone", "key"),
    [
        ("schema_version = 1\n", "schema_version"),
        (MODEL, "models"),
        ('framework = "pytorch"\n', "models.m.framework"),
        ('source = "package.module:build"\n', "models.m.source"),
        ('formats = ["onnx"]\n', "models.m.formats"),
        ('name = "x", ', "models.m.inputs.0.name"),
        ('dtype = "float32", dims = ["batch", 2] }]\nout', "models.m.inputs.0.dtype"),
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, gone: str, key: str) -> None:
    kept = 'dims = ["batch", 2] }]\nout' if gone.endswith("out") else ""
    assert refusal(tmp_path, GOOD.replace(gone, kept)) == f"key '{key}' is missing"


@pytest.mark.parametrize(
    ("good", "bad", "sentence"),
    [
        (
            '"pytorch"',
            '"torch"',
            "'models.m.framework' is 'torch': one of pytorch, keras, tensorflow, onnx; did you mean 'pytorch'?",
        ),
        (
            '["onnx"]',
            '["onnx", "torchscrpt"]',
            "'models.m.formats.1' is 'torchscrpt': one of torchscript, savedmodel, onnx, onnx-fp16, onnx-int8, pt2; "
            "did you mean 'torchscript'?",
        ),
        ("schema_version = 1", "schema_version = 2", "'schema_version' is '2': one of 1"),
    ],
)
def test_an_unknown_choice_names_the_value_the_choices_and_the_nearest(
    tmp_path: Path, good: str, bad: str, sentence: str
) -> None:
    assert refusal(tmp_path, GOOD.replace(good, bad)) == sentence


def test_an_unknown_engine_names_the_nearest(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, GOOD + 'engines = ["tritn"]\n')
    assert sentence == "'models.m.engines.0' is 'tritn': one of triton, tfserving; did you mean 'triton'?"


@pytest.mark.parametrize(
    ("extra", "key", "value"),
    [
        ("atol = -1", "models.m.atol", "-1"),
        ("atol = nan", "models.m.atol", "nan"),
        ('rtol = "much"', "models.m.rtol", "'much'"),
        ("group = 3", "models.m.group", "3"),
        ("[models.m.slo]\nrate = 0", "models.m.slo.rate", "0"),
        ("[models.m.slo]\np99_ms = -5.5", "models.m.slo.p99_ms", "-5.5"),
        ("[models.m.slo]\nerror_rate = 1", "models.m.slo.error_rate", "1"),
        ("[models.m.batching]\ninstances = 0", "models.m.batching.instances", "0"),
        ("[models.m.batching]\nmax_batch_size = 2.5", "models.m.batching.max_batch_size", "2.5"),
        ("[models.m.batching]\nmax_queue_delay_us = -1", "models.m.batching.max_queue_delay_us", "-1"),
        ("[models.m.batching.queue]\nmax_size = -1", "models.m.batching.queue.max_size", "-1"),
        ("[models.m.triton]\ngpus = [-1]", "models.m.triton.gpus.0", "-1"),
        ("[models.m.triton.tensorrt]\nworkspace_mib = 0", "models.m.triton.tensorrt.workspace_mib", "0"),
        ("[models.m.triton.cuda]\ngpu_mem_limit_mib = 0", "models.m.triton.cuda.gpu_mem_limit_mib", "0"),
        ("[affinity]\nload = [-2]", "affinity.load.0", "-2"),
        ("[load]\nconcurrency = [4, 0]", "load.concurrency.1", "0"),
        ("[load]\nconcurrency = 4", "load.concurrency", "4"),
        ("[load]\nduration_s = 0", "load.duration_s", "0"),
        ("[load]\nseed = -1", "load.seed", "-1"),
        ("[load.seeds]\npayload = -1", "load.seeds.payload", "-1"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_key(tmp_path: Path, extra: str, key: str, value: str) -> None:
    sentence = refusal(tmp_path, GOOD + extra + "\n")
    assert sentence.startswith(f"'{key}': ")
    assert sentence.endswith(f"(got {value})")


@pytest.mark.parametrize("line", ["formats = []", "engines = []", "[load]\nconcurrency = []"])
def test_an_empty_list_is_refused(tmp_path: Path, line: str) -> None:
    text = GOOD.replace('formats = ["onnx"]', line) if "formats" in line else f"{GOOD}{line}\n"
    assert "at least 1" in refusal(tmp_path, text)


@pytest.mark.parametrize("line", ["atol = inf", "rtol = inf", "[load]\nduration_s = inf", "[models.m.slo]\nrate = inf"])
def test_an_infinite_number_is_refused(tmp_path: Path, line: str) -> None:
    """An infinite tolerance would prove anything; an infinite stage would never end."""
    assert "(got inf)" in refusal(tmp_path, f"{GOOD}{line}\n")


@pytest.mark.parametrize("name", ["m", "resnet-50", "bert.base", "a_b_c", "7", "A.b-c_d"])
def test_a_model_name_is_letters_digits_dots_dashes_and_single_underscores(tmp_path: Path, name: str) -> None:
    assert list(read(tmp_path, GOOD.replace("models.m", f'models."{name}"')).models) == [name]


@pytest.mark.parametrize("name", ["a__b", "_a", "a_", "a b", "a/b", "", "ä", "a#2", "a*"])
def test_another_model_name_is_refused_by_name(tmp_path: Path, name: str) -> None:
    sentence = refusal(tmp_path, GOOD.replace("models.m", f'models."{name}"'))
    assert sentence == f"'{name}' is not a model name: letters, digits, '.', '-' and single '_' between them"


@pytest.mark.parametrize("name", [".", "..", "-x", "--group"])
def test_a_model_name_that_is_a_path_or_a_flag_is_refused(tmp_path: Path, name: str) -> None:
    """Names become folders below artifacts/ and words of command lines."""
    assert f"'{name}' is not a model name" in refusal(tmp_path, GOOD.replace("models.m", f'models."{name}"'))


@pytest.mark.parametrize(
    "dims", ['["batch", 0]', '["batch", -1]', '["batch", ""]', '["batch", true]', '["batch", 2.5]']
)
def test_a_dim_that_is_neither_a_size_nor_a_name_is_refused(tmp_path: Path, dims: str) -> None:
    sentence = refusal(tmp_path, with_inputs(f'{{ name = "x", dtype = "float32", dims = {dims} }}'))
    assert "models.m.inputs.0" in sentence


def test_the_first_dim_must_be_named(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, with_inputs('{ name = "x", dtype = "float32", dims = [8, 2] }'))
    assert sentence == "'models.m': the first of the dims of 'x' is 8; it is the batch axis, name it (\"batch\")"


def test_an_unknown_dtype_names_the_value_and_the_known_ones(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, with_inputs('{ name = "x", dtype = "flaot32", dims = ["batch"] }'))
    assert sentence.startswith("'models.m.inputs.0.dtype': unknown dtype 'flaot32': one of bool, uint8, int8")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('slo = { p99_ms = "20" }', "slo.p99_ms"),
        ('slo = { error_rate = "0.1" }', "slo.error_rate"),
        ("slo = { rate = true }", "slo.rate"),
        ('batching = { max_batch_size = "8" }', "batching.max_batch_size"),
        ('atol = "0.1"', "atol"),
        ('padding = { length = "0" }', "padding.length"),
    ],
)
def test_a_number_in_quotation_marks_is_refused(tmp_path: Path, line: str, key: str) -> None:
    assert refusal(tmp_path, f"{GOOD}\n{line}\n").startswith(f"'models.m.{key}': input should be a valid ")


def test_a_keras_file_of_the_old_kind_is_refused_with_what_to_do(tmp_path: Path) -> None:
    text = GOOD.replace('"pytorch"', '"keras"').replace("package.module:build", "net.h5")
    assert refusal(tmp_path, text).endswith("ends in .keras; load it with Keras and save it as .keras")


@pytest.mark.parametrize("bounds", ["[5, 1]", "[1, 1]", "[0, inf]"])
def test_a_range_that_holds_no_value_is_refused(tmp_path: Path, bounds: str) -> None:
    text = with_inputs(f'{{ name = "x", dtype = "float32", dims = ["batch"], range = {bounds} }}')
    assert "models.m.inputs.0" in refusal(tmp_path, text)


def test_a_tensor_name_twice_is_refused(tmp_path: Path) -> None:
    one = '{ name = "x", dtype = "float32", dims = ["batch"] }'
    assert refusal(tmp_path, with_inputs(f"{one}, {one}")) == "'models.m': inputs holds a name twice: x, x"


def test_a_format_twice_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace('["onnx"]', '["onnx", "onnx"]')
    assert refusal(tmp_path, text) == "'models.m': formats holds a format twice: onnx, onnx"


def test_the_target_is_a_triton_release(tmp_path: Path) -> None:
    assert read(tmp_path, 'target = "25.03"\n' + GOOD).target == "25.03"
    sentence = refusal(tmp_path, 'target = "26.8"\n' + GOOD)
    assert sentence.startswith("'target': ")
    assert sentence.endswith("(got '26.8')")


@pytest.mark.parametrize(
    "text", ["schema_version = 1\nmodels = 3\n", "schema_version = 1\n[models]\nx = 3\n", "load = 3\n" + GOOD]
)
def test_a_value_in_place_of_a_table_is_refused_with_its_key(tmp_path: Path, text: str) -> None:
    sentence = refusal(tmp_path, text)
    assert sentence.endswith("(got 3)")
    assert sentence.startswith(("'models", "'load'"))


def test_a_file_without_models_says_what_to_add(tmp_path: Path) -> None:
    assert refusal(tmp_path, "schema_version = 1\n[models]\n") == " declares no models; add a table [models.NAME]"


def test_a_missing_file_says_which_flag_names_another(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nope\.toml does not exist; name another file with --config"):
        read_config(tmp_path / "nope.toml")


@pytest.mark.parametrize("name", ["", "models.toml/below"])
def test_a_path_that_is_not_a_file_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "models.toml").write_text(GOOD)
    with pytest.raises(UsageError):
        read_config(tmp_path / name)


@pytest.mark.parametrize("data", [b"a = \n", b"\xff\xfe", b"[models\n", b"a = 1\na = 2\n"])
def test_a_file_that_is_not_toml_says_so(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "models.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="is not valid TOML: "):
        read_config(path)


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    text = GOOD + 'weights = "out/w.pt"\nexamples = "../e.npz"\n'
    (folder / "models.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    model = read_config(Path("there/models.toml")).models["m"]
    assert model.weights is not None and model.weights.is_absolute()
    assert model.weights == folder / "out/w.pt"
    assert model.examples == folder / "../e.npz"
    assert model.source == "package.module:build"


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.pt"
    assert read(tmp_path, f"{GOOD}weights = '{elsewhere}'\n").models["m"].weights == elsewhere


def test_the_source_of_a_keras_model_is_a_path_relative_to_the_file(tmp_path: Path) -> None:
    text = GOOD.replace('"pytorch"', '"keras"').replace("package.module:build", "out/model.keras")
    assert read(tmp_path, text).models["m"].source == str(tmp_path / "out/model.keras")


GROUPED = (
    GOOD
    + MODEL.replace("models.m", "models.n")
    + 'group = "vision"\n'
    + MODEL.replace("models.m", "models.o")
    + 'group = "vision"\n'
)


@pytest.mark.parametrize(("group", "models"), [("default", ["m"]), ("vision", ["n", "o"]), ("all", ["m", "n", "o"])])
def test_a_group_holds_its_models_in_the_order_of_the_file(tmp_path: Path, group: str, models: list[str]) -> None:
    assert list(read(tmp_path, GROUPED).group(group)) == models


def test_an_unknown_group_lists_the_groups(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model is in group 'visoin': one of default, vision, all"):
        read(tmp_path, GROUPED).group("visoin")


def test_a_group_that_is_called_all_is_refused(tmp_path: Path) -> None:
    """`all` already means every model."""
    assert "models.m.group" in refusal(tmp_path, GOOD + 'group = "all"\n')


def test_the_project_s_own_models_toml_is_read(request: pytest.FixtureRequest) -> None:
    config = read_config(request.config.rootpath / "models.toml")
    assert config.group("default")


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (
            "[models.m.batching]\nmax_batch_size = 8\npreferred_batch_sizes = [4, 16]",
            "preferred_batch_sizes holds 16, max_batch_size is 8",
        ),
        ("[models.m.batching]\nragged = true", "ragged needs padding"),
        ("[models.m.triton]\ndevice = 'cpu'\ngpus = [0]", "gpus names [0], device is 'cpu'"),
        ("[models.m.triton]\ndevice = 'cpu'\ntensorrt = {}", "tensorrt needs a GPU, device is 'cpu'"),
        ("[models.m.triton]\ndevice = 'cpu'\ncuda = {}", "cuda needs a GPU, device is 'cpu'"),
        ("[models.m.triton]\ngpus = [1, 1]", "gpus holds an id twice"),
        (
            "[models.m.triton.parameters.torchscript]\nA = 'b'",
            "triton.parameters names 'torchscript', formats has onnx",
        ),
        ("[affinity]\nservers = [0, 1]\nload = [1]", "servers and load share core 1"),
        ("[models.m.triton]\ngpu = [1]", "did you mean 'gpus'?"),
        ("[models.m.batching.queue]\nmaxsize = 1", "did you mean 'max_size'?"),
    ],
)
def test_settings_of_a_server_that_contradict_each_other_are_refused(tmp_path: Path, extra: str, sentence: str) -> None:
    assert sentence in refusal(tmp_path, f"{GOOD}{extra}\n")


def test_a_service_promises_what_it_names_and_fifty_milliseconds_at_p99_when_it_names_nothing() -> None:
    assert Slo().latency_ms == {"p99": 50.0}
    assert Slo(p95_ms=20, p999_ms=80).latency_ms == {"p95": 20, "p999": 80}
    assert Slo(p95_ms=20, p999_ms=80).tightest_ms == 20
    with pytest.raises(ValueError, match="p99_ms is 10 and p50_ms is 20: a higher percentile is never the lower one"):
        Slo(p50_ms=20, p99_ms=10)


def test_a_machine_has_a_price_only_when_somebody_says_which_it_is() -> None:
    price = {"instance": "c7i.large", "per_hour": 0.1}
    model = {"framework": "onnx", "source": "a.onnx", "formats": ["onnx"]}
    file = {"schema_version": 1, "models": {"a": model}, "prices": [price]}
    assert ModelsFile.model_validate(file).price is None
    measured = ModelsFile.model_validate(file | {"measured_on": "c7i.large"})
    assert measured.price is not None and measured.price.per_hour == 0.1
    with pytest.raises(ValueError, match=r"measured_on is 'm5', prices has c7i\.large"):
        ModelsFile.model_validate(file | {"measured_on": "m5"})
