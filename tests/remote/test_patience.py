"""Only our own waiting counts, and short waits add up."""

from __future__ import annotations

from twisted.internet.task import Clock

from gateway.remote.patience import Patience


class Waiting:
    def __init__(self) -> None:
        self.clock = Clock()
        self.late = False
        self.patience = Patience(self.clock, 10.0, 100, self.expire)

    def expire(self) -> None:
        self.late = True


def test_waiting_is_bounded() -> None:
    on = Waiting()
    on.patience.wait()
    on.clock.advance(9.9)
    assert not on.late
    on.clock.advance(0.2)
    assert on.late
    on.patience.rest()


def test_rest_does_not_count() -> None:
    on = Waiting()
    for _ in range(5):
        on.patience.wait()
        on.clock.advance(1.9)
        on.patience.rest()
        on.clock.advance(1000)
    assert not on.late
    on.patience.wait()
    on.clock.advance(0.6)
    assert on.late


def test_few_bytes_do_not_help_and_many_do() -> None:
    on = Waiting()
    on.patience.wait()
    on.clock.advance(9)
    on.patience.moved(99)
    on.clock.advance(0.9)
    on.patience.moved(1)
    on.clock.advance(9.9)
    assert not on.late
    on.patience.moved(50)
    on.clock.advance(0.2)
    assert on.late


def test_nothing_is_left_to_be_called() -> None:
    on = Waiting()
    on.patience.rest()
    on.patience.wait()
    on.patience.wait()
    on.patience.rest()
    assert on.clock.getDelayedCalls() == []
