"""The JSON rules of TensorFlow Serving's REST API: what is read, what is refused and in which words."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from serving.tfserving import json_document, json_tensors, json_text
from serving.tfserving.errors import Code, StatusError
from serving.tfserving.tensors import DTYPES, Array, Dtype, string_array

TYPES = {dtype.name: dtype for dtype in DTYPES.values()}
FLOAT, DOUBLE, INT32, STRING = (TYPES[name] for name in ("float", "double", "int32", "string"))


def read(body: str, **specs: Dtype) -> tuple[dict[str, Array], bool]:
    return json_tensors.read_tensors(json_document.parse(body.encode()), specs)


def refusal(body: str, **specs: Dtype) -> StatusError:
    with pytest.raises(StatusError) as caught:
        read(body, **specs)
    return caught.value


def same(array: Array, expected: Any, dtype: Dtype) -> bool:
    return array.dtype == dtype.numpy and np.array_equal(array, np.array(expected, dtype.numpy))


# ---------------------------------------------------------------- reading


def test_row_form_stacks_plain_instances_along_a_new_first_dimension() -> None:
    arrays, by_row = read('{"instances": [[1,2],[3,4],[5,6]]}', x=INT32)
    assert by_row
    assert same(arrays["x"], [[1, 2], [3, 4], [5, 6]], INT32)


def test_row_form_takes_an_object_per_instance_when_inputs_are_named() -> None:
    body = '{"instances": [{"a": [1.5, NaN], "s": "foo"}, {"a": [2, -Infinity], "s": "bar"}]}'
    arrays, _ = read(body, a=FLOAT, s=STRING)
    np.testing.assert_array_equal(arrays["a"], np.array([[1.5, np.nan], [2, -np.inf]], np.float32))
    assert arrays["s"].tolist() == [b"foo", b"bar"]


def test_columnar_form_takes_a_bare_list_for_a_single_input_and_a_scalar_too() -> None:
    arrays, by_row = read('{"inputs": [[1, 2]]}', x=FLOAT)
    assert not by_row
    assert same(arrays["x"], [[1, 2]], FLOAT)
    assert read('{"inputs": 3}', x=FLOAT)[0]["x"].shape == ()


def test_columnar_form_takes_an_object_of_inputs_and_ignores_extra_keys() -> None:
    arrays, _ = read('{"inputs": {"a": [1], "b": [[2, 3]], "extra": 1}}', a=INT32, b=FLOAT)
    assert set(arrays) == {"a", "b"}
    assert arrays["b"].shape == (1, 2)


def test_base64_objects_are_strings_and_may_be_mixed_with_plain_ones() -> None:
    arrays, _ = read('{"instances": [{"b64": "aGVsbG8="}, "world", {"b64": "aGk"}]}', s=STRING)
    assert arrays["s"].tolist() == [b"hello", b"world", b"hi"]


def test_bytes_that_are_not_utf8_come_through_unharmed() -> None:
    document = json_document.parse(b'{"instances": ["\xff\xfe"]}')
    assert json_tensors.read_tensors(document, {"s": STRING})[0]["s"].tolist() == [b"\xff\xfe"]


def test_empty_inner_lists_make_an_empty_tensor() -> None:
    assert read('{"instances": [[], []]}', x=FLOAT)[0]["x"].shape == (2, 0)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("float", 16777215, 16777215.0),
        ("double", 9007199254740991, 9007199254740991.0),
        ("int64", 9223372036854775807, 9223372036854775807),
        ("uint64", 18446744073709551615, 18446744073709551615),
        ("uint32", 4294967295, 4294967295),
        ("uint8", 300, 44),  # checked as int32, then narrowed without a word
        ("bool", True, True),
    ],
)
def test_the_largest_values_of_each_type_are_read(name: str, value: Any, expected: Any) -> None:
    array = read(json.dumps({"inputs": [value]}), x=TYPES[name])[0]["x"]
    assert array.dtype == TYPES[name].numpy
    assert array.tolist() == [expected]


@pytest.mark.parametrize("name", ["float", "double", "int32", "int64", "uint64", "bool", "string"])
@pytest.mark.parametrize(
    "value", [[], [1, 2], [1.5, 2], [[1], [0]], [True], ["a", "b"], [[["x"]]], [2**24], [2**63], [-1], 7]
)
def test_the_fast_path_agrees_with_the_careful_one(name: str, value: Any) -> None:
    dense = json_tensors._dense(value, TYPES[name])
    try:
        walked = json_tensors._walked(value, TYPES[name])
    except StatusError:
        assert dense is None
    else:
        assert dense is not None
        assert dense.dtype == walked.dtype
        assert dense.shape == walked.shape
        assert dense.tolist() == walked.tolist()


# ---------------------------------------------------------------- refusing


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "JSON Parse error: The document is empty"),
        (" ", "JSON Parse error: The document is empty. at offset: 1"),
        ("{} x", "JSON Parse error: The document root must not be followed by other values. at offset: 3"),
        ('{"instances": [1, }', "JSON Parse error: Invalid value. at offset: 18"),
        ("{x}", "JSON Parse error: Missing a name for object member. at offset: 1"),
        ('{"a" 1}', "JSON Parse error: Missing a colon after a name of object member. at offset: 5"),
        ('{"a": [1 2]}', "JSON Parse error: Missing a comma or ] after an array element. at offset: 9"),
        ('{"a": "[" 2}', "JSON Parse error: Missing a comma or } after an object member. at offset: 10"),
        ('{"a', "JSON Parse error: Missing a closing quotation mark in string. at offset: 1"),
        ("[1]", "JSON Value: [\n    1\n] Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": []}', "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (
            '{"instances": 1}',
            "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an list/array",
        ),
        (
            '{"inputs": 1, "instances": [1]}',
            'JSON Value: {\n    "inputs": 1,\n    "instances": [\n        1\n    ]\n} '
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        ),
        ('{"inputs": 1.5}', "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        ('{"inputs": 1.0}', "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ('{"inputs": true}', "JSON Value: true Type: True is not of expected type: int32"),
        ('{"inputs": null}', "JSON Value: null Type: Null is not of expected type: int32"),
        ('{"inputs": [2147483648]}', "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        (
            '{"inputs": {"b64": "aGk="}}',
            'JSON Value: {\n    "b64": "aGk="\n} Type: Object is not of expected type: int32',
        ),
        ('{"inputs": {"y": 1}}', "Missing named input: x in 'inputs' object."),
        (
            '{"inputs": [[1], 2]}',
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
        ('{"inputs": [[1], [[2]]]}', "Encountered list at unexpected level: 2 expected < 2"),
        ('{"inputs": [[1], [2, 3]]}', "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        (
            '{"instances": [1, "a"]}',
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "a" Type: String is not of expected type: int32',
        ),
        (
            '{"instances": [[1, 2], [5, 6, 7]]}',
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting tensor size: 2 but got: 3",
        ),
        (
            '{"instances": [[1, 2], [[5, 6]]]}',
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            "Expecting shape [2] but got: [1,2]",
        ),
        ('{"instances": [1, {"x": 1}]}', "Expecting value/list but got object at item 1 of input list"),
        ('{"instances": [{"x": 1}, [1]]}', "Expecting object but got list at item 1 of input list"),
        (
            '{"instances": [{"z": 1}]}',
            "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: z",
        ),
        (
            '{"instances": [{}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: x",
        ),
    ],
)
def test_each_mistake_has_its_own_words(body: str, message: str) -> None:
    error = refusal(body, x=INT32)
    assert (error.message, error.code) == (message, Code.INVALID_ARGUMENT)


@pytest.mark.parametrize(
    ("dtype", "value", "shown"),
    [
        (FLOAT, "16777216", "16777216"),
        (FLOAT, "1e39", "1e+39"),
        (DOUBLE, "9007199254740993", "9007199254740993"),
    ],
)
def test_numbers_that_lose_precision_are_refused(dtype: Dtype, value: str, shown: str) -> None:
    message = refusal(f'{{"inputs": [{value}]}}', x=dtype).message
    assert message == f"Cannot convert JSON value: {shown} to {dtype.name} without loss of precision."


def test_several_inputs_need_objects() -> None:
    assert refusal('{"instances": [1]}', a=INT32, b=INT32).message == (
        "instances is a plain list, but expecting list of objects as multiple input tensors required"
        " as per tensorinfo_map"
    )
    assert refusal('{"inputs": [1]}', a=INT32, b=INT32).message == (
        "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"
    )


def test_bad_base64_is_refused() -> None:
    assert refusal('{"inputs": [{"b64": "*"}]}', s=STRING).message == "Unable to base64 decode"
    assert refusal('{"inputs": [{"b64": 1}]}', s=STRING).message == (
        'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data'
    )


def test_half_is_unimplemented_in_columns_and_a_failed_element_in_rows() -> None:
    column = refusal('{"inputs": [1.5]}', x=TYPES["half"])
    assert column.code is Code.UNIMPLEMENTED
    assert column.message == "Conversion of JSON Value: 1.5 to type: half"
    row = refusal('{"instances": [1.5]}', x=TYPES["half"])
    assert row.code is Code.INVALID_ARGUMENT
    assert row.message.endswith("Error: UNIMPLEMENTED: Conversion of JSON Value: 1.5 to type: half")


def test_a_signature_name_must_be_a_string() -> None:
    assert json_document.signature_name({}) == ""
    assert json_document.signature_name({"signature_name": "other"}) == "other"
    with pytest.raises(StatusError, match="'signature_name' key must be a string value"):
        json_document.signature_name({"signature_name": 5})


def test_hostile_nesting_is_an_error_and_not_a_crash() -> None:
    assert refusal('{"inputs": ' + "[" * 100_000, x=INT32).code is Code.INVALID_ARGUMENT
    deep = '{"inputs": ' + "[" * 200 + "1" + "]" * 200 + "}"
    assert refusal(deep, x=INT32).code is Code.INVALID_ARGUMENT
    assert refusal('{"inputs": ' + "1" * 5000 + "}", x=INT32).code is Code.INVALID_ARGUMENT


# ---------------------------------------------------------------- writing


def outputs(**tensors: tuple[Any, str]) -> dict[str, tuple[Array, Dtype]]:
    made = {}
    for name, (values, kind) in tensors.items():
        dtype = TYPES[kind]
        flat = np.array(values, dtype.numpy) if kind != "string" else np.array(values, object)
        made[name] = (flat, dtype)
    return made


def test_row_text_is_printed_as_tensorflow_serving_prints_it() -> None:
    assert json_text.rows(outputs(y=([3, 3.5, 4], "float"))) == ('{\n    "predictions": [3.0, 3.5, 4.0\n    ]\n}')
    assert json_text.rows(outputs(y=([[1, 2], [3, 4]], "int32"))) == ('{\n    "predictions": [[1, 2], [3, 4]\n    ]\n}')


def test_named_rows_are_one_object_per_row() -> None:
    text = json_text.rows(outputs(b=([[1, 2]], "int64"), a=([0.5], "double")))
    assert text == (
        '{\n    "predictions": [\n        {\n            "a": 0.5,\n            "b": [1, 2]\n        }\n    ]\n}'
    )


def test_columnar_text_has_one_value_a_line() -> None:
    assert json_text.columns(outputs(y=([[True], [False]], "bool"))) == (
        '{\n    "outputs": [\n        [\n            true\n        ],\n'
        "        [\n            false\n        ]\n    ]\n}"
    )
    assert json_text.columns(outputs(y=(7, "uint64"))) == '{\n    "outputs": 7\n}'


def test_floats_take_six_digits_where_they_suffice_and_nine_where_not() -> None:
    values = [9000000, 999999, 0.5, 0.0003, 0.00003, 555557.5, 0.1, 1 / 3, -2]
    text = json_text.rows(outputs(y=([values], "float")))
    assert "[9e+06, 999999.0, 0.5, 0.0003, 3e-05, 555557.5, 0.1, 0.333333343, -2.0]" in text
    assert "[0.33333333333333331]" in json_text.rows(outputs(y=([[1 / 3]], "double")))


def test_every_printed_float_reads_back_as_the_same_float() -> None:
    values = np.random.default_rng(7).normal(size=(50, 40)).astype(np.float32)
    back = json.loads(json_text.columns({"y": (values, FLOAT)}))["outputs"]
    assert np.array_equal(np.array(back, np.float32), values)


def test_numbers_that_are_not_finite_are_tokens() -> None:
    assert "[NaN, Infinity, -Infinity]" in json_text.rows(outputs(y=([[np.nan, np.inf, -np.inf]], "float")))


def test_strings_are_plain_except_in_outputs_named_bytes() -> None:
    raw = b'\xff"\n'
    text = json_text.rows({"s": (string_array([raw]), STRING)})
    assert text.encode("utf-8", "surrogateescape") == b'{\n    "predictions": ["\xff\\"\\n"\n    ]\n}'
    coded = json.loads(json_text.rows({"s_bytes": (string_array([raw]), STRING)}))
    assert coded == {"predictions": [{"b64": base64.b64encode(raw).decode()}]}


def test_no_rows_and_empty_lists_are_still_json() -> None:
    assert json_text.rows(outputs(y=(np.zeros((0, 2)), "float"))) == '{\n    "predictions": []\n}'
    assert json.loads(json_text.columns(outputs(y=(np.zeros((2, 0)), "float")))) == {"outputs": [[], []]}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "Cannot convert empty tensor map to JSON"),
        (outputs(y=(1, "int32")), "Tensor name: y has no shape information "),
        (
            outputs(a=([1, 2], "int32"), b=([1], "int32")),
            "Tensor name: b has inconsistent batch size: 1 expecting: 2",
        ),
        (outputs(y=([1j], "complex64")), "Failed to write JSON value for tensor type: complex64"),
        (outputs(y=([1], "half")), "Failed to write JSON value for tensor type: half"),
    ],
)
def test_outputs_that_have_no_row_form_are_refused(tensors: Any, message: str) -> None:
    with pytest.raises(StatusError) as caught:
        json_text.rows(tensors)
    assert (caught.value.message, caught.value.code) == (message, Code.INVALID_ARGUMENT)


def test_an_error_body_is_one_key() -> None:
    assert json_text.error('say "no"') == '{\n    "error": "say \\"no\\""\n}'
