"""A converter's refusal is quoted in its own words: the error at the bottom of it, and what that says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contract.errors import LoadproofError, UsageError
from export.refused import LONGEST, UNSUPPORTED, Refused, first_words, quoting


def caused(error: Exception, *causes: Exception) -> Exception:
    below = error
    for cause in causes:
        below.__cause__ = cause
        below = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no such operator"), "ValueError: no such operator"),
        (ValueError("first line\nsecond line"), "ValueError: first line"),
        (ValueError("\n  \n=====\n----\nwhat it is\nmore"), "ValueError: what it is"),
        (ValueError(""), "ValueError"),
        (ValueError("!!!"), "ValueError"),
        (KeyError("name"), "KeyError: 'name'"),
        (ValueError("\x1b[31mred\x1b[0m words"), "ValueError: red words"),
        (
            caused(RuntimeError("failed to export"), ValueError("sym size 7"), TypeError("the root")),
            "TypeError: the root",
        ),
        (caused(RuntimeError("failed to export"), ValueError("")), "RuntimeError: failed to export"),
    ],
    ids=[
        "one line",
        "several lines",
        "ornaments first",
        "no words",
        "no letters",
        "a key",
        "in colour",
        "a chain",
        "a cause that says nothing",
    ],
)
def test_an_error_is_quoted_by_its_class_and_its_first_words(error: Exception, words: str) -> None:
    assert first_words(error) == words


def test_the_quotation_is_one_line_and_not_endless() -> None:
    quoted = first_words(ValueError("x" * 1000))
    assert len(quoted) == LONGEST
    assert quoted.endswith("…")


def test_an_error_that_causes_itself_is_quoted_all_the_same() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__ = second
    assert first_words(first) == "ValueError: second"


def test_what_torchscript_raises_is_quoted_by_what_went_wrong() -> None:
    """The first line only says that something did; the last one says what."""
    error = RuntimeError(
        "The following operation failed in the TorchScript interpreter.\n"
        "Traceback of TorchScript, serialized code (most recent call last):\n"
        '  File "code/__torch__/Recurrent.py", line 12, in forward\n'
        "    word = torch.select(tokens, 1, 6)\n"
        "           ~~~~~~~~~~~~ <--- HERE\n"
        "RuntimeError: select(): index 6 out of range for tensor of size [1, 4] at dimension 1\n"
    )
    assert "index 6 out of range" in first_words(error)


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_whatever_a_converter_raises_becomes_a_refusal_with_its_name() -> None:
    with pytest.raises(Refused, match="tf2onnx: KeyError: 'Loop'") as caught, quoting("tf2onnx"):
        raising(KeyError("Loop"))()
    assert caught.value.exit_code == UNSUPPORTED
    assert isinstance(caught.value, LoadproofError)


@pytest.mark.parametrize("error", [UsageError("a sentence"), Refused("a sentence")])
def test_an_error_that_is_a_sentence_already_passes_as_it_is(error: LoadproofError) -> None:
    with pytest.raises(type(error), match=r"^a sentence$"), quoting("tf2onnx"):
        raising(error)()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_interruption_is_no_refusal(error: BaseException) -> None:
    with pytest.raises(type(error)), quoting("tf2onnx"):
        raising(error)()


def test_nothing_happens_where_nothing_is_raised() -> None:
    with quoting("tf2onnx"):
        pass
