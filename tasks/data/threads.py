"""Work on one item after another in a few threads, the results in the items' order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
THREADS = 2  # more are no faster: one reader comes before them, and one writer after


def in_order(call: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """`call` of each item, in the items' order, worked out a few items ahead, so that memory does not grow with them.

    NumPy and Arrow let other threads run while they work, so that two threads keep two cores busy.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        coming: deque[Future[T]] = deque()
        for item in items:
            coming.append(pool.submit(call, item))
            if len(coming) > THREADS:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
