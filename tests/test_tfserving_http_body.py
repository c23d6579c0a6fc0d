"""How a request body is read: by its length, in chunks, out of gzip; and never more of it than is allowed."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from io import BytesIO

import pytest

from serving.tfserving.http_body import MAX_BODY, MAX_UNPACKED, read_body
from serving.tfserving.http_lines import MAX_HEADERS, MAX_LINE, Refused

CHUNKED = {b"transfer-encoding": b"chunked"}
SEED = 20261126
LETTERS = b'{"instances": [1.0, 2.0]}'


def read(raw: bytes, headers: dict[bytes, bytes]) -> tuple[bytes | None, bytes]:
    """The body, and what stays for the next request."""
    stream = BytesIO(raw)
    return read_body(stream, headers, lambda _: pytest.fail("nobody asked")), stream.read()


def read_chunks(raw: bytes) -> tuple[bytes | None, bytes]:
    return read(raw, CHUNKED)


def read_gzip(packed: bytes) -> bytes | None:
    return read(packed, {b"content-length": str(len(packed)).encode(), b"content-encoding": b"gzip"})[0]


def refused(raw: bytes, headers: dict[bytes, bytes]) -> int:
    with pytest.raises(Refused) as caught:
        read(raw, headers)
    return caught.value.status


@pytest.mark.parametrize(
    "raw",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"2;name=value\r\nhe\r\n0003 ; a\r\nllo\r\n0;last\r\n\r\n",
        b"5\r\nhello\r\n0\r\nDigest: abc\r\nExpires: now\r\n\r\n",
        b"".join(b"1\r\n%c\r\n" % letter for letter in b"hello") + b"000\r\n\r\n",
    ],
    ids=["one", "two", "extensions", "trailers", "letters"],
)
def test_chunks_are_one_body_without_extensions_and_trailers(raw: bytes) -> None:
    assert read_chunks(raw + b"GET / HTTP/1.1\r\n") == (b"hello", b"GET / HTTP/1.1\r\n")


def test_a_size_is_hexadecimal_in_small_or_capital_letters() -> None:
    letters = b"x" * 0xAB
    assert read_chunks(b"aB\r\n" + letters + b"\r\n0\r\n\r\n") == (letters, b"")


def test_chunks_may_be_none_at_all() -> None:
    assert read_chunks(b"0\r\n\r\n") == (b"", b"")


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"x\r\nhello\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5 5\r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n\r0\r\n\r\n",
        b"0" * 17 + b"\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_no_chunk_is_refused(raw: bytes) -> None:
    assert refused(raw, CHUNKED) == 400


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"%x\r\n" % (MAX_BODY + 1), 413),
        (b"f" * 16 + b"\r\n", 413),
        (b"5\r\nhello\r\n%x\r\n" % (MAX_BODY - 4), 413),
        (b"5;" + b"a" * MAX_LINE, 431),
        (b"0\r\n" + b"a: b\r\n" * MAX_HEADERS, 431),
    ],
)
def test_chunks_have_the_limits_of_a_body_and_of_its_headers(raw: bytes, status: int) -> None:
    assert refused(raw, CHUNKED) == status


def test_a_client_that_goes_away_has_sent_no_body() -> None:
    whole = b"5;a=b\r\nhello\r\n2\r\nhi\r\n0\r\nA: b\r\n"
    assert {read_chunks(whole[:size])[0] for size in range(len(whole) + 1)} == {None}
    assert read(b"abc", {b"content-length": b"4"}) == (None, b"")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b"transfer-encoding": b"gzip, chunked"}, 501),
        ({b"transfer-encoding": b"identity"}, 501),
        ({b"transfer-encoding": b"chunked", b"content-length": b"5"}, 400),
    ],
)
def test_where_a_body_ends_can_be_read_in_one_way_only(headers: dict[bytes, bytes], status: int) -> None:
    assert refused(b"5\r\nhello\r\n0\r\n\r\n", headers) == status


def test_who_waits_for_a_word_before_sending_chunks_gets_it() -> None:
    said: list[bytes] = []
    stream = BytesIO(b"2\r\nok\r\n0\r\n\r\n")
    assert read_body(stream, {**CHUNKED, b"expect": b"100-continue"}, said.append) == b"ok"
    assert said == [b"HTTP/1.1 100 Continue\r\n\r\n"]


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"x-gzip"])
def test_a_gzip_body_is_unpacked(coding: bytes) -> None:
    packed = gzip.compress(LETTERS)
    assert read(packed, {b"content-length": b"%d" % len(packed), b"content-encoding": coding}) == (LETTERS, b"")


def test_a_gzip_body_may_come_in_chunks() -> None:
    packed = gzip.compress(LETTERS)
    chunks = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (7, packed[:7], len(packed) - 7, packed[7:])
    assert read(chunks, {**CHUNKED, b"content-encoding": b"gzip"}) == (LETTERS, b"")


@pytest.mark.parametrize("coding", [b"identity", b"deflate", b"utf-8", b""])
def test_another_coding_is_not_looked_at(coding: bytes) -> None:
    assert read(b"hello", {b"content-length": b"5", b"content-encoding": coding}) == (b"hello", b"")


def broken() -> dict[str, bytes]:
    packed = gzip.compress(LETTERS)
    return {
        "not gzip": LETTERS,
        "cut": packed[:-9],
        "without its length": packed[:-4],
        "of another length": packed[:-4] + b"\1\0\0\0",
        "of another sum": packed[:-8] + bytes(4) + packed[-4:],
        "zlib": zlib.compress(LETTERS),
        "more behind it": packed + b"x",
        "twice": packed * 2,
        "one byte": b"\x1f",
        "header": packed[:10],
    }


@pytest.mark.parametrize("kind", broken())
def test_a_broken_gzip_body_is_an_empty_one(kind: str) -> None:
    assert read_gzip(broken()[kind]) == b""


def test_a_gzip_body_may_hold_as_much_as_in_the_original_and_no_byte_more() -> None:
    assert read_gzip(gzip.compress(bytes(MAX_UNPACKED))) == bytes(MAX_UNPACKED)
    packed = gzip.compress(bytes(MAX_UNPACKED + 1))
    assert refused(packed, {b"content-length": b"%d" % len(packed), b"content-encoding": b"gzip"}) == 413


def test_a_bomb_is_not_unpacked_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(16 * MAX_UNPACKED))
    tracemalloc.start()
    try:
        assert refused(bomb, {b"content-length": b"%d" % len(bomb), b"content-encoding": b"gzip"}) == 413
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_UNPACKED
    finally:
        tracemalloc.stop()


def test_any_cut_of_a_body_into_chunks_is_that_body() -> None:
    chance = random.Random(SEED)
    for _ in range(200):
        body = chance.randbytes(chance.randrange(300))
        raw, at = b"", 0
        while at < len(body):
            piece = body[at : at + chance.randrange(1, 60)]
            raw += b"%x%s\r\n%s\r\n" % (len(piece), chance.choice([b"", b";a", b' ; b="c"']), piece)
            at += len(piece)
        assert read_chunks(raw + b"0\r\n\r\nnext") == (body, b"next")


def test_noise_is_a_body_or_none_or_refused() -> None:
    chance, outcomes = random.Random(SEED), set()
    good = b"5\r\nhello\r\n0f;a=b\r\n0123456789abcde\r\n0\r\nA: b\r\n\r\n"
    packed = gzip.compress(LETTERS)
    for _ in range(5000):
        noisy = bytearray(chance.choice([good, packed]))
        for _ in range(chance.randrange(1, 4)):
            noisy[chance.randrange(len(noisy))] = chance.choice(b"\r\n0f;: " + chance.randbytes(3))
        for headers in (CHUNKED, {b"content-length": b"%d" % len(noisy), b"content-encoding": b"gzip"}):
            try:
                body = read(bytes(noisy), headers)[0]
                outcomes.add(type(body).__name__)
            except Refused as error:
                outcomes.add(str(error.status))
    assert {"bytes", "NoneType", "400"} <= outcomes <= {"bytes", "NoneType", "400", "413", "431"}
