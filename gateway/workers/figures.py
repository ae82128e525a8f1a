"""The figures of all workers, whenever one of them is asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from gateway.observe.whole import Report, Whole, report_of_process
from gateway.workers.child import Child

PATIENCE = 2.0  # seconds: of one that does not tell in time the last that it told counts


class _Question:
    """What one worker asked, and who has not told yet."""

    def __init__(self, asker: Child, number: int, awaited: set[Child]) -> None:
        self.asker = asker
        self.number = number  # the asker's own
        self.awaited = awaited
        self.timer: IDelayedCall | None = None


class Figures:
    """``children``: those that live."""

    def __init__(self, reactor: Any, children: Mapping[int, Child]) -> None:
        self._reactor = reactor
        self._children = children
        self._whole = Whole()
        self._questions: dict[int, _Question] = {}
        self._numbers = count()

    def asked(self, child: Child, question: int) -> None:
        """A worker wants the figures of all."""
        number, awaited = next(self._numbers), {each for each in self._children.values() if each.ready}
        self._questions[number] = _Question(child, question, awaited)
        self._questions[number].timer = self._reactor.callLater(PATIENCE, self._answer, number)
        for each in awaited:
            each.say("report", question=number)

    def reported(self, child: Child, question: int | None, report: Report) -> None:
        """A worker tells its own; unasked, when it ends."""
        self._whole.told(child, report)
        if question is not None:
            self._heard(child, question)

    def gone(self, child: Child) -> None:
        """It tells no more; what it counted stays."""
        self._whole.died(child)
        for number in list(self._questions):
            self._heard(child, number)

    def _heard(self, child: Child, number: int) -> None:
        question = self._questions.get(number)
        if question is not None:
            question.awaited.discard(child)
            if not question.awaited:
                self._answer(number)

    def _answer(self, number: int) -> None:
        question = self._questions.pop(number)
        if question.timer is not None and question.timer.active():
            question.timer.cancel()
        self._whole.told("supervisor", report_of_process())
        question.asker.say("figures", question=question.number, report=self._whole.report())
