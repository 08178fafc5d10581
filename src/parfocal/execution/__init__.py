"""Where the chunks are computed. One interface: (work, numbers) -> (number, result) as they come."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import partial


def threads(jobs: int) -> Callable:
    """Run `work` on `jobs` threads of this process: the kernels and FFTs release the GIL.

    At most two tasks a thread are under way, so memory does not grow with their number.
    """
    return partial(_run, jobs=jobs)


def _run(work: Callable, numbers: Iterable[int], *, jobs: int) -> Iterator[tuple[int, object]]:
    with ThreadPoolExecutor(jobs) as pool:
        waiting, pending = iter(numbers), {}
        try:
            while True:
                for number in waiting:
                    pending[pool.submit(work, number)] = number
                    if len(pending) >= 2 * jobs:
                        break
                if not pending:
                    return
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield pending.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)
