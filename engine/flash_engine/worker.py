"""The one thread that runs the model."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

T = TypeVar("T")


class _Rank(IntEnum):
    END = 0
    URGENT = 1
    BACKGROUND = 2


@dataclass(order=True)
class _Job:
    rank: _Rank
    number: int
    work: Callable[[], Any] = field(compare=False)
    future: Future[Any] = field(compare=False)


class Worker:
    """Runs submitted calls one at a time: urgent ones first, each kind in the order of submission."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], T], *, urgent: bool) -> Future[T]:
        """Queue `work`; its result or exception comes through the future. Raises RuntimeError after close."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the engine is closed")
            return self._put(_Rank.URGENT if urgent else _Rank.BACKGROUND, work)

    def close(self) -> None:
        """Let the running call end, cancel those that wait, stop the thread. May be called more than once."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._put(_Rank.END, lambda: None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _put(self, rank: _Rank, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._jobs.put(_Job(rank, next(self._numbers), work, future))
        return future

    def _run(self) -> None:
        while (job := self._jobs.get()).rank is not _Rank.END:
            _perform(job)
        while not self._jobs.empty():
            self._jobs.get().future.cancel()


def _perform(job: _Job) -> None:
    if not job.future.set_running_or_notify_cancel():
        return
    try:
        result = job.work()
    except BaseException as error:  # belongs to whoever waits for the future
        job.future.set_exception(error)
    else:
        job.future.set_result(result)
