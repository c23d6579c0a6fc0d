"""The ceiling: what is planned goes out in any case, what is sent again only where room was left."""

from __future__ import annotations

import random

import pytest

from loadtest.clients.ceiling import SAVED_S, Ceiling

MS = 1_000_000
NOW = 5_000 * MS


@pytest.mark.parametrize(
    ("sends", "later_ms", "room", "why"),
    [
        (0, 0, True, "nothing was sent yet"),
        (1, 0, True, "what was saved up pays for the first ones"),
        (10, 0, True, "ten at a hundred per second take the tenth of a second that is saved"),
        (11, 0, False, "the next one has to be waited for"),
        (11, 9, False, "not quite"),
        (11, 10, True, "a hundredth of a second pays for one"),
        (110, 900, False, "a debt is paid off at the rate"),
        (110, 1000, True, "and then there is room again"),
    ],
)
def test_there_is_room_when_the_sends_so_far_are_paid_for(sends: int, later_ms: int, room: bool, why: str) -> None:
    ceiling = Ceiling(100.0)
    ceiling.sent(NOW, sends)
    assert ceiling.take(NOW + later_ms * MS) is room, why


def test_room_that_was_taken_is_gone_and_a_long_rest_saves_no_more_than_a_short_one() -> None:
    ceiling = Ceiling(10.0)
    ceiling.sent(NOW)
    taken = [ceiling.take(NOW + 3_600_000 * MS) for _ in range(5)]
    assert taken == [True, True, False, False, False]


def test_before_whatever_is_sent_again_the_rate_was_kept_over_every_time() -> None:
    rng = random.Random(7)
    rate, now, sent = 50.0, NOW, []
    ceiling = Ceiling(rate)
    for _ in range(3_000):
        now += int(rng.expovariate(40.0) * 1e9)  # arrivals that are planned below the ceiling
        ceiling.sent(now)
        sent.append(now)
        again = now + 10 * MS
        while ceiling.take(again):  # a server that refuses everything
            sent.append(again)
            begins = sent[-200:]
            for number, begin in enumerate(begins):
                assert len(begins) - number <= rate * ((again - begin) / 1e9 + SAVED_S) + 1 + 1e-6
    assert 45 < len(sent) / ((now - NOW) / 1e9) <= 51
