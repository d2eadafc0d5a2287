"""What a process is asked for: the callbacks of its gauges, and the collectors of its registry.

This is the only place that asks, and Python asks here, never a thread of the native module. While
something is asked there is no frame of the native module on the stack, and what is called there with
an answer never waits and never lets go of the interpreter's lock: an interpreter that ends, or
forks, finds an asker that it can leave as it is. Who calls this, ``_asker`` decides.

Threads come here at once; what they share is a dictionary, of which single operations are whole.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable
from typing import Any

from . import _arena, _native

_log = logging.getLogger("tallyboard")

#: How often everything is asked.
INTERVAL_S = 5.0

#: How long a process that has counted nothing yet is not asked: one that executes another program
#: at once takes no slot.
FIRST_MOMENT_S = 1.0

#: How often it is looked whether a process has a slot: in the first moment, and when it asks for one.
_LOOK_S, _WAIT_S = 0.05, 0.01

#: What is raised to end a greenlet or a process, and is no failure of what was asked.
ENDS = ("GreenletExit", "KeyboardInterrupt", "SystemExit")

#: Of how many samples of a collector it is said that they are not shown.
_MOST_LEFT_OUT = 1000

#: The types of which a sample of another name may be a count.
_COUNTING = ("counter", "histogram", "summary")

#: What the names of some types end in, as their samples do.
_ENDS = {"counter": "_total", "info": "_info"}

#: The longest name of what is asked, where its errors are counted.
_LONGEST_NAME = 200


class Process:
    """What is true in one process, and in no child of it."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.began = time.monotonic()
        #: Whether a thread makes the first use that nobody else has made.
        self.is_beginning = False
        #: What asks here.
        self.world: Any = None


class Question:
    """Something that is asked again and again, and says so when it fails for the first time."""

    def __init__(self, name: str) -> None:
        self.name = name[:_LONGEST_NAME]
        self.due = 0.0
        #: The process in which it was asked last.
        self.process: Process | None = None
        self.has_failed = False

    def is_wanted(self) -> bool:
        """Whether anybody wants to know."""
        raise NotImplementedError

    def ask(self) -> None:
        """Asks, and passes on what was said. Raises what the application raises."""
        raise NotImplementedError

    def forget(self) -> None:
        """Shows nothing of what was said before."""
        raise NotImplementedError


class Callback(Question):
    """What ``set_function`` was given."""

    def __init__(self, name: str, asked: _native.Asked, function: Callable[[], float]) -> None:
        super().__init__(name)
        self._asked, self._function = asked, function

    def is_wanted(self) -> bool:
        return self._asked.is_wanted()

    def ask(self) -> None:
        self._asked.answer(float(self._function()))

    def forget(self) -> None:
        self._asked.answer(None)


class Collector(Question):
    """A collector of the default registry, for as long as it is registered."""

    def __init__(self, collector: Any, collected: _native.Collected) -> None:
        kind = type(collector)
        super().__init__(f"{kind.__module__}.{kind.__qualname__}")
        self.collector, self._collected = collector, collected
        self.is_registered = True
        #: What was warned of.
        self._left_out: set[str] = set()

    def is_wanted(self) -> bool:
        return self.is_registered

    def ask(self) -> None:
        said, left_out = [], []
        for metric in self.collector.collect():
            families, without = _families(metric)
            said += families
            left_out += without
        left_out += self._collected.write(said if self.is_registered else []).splitlines()
        # It may have been unregistered while it was asked.
        if not self.is_registered:
            self._collected.end()
        for line in left_out:
            if line not in self._left_out and len(self._left_out) < _MOST_LEFT_OUT:
                self._left_out.add(line)
                _arena.registry().count_error(self.name)
                _log.warning("%s says a sample that is not shown: %s", self.name, line)

    def forget(self) -> None:
        self._collected.write([])

    def end(self) -> None:
        """Shows nothing any more of what it has said."""
        self._collected.end()


#: Everything that is asked, by its identity.
_questions: dict[int, Question] = {}

_process = Process()


def this_process() -> Process:
    """The process as it is now: not every child is told that it was forked."""
    global _process
    if _process.pid != os.getpid():
        _process = Process()
    return _process


def forked() -> Process:
    """Begins another process, in a child; gives what its parent had."""
    global _process
    parent, _process = _process, Process()
    return parent


def are_there() -> bool:
    """Whether there is anything to ask."""
    return bool(_questions)


def _all() -> list[Question]:
    # No pairs: whatever is made for each of them may begin a collection of garbage, in which Python runs
    # and another thread adds to them.
    return list(_questions.values())


def add(question: Question) -> None:
    """Has something asked."""
    if not _questions:
        this_process().began = time.monotonic()
    _questions[id(question)] = question


def end(question: Question) -> None:
    """Asks something no more, of which nothing is shown."""
    _questions.pop(id(question), None)


def remove(collector: Any) -> None:
    """Asks a collector no more, and shows nothing of what it has said."""
    for question in _all():
        if isinstance(question, Collector) and question.collector is collector:
            question.is_registered = False
            end(question)
            if _arena.registry().is_begun():
                question.end()


def ask_new() -> None:
    """Asks what was never asked in this process, and waits for its slot where it has none yet."""
    here = this_process()
    new = [question for question in _all() if question.process is not here]
    if new:
        _arena.registry().arrive()
    for question in new:
        # Another thread, or what is asked here, may have come first.
        if question.process is not here:
            _ask(question, time.monotonic(), ENDS)


def turn(is_told: Callable[[], bool], ends: tuple[str, ...] = ENDS) -> float:
    """Asks what is due, at least one of it, until it is told to end. Says in how many seconds
    something is due again. Lets through what is raised by one of these names."""
    pause = _until_begun()
    if pause:
        return pause
    here, now = this_process(), time.monotonic()
    for question in _all():
        if question.process is here and question.due > now:
            continue
        if not question.is_wanted():
            end(question)
            continue
        _ask(question, now, ends)
        if is_told():
            return 0.0
    due = [question.due for question in _all()]
    return max(0.0, min(due, default=now + INTERVAL_S) - time.monotonic())


def _until_begun() -> float:
    """How long to wait for the slot of this process: not at all when it has one, or gets none."""
    registry, here = _arena.registry(), this_process()
    if registry.is_begun():
        return 0.0
    if time.monotonic() < here.began + FIRST_MOMENT_S:
        return _LOOK_S
    # The supervisor is waited for by a thread that knows nothing of Python.
    here.is_beginning = here.is_beginning or registry.begin()
    return _WAIT_S if here.is_beginning else INTERVAL_S


def _ask(question: Question, now: float, ends: tuple[str, ...]) -> None:
    question.process, question.due = this_process(), now + INTERVAL_S
    try:
        question.ask()
    except BaseException as error:
        question.forget()
        if type(error).__name__ in ends:
            raise
        _failed(question, error)


def _failed(question: Question, error: BaseException) -> None:
    _arena.registry().count_error(question.name)
    if not question.has_failed:
        question.has_failed = True
        said = traceback.format_exception_only(type(error), error)[-1].strip()
        _log.warning(
            "%s raised an exception as it was asked, and its gauges are not shown until it answers: %s",
            question.name,
            said,
        )


#: Seconds, or whole seconds and nanoseconds.
_Time = float | tuple[int, int] | None

#: Labels, value and time.
_Exemplar = tuple[list[tuple[str, str]], float, _Time]

#: Suffix, labels, value, time and exemplar.
_Said = tuple[str, list[tuple[str, str]], float, _Time, _Exemplar | None]

#: Name, type, documentation, unit and samples.
_Family = tuple[str, str, str, str, list[_Said]]


def _families(metric: Any) -> tuple[list[_Family], list[str]]:
    """What a collector says, as the native module takes it: with nothing in it that is Python's to
    run. A sample that has not the name of its family is one of its own. Also gives what is no
    sample, and why."""
    name, kind = _text(metric.name), _text(metric.type)
    end = _ENDS.get(kind)
    if end is not None and name.endswith(end):
        name = name[: -len(end)]
    samples: dict[str, list[_Said]] = {name: []}
    left_out = []
    for sample in metric.samples:
        full = _text(sample.name)
        of, suffix = (name, full[len(name) :]) if full.startswith(name) else (full, "")
        exemplar = None
        try:
            exemplar = _exemplar(getattr(sample, "exemplar", None))
        except (AttributeError, TypeError, ValueError) as error:
            left_out.append(f'the exemplar of "{full}", {error}')
        try:
            samples.setdefault(of, []).append((suffix, *_said(sample), exemplar))
        except (AttributeError, TypeError, ValueError) as error:
            left_out.append(f'"{full}", {error}')
    help_text, unit = _text(metric.documentation), _text(getattr(metric, "unit", ""))
    families: list[_Family] = [(name, kind, help_text, unit, samples.pop(name))]
    # What it is of its own nobody says.
    other = kind if kind in _COUNTING else "unknown"
    families += [(of, other, "", "", said) for of, said in samples.items()]
    return families, left_out


def _said(sample: Any) -> tuple[list[tuple[str, str]], float, _Time]:
    time = _time(getattr(sample, "timestamp", None))
    return _labels(sample.labels), float(sample.value), time


def _exemplar(given: Any) -> _Exemplar | None:
    if given is None:
        return None
    return _labels(given.labels), float(given.value), _time(getattr(given, "timestamp", None))


def _labels(labels: Any) -> list[tuple[str, str]]:
    return [(_text(key), _text(value)) for key, value in dict(labels).items()]


def _time(moment: Any) -> _Time:
    if moment is None:
        return None
    if hasattr(moment, "sec") and hasattr(moment, "nsec"):
        return int(moment.sec), int(moment.nsec)
    return float(moment)


def _text(value: object) -> str:
    text = str(value)
    # What is no text for UTF-8 is none for anybody who reads the page.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
