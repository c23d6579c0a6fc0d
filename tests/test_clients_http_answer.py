"""Bytes of HTTP/1.1 answers, in whatever pieces they come: the same reply, or the class of what is wrong."""

from __future__ import annotations

import random

import pytest

from loadtest.clients.http_answer import HttpAnswer
from loadtest.clients.reply import Reply
from tests.clients_peers import answer

NEWS = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def fed(data: bytes, size: int) -> tuple[Reply | None, HttpAnswer]:
    """What an answer comes to that arrives in pieces, the n-th at n nanoseconds."""
    reader = HttpAnswer()
    reply = None
    for number, at in enumerate(range(0, len(data), size), 1):
        assert reply is None, "whole before its last piece"
        reply = reader.feed(data[at : at + size], number)
    return reply, reader


WHOLE = {
    "length": (answer(b"body"), 200, "", b"body", True),
    "empty": (answer(b""), 200, "", b"", True),
    "binary": (answer(b"\r\n\r\n\0\xff"), 200, "", b"\r\n\r\n\0\xff", True),
    "error": (answer(b"busy", status="503 Service Unavailable"), 503, "http 503", b"busy", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200, "", b"ok", True),
    "close": (answer(b"last", "Connection: close"), 200, "", b"last", False),
    "old": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "", b"ok", False),
    "old but kept": (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok", 200, "", b"ok", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, "http 204", b"", True),
    "news first": (NEWS + answer(b"body"), 200, "", b"body", True),
    "chunks": (CHUNKED + b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", 200, "", b"abc0123456789", True),
    "no chunks": (CHUNKED + b"0\r\n\r\n", 200, "", b"", True),
    "trailer": (CHUNKED + b"1\r\na\r\n000\r\nX-Sum: 1\r\n\r\n", 200, "", b"a", True),
    "chunk of line breaks": (CHUNKED + b"4\r\n\r\n\r\n\r\n0\r\n\r\n", 200, "", b"\r\n\r\n", True),
}


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(name: str, size: int) -> None:
    data, status, error, body, keeps = WHOLE[name]
    reply, reader = fed(data, size)
    assert reply is not None
    assert (reply.status, reply.error, reply.body, reader.keeps) == (status, error, body, keeps)
    assert reply.first_byte_ns == (len(NEWS) // size + 1 if data.startswith(NEWS) else 1)
    assert not reader.begun


def test_headers_keep_their_names_and_values() -> None:
    reply, _ = fed(answer(b"", "Inference-Header-Content-Length: 170", "X-Empty:"), 10_000)
    assert reply is not None
    assert reply.headers == {"Inference-Header-Content-Length": "170", "X-Empty": "", "Content-Length": "0"}


def test_one_answer_after_the_other_comes_over_one_connection() -> None:
    reader = HttpAnswer()
    for number in range(3):
        reply = reader.feed(answer(b"%d" % number), number + 1)
        assert reply is not None
        assert (reply.body, reply.first_byte_ns) == (b"%d" % number, number + 1)


MALFORMED = {
    "garbage": b"\x16\x03\x01\0\xff\r\n\r\n",
    "no version": b"200 OK\r\n\r\n",
    "another protocol": b"HTTP/2 200\r\n\r\n",
    "status with letters": b"HTTP/1.1 2x0 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "header without colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "name with a blank": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "length in words": b"HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\n",
    "length of a petabyte": b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000\r\n\r\n",
    "two lengths that differ": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "more than the length": answer(b"body") + b"more",
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "huge head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    "chunk size in words": CHUNKED + b"five\r\n",
    "chunk size with a sign": CHUNKED + b"+5\r\nabcde\r\n",
    "chunk longer than it says": CHUNKED + b"1\r\nab\r\n",
    "endless chunk size": CHUNKED + b"1;" + b"x" * 70_000,
    "endless trailer": CHUNKED + b"0\r\nX: " + b"x" * 70_000,
    "bytes behind the last chunk": CHUNKED + b"0\r\n\r\nmore",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_answer_is_malformed_and_the_connection_is_not_used_again(name: str) -> None:
    reply, reader = fed(MALFORMED[name], 100_000)
    assert reply is not None
    assert (reply.status, reply.error, reader.keeps) == (-1, "malformed answer", False)


CUT = {
    "in the head": b"HTTP/1.1 200 OK\r\nContent-",
    "in the body": answer(b"body")[:-1],
    "before the body": answer(b"body")[:-4],
    "in a chunk": CHUNKED + b"5\r\nab",
    "before the last chunk": CHUNKED + b"1\r\na\r\n",
}


@pytest.mark.parametrize("name", CUT)
def test_an_answer_that_is_cut_off_closed_early(name: str) -> None:
    reply, reader = fed(CUT[name], 10_000)
    assert reply is None
    assert reader.ended("")[:3] == (-1, "closed early", b"")
    assert reader.ended("reset")[:3] == (-1, "reset", b"")
    assert reader.ended("").first_byte_ns == 1


def test_nothing_at_all_has_no_first_byte() -> None:
    assert HttpAnswer().ended("") == Reply(-1, "closed early", b"")


def test_a_body_without_a_length_ends_with_the_connection_but_not_with_a_reset() -> None:
    reply, reader = fed(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 5)
    assert reply is None
    assert reader.ended("reset").error == "reset"
    whole = reader.ended("")
    assert (whole.status, whole.error, whole.body, reader.keeps) == (200, "", b"until the end", False)


def mangled(data: bytes, chance: random.Random) -> bytes:
    """The same with up to three bytes changed, lost or added."""
    mangling = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        place = chance.randrange(len(mangling))
        what = chance.randrange(3)
        if what == 0:
            mangling[place] = chance.randrange(256)
        elif what == 1:
            del mangling[place]
        else:
            mangling.insert(place, chance.choice(b"\r\n:0;\xff"))
    return bytes(mangling)


def test_whatever_comes_there_is_a_reply_and_never_an_exception() -> None:
    chance = random.Random(1)
    errors = set()
    for _ in range(3000):
        data = mangled(chance.choice([WHOLE["length"][0], WHOLE["chunks"][0], WHOLE["trailer"][0]]), chance)
        reader, size = HttpAnswer(), chance.choice([1, 5, 1000])
        replies = (reader.feed(data[at : at + size], 1) for at in range(0, len(data), size))
        reply = next((reply for reply in replies if reply is not None), None) or reader.ended("")
        errors.add(reply.error)
    assert {"", "malformed answer", "closed early"} <= errors
