"""Daemon threads that do what would block, and bring the results back to the loop; used by the runtime.

Daemon threads, not a pool: a pool's threads are joined at exit, and a hung API call would delay the stop.
"""

import queue
import threading
from typing import Any, Callable, Tuple

Post = Callable[[Callable[[], None]], None]
"""Has a function called on the loop's thread."""


class Lane:
    """Up to `threads` daemon threads that work off one queue; threads start as they are needed."""

    def __init__(self, name: str, threads: int, post: Post) -> None:
        """Name the lane for its threads; `post` brings results back."""
        self._name = name
        self._most = threads
        self._post = post
        self._jobs: queue.SimpleQueue[Tuple[Callable[[], Any], Callable[[Any], None]]] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._started = 0
        self._idle = 0

    def submit(self, job: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run `job` on a thread of this lane, then `done(result)` on the loop; `job` must not raise."""
        with self._guard:
            grow = self._idle == 0 and self._started < self._most
            if grow:
                self._started += 1
            elif self._idle:
                self._idle -= 1
        self._jobs.put((job, done))
        if grow:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while True:
            job, done = self._jobs.get()
            result = job()
            self._post(lambda done=done, result=result: done(result))  # type: ignore[misc]
            with self._guard:
                if self._jobs.empty():
                    self._idle += 1
