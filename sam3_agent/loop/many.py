"""Many questions at once: waiting for brains overlaps, and the eye's scheduler batches what they ask of it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from sam3_agent.errors import ToolError
from sam3_agent.types import Answer, Trace, Usage

Question = tuple[str, str]
"""(image id, query)"""


def answer_all(ask: Callable[..., Answer], questions: Iterable[Question], jobs: int) -> Iterator[Answer]:
    """Call `ask(image_id, query, stop=...)` for each question in up to `jobs` threads; answers in order.

    Questions are taken from the iterable only as threads come free, so it may be endless.
    """
    stop = Event()

    def one(question: Question) -> Answer:
        try:
            return ask(*question, stop=stop)
        except ToolError as error:  # one bad question must not take the others with it
            return Answer(question[1], "failed", (), str(error), Usage(), Trace())

    waiting: deque[Future[Answer]] = deque()
    source = iter(questions)
    with ThreadPoolExecutor(jobs, thread_name_prefix="ask") as pool:
        try:
            for question in source:
                waiting.append(pool.submit(one, question))
                while len(waiting) >= 2 * jobs or (waiting and waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:  # Ctrl-C, or whoever takes the answers has had enough
            stop.set()
            for future in waiting:
                future.cancel()
            raise
