"""The loop: ask the LLM, do what it asks for, until there is an answer."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import Generic, TypeVar

from sam3_agent.errors import Cancelled, InputError, LLMError, ModelUnavailable, ToolError
from sam3_agent.llm.base import LLM, Message, Reply, ToolCall, ToolResult
from sam3_agent.llm.clock import KeepsTime, RunClock
from sam3_agent.llm.deadline import Stopped
from sam3_agent.llm.task import Task
from sam3_agent.loop.budget import DEFAULT_BUDGET, Budget
from sam3_agent.loop.history import as_shown, share_pictures
from sam3_agent.loop.judge import MOST_JUDGED, Judge, JudgeMode
from sam3_agent.loop.prompts import read_prompt
from sam3_agent.loop.run import Run
from sam3_agent.loop.verdict import Verdict
from sam3_agent.loop.votes import MAX_VOTES, poll
from sam3_agent.model.request_context import calling
from sam3_agent.model.segmenter import WORTH_WARMING
from sam3_agent.tools import LOOP_TOOLS, Presentation, ToolSpec
from sam3_agent.tools.report_no_match import REPORT_NO_MATCH, NoMatch
from sam3_agent.tools.submit_answer import SUBMIT_ANSWER, Submission
from sam3_agent.types import INTERRUPTED, Answer, Trace, Usage
from sam3_agent.workspace import Workspace

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """Failure of an act; `repairable` when the model can do something about it and should be told."""

    message: str
    repairable: bool = False


@dataclass(frozen=True, slots=True)
class Success(Generic[T]):
    """Value of an act that worked."""

    value: T


def attempt(act: Callable[[], T]) -> Success[T] | Failure:
    """Call `act` and return what it gives or how it failed; only KeyboardInterrupt and its kin pass through.

    A missing or exhausted model (ModelUnavailable) is not repairable: a model that is told of it could only answer
    "no match", which would be a lie.
    """
    try:
        return Success(act())
    except ToolError as error:
        return Failure(str(error), repairable=True)
    except (Cancelled, LLMError, ModelUnavailable) as error:
        return Failure(str(error))
    except Exception as error:  # the documented border: a bug in one tool or LLM must not end a run
        logger.warning("internal error in a run", exc_info=True)
        return Failure(f"internal error: {type(error).__name__}: {error}", repairable=True)


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


def settle(run: Run, presentation: Presentation, judge: Judge) -> Presentation:
    """Draw the consequence, and return what the LLM reads of the call."""
    match presentation.result:
        case Submission() as submission:
            return _submitted(run, submission, presentation, judge)
        case NoMatch(reason):
            return _none_reported(run, reason, presentation, judge)
        case found:
            run.learn(found)
            return run.without_told(presentation)


def _submitted(run: Run, submission: Submission, presentation: Presentation, judge: Judge) -> Presentation:
    ids, reason = [instance.id for instance in submission.instances], submission.reason
    if not judge.wants(run, ids):
        return _accept(run, ids, reason, presentation)
    verdict = judge.judge(run, ids, reason)
    if verdict.passes:
        return _accept(run, ids, reason, presentation)
    run.reject(ids, verdict)
    if len(run.rejected) == MOST_JUDGED:
        return _accept(run, _best_of(run, judge), reason, presentation)
    return _objection(presentation, verdict)


def _none_reported(run: Run, reason: str, presentation: Presentation, judge: Judge) -> Presentation:
    if judge.wants(run, ()):
        verdict = judge.judge(run, (), reason)
        if not verdict.passes:
            return _objection(presentation, verdict)
    run.end("no_match", run.looked_for(reason), ())
    return presentation


def _accept(run: Run, ids: list[str], reason: str, presentation: Presentation) -> Presentation:
    run.end("answered", reason, tuple(run.workspace.instance(mask_id) for mask_id in ids))
    return presentation


def _best_of(run: Run, judge: Judge) -> list[str]:
    """Of the rejected answers the one with the fewest objections; of two such, the one that a comparison prefers."""
    fewest = min(verdict.objections for _, verdict in run.rejected)
    tied = [ids for ids, verdict in run.rejected if verdict.objections == fewest]
    return list(tied[0] if len(tied) == 1 else judge.better(run, tied[-2], tied[-1]))


def _objection(presentation: Presentation, verdict: Verdict) -> Presentation:
    """Tell the LLM that its answer was not accepted, why, and what it may do."""
    text = (
        f"Not accepted. A judge who looked at this answer says: {verdict.words()}\n"
        "Repair the answer and submit again; if you are sure that it is right as it is, submit the same again."
    )
    data = {**presentation.data, "rejected": verdict.rejected, "missing": verdict.missing}
    return Presentation(text, data, presentation.pictures)


@dataclass(frozen=True, slots=True)
class _Made:
    """Call that was made, with its result, how long it took and when it was over, in seconds of the run."""

    call: ToolCall
    result: ToolResult
    seconds: float
    at: float


_ENDING = frozenset({SUBMIT_ANSWER.name, REPORT_NO_MATCH.name})
MAX_NUDGES = 2
"""A model that called no tool in three replies in a row has not called one in the tenth either, in all trials."""
MAX_CALLS = 32
"""Calls of one reply that are made; sound replies have up to 8, a broken model was seen to send 1,000."""
PREVIEW = 768
"""Longest side of the preview in pixels: it is sent with every request, and look shows any region in full."""


def _one_too_many(call: ToolCall) -> ToolResult:
    return ToolResult(call.id, call.name, f"not made: {MAX_CALLS} calls a reply at most; send it again", is_error=True)


class Agent:
    """Answers referring expressions about open images. One agent may run many asks at once, each in its thread.

    `judge` None means "once" for an LLM that sees pictures and "off" for one that does not (the rules).
    With `keep_pictures` the trace holds every picture that was shown, as a JPEG file. With `votes` above 1 a question
    is asked up to so often, one run after the other, until two answers agree; see `poll`. That pays for LLMs that do
    not say the same each time.
    """

    def __init__(
        self,
        workspace: Workspace,
        llm: LLM,
        *,
        budget: Budget = DEFAULT_BUDGET,
        judge: JudgeMode | None = None,
        keep_pictures: bool = False,
        votes: int = 1,
    ) -> None:
        if not 1 <= votes <= MAX_VOTES:
            raise InputError(f"votes: {votes} is no number from 1 to {MAX_VOTES}")
        self.workspace = workspace
        self.llm = llm
        self.budget = budget
        self.judge = Judge(judge if judge is not None else "once" if llm.sees else "off")
        self.keep_pictures = keep_pictures
        self.votes = votes
        self.tools: dict[str, ToolSpec] = {
            tool.name: replace(tool, hidden=("image_id",), brief=True) for tool in LOOP_TOOLS
        }

    def ask(self, image_id: str, query: str, *, stop: Event | None = None) -> Answer:
        """Find what `query` refers to; nothing that an LLM or a tool does is raised, it ends in the answer's outcome.

        Ctrl-C, or `stop` once it is set, ends the run with outcome "budget", reason "interrupted" and the best so far.
        `usage.encodes` counts the workspace's encodes during this run, those of runs beside it included.

        Raises:
            ToolError: the caller's own mistake: an unknown image id, or an empty query.
        """
        image = self.workspace.image(image_id)
        text = " ".join(query.split())
        if not text:
            raise InputError("the query is empty; say what to find, such as 'the person furthest to the right'")
        task = Task(image_id, image.width, image.height, text)
        if self.votes == 1:
            return self._run(task, self.budget, stop)
        ask, prefer = partial(self._run, task, stop=stop), partial(self._prefer, task, stop)
        return poll(ask, self.budget, self.votes, prefer)

    def ask_all(self, questions: Iterable[Question], *, jobs: int = 64) -> Iterator[Answer]:
        """Answer (image_id, query) pairs, up to `jobs` at once, in the order given; a bad pair's answer has "failed".

        Ctrl-C ends every run that was begun, and is raised when they have ended. For many questions, or an unknown
        number of them, the model is warmed up first (`Workspace.warm_up_for`).
        """
        self.workspace.warm_up_for(len(questions) if isinstance(questions, Sized) else WORTH_WARMING)
        return answer_all(self.ask, questions, jobs)

    def _run(self, task: Task, budget: Budget, stop: Event | None) -> Answer:
        """Ask once."""
        clock = self.llm.start_clock(task.name) if isinstance(self.llm, KeepsTime) else RunClock()
        run = Run(self.workspace, self.llm, task, budget, clock, stop=stop, keep_pictures=self.keep_pictures)
        try:
            self._survive(run, self._begin)
            while run.outcome is None:
                self._survive(run, self._turn)
        except (KeyboardInterrupt, Stopped):
            run.end("budget", INTERRUPTED)
        answer = run.answer()
        clock.stop()
        return answer

    def _prefer(self, task: Task, stop: Event | None, first: Answer, second: Answer) -> tuple[Answer, Usage]:
        """Let the LLM compare two rival answers in both orders; where the orders disagree, the first one stays."""
        if not self.llm.sees:
            return first, Usage()
        run = Run(self.workspace, self.llm, task, self.budget, stop=stop)
        ids = [tuple(instance.id for instance in answer.instances) for answer in (first, second)]
        try:
            better = Judge("strict").better(run, ids[1], ids[0])
        except (KeyboardInterrupt, Stopped):
            return replace(first, outcome="budget", reason=INTERRUPTED), run.meter.usage(0)
        return (first if tuple(better) == ids[0] else second), run.meter.usage(0)

    def _survive(self, run: Run, act: Callable[[Run], None]) -> None:
        """Do one part of the run; if it fails, the run ends with the best so far."""
        began = run.clock()
        done = attempt(lambda: act(run))
        if isinstance(done, Failure):
            run.record("error", run.clock() - began, message=done.message)
            spent = run.budget.spent(run.meter)  # a deadline cuts calls short: that is the budget, not the LLM
            run.end("budget" if spent else "failed", spent or done.message)

    def _begin(self, run: Run) -> None:
        """Show the LLM its task."""
        preview = self.workspace.look(run.task.image_id, style="plain", longest=PREVIEW)
        run.begin(preview)

    def _turn(self, run: Run) -> None:
        """Take one reply of the LLM, with the tools that it calls."""
        if spent := run.budget.spent(run.meter):
            return run.end("budget", spent)
        run.meter.turns += 1
        reply = run.ask(as_shown(run.messages), tuple(self.tools.values()))
        run.messages.append(reply.message)
        if reply.stop == "refused":
            return run.end("failed", f"the model refused: {reply.note or reply.message.text or 'no reason given'}")
        if not reply.message.calls:
            return self._nudge(run, reply)
        run.nudges = 0
        return self._act(run, reply.message.calls)

    def _act(self, run: Run, calls: tuple[ToolCall, ...]) -> None:
        """Run the calls of one turn in order, up to one that ends the run."""
        told: list[ToolResult] = []
        made: list[_Made] = []
        try:
            for number, call in enumerate(calls):
                if spent := run.budget.time_spent(run.meter):
                    return run.end("budget", spent)
                if call.name in _ENDING:  # a judge comes after what was found in the trace, too
                    told += self._tell(run, made)
                    made = []
                began = run.clock()
                result = self._use(run, call) if number < MAX_CALLS else _one_too_many(call)
                made.append(_Made(call, result, run.clock() - began, run.meter.seconds))
                if run.outcome is not None:
                    return None
        finally:
            told += self._tell(run, made)
        run.messages.append(Message("tool", results=tuple(told)))
        return None

    def _tell(self, run: Run, made: Sequence[_Made]) -> Sequence[ToolResult]:
        """The results as the LLM gets them, recorded: those that mark the same image share a picture."""
        results = tuple(each.result for each in made)
        shared = attempt(lambda: share_pictures(self.workspace, results))
        results = shared.value if isinstance(shared, Success) else results
        for each, result in zip(made, results, strict=True):
            run.did(each.call, result, each.seconds, each.at)
        return results

    def _use(self, run: Run, call: ToolCall) -> ToolResult:
        """Run one call, no longer than the run may last; whatever goes wrong becomes a result that says so."""
        tool = self.tools.get(call.name)
        if call.problem or tool is None:
            unknown = f"unknown tool {call.name!r}; the tools are: {', '.join(self.tools)}"
            return ToolResult(call.id, call.name, call.problem or unknown, is_error=True)
        known = {"image_id": run.task.image_id}
        with calling(seconds=run.budget.seconds_left(run.meter)):
            done = attempt(lambda: self._settle(run, tool.call(self.workspace, call.arguments, known)))
        if isinstance(done, Failure):
            if not done.repairable:
                run.end("failed", done.message)
            return ToolResult(call.id, call.name, done.message, is_error=True)
        shown = done.value
        return ToolResult(call.id, call.name, shown.text, shown.data, shown.pictures, result=shown.result)

    def _settle(self, run: Run, presentation: Presentation) -> Presentation:
        """Draw the consequence of a call that worked; a judge is asked only while the budget lasts."""
        judge = self.judge if not run.budget.spent(run.meter) else Judge("off")
        return settle(run, presentation, judge)

    def _nudge(self, run: Run, reply: Reply) -> None:
        """Ask a model that called no tool to call one; give up after MAX_NUDGES in a row."""
        if run.nudges == MAX_NUDGES:
            said = reply.message.text.strip() or reply.note
            quoted = f": {said!r:.200}" if said else ""
            return run.end("failed", f"the model called no tool in {MAX_NUDGES + 1} replies in a row{quoted}")
        run.nudges += 1
        kind = "truncated" if reply.stop == "truncated" else "text" if reply.message.text.strip() else "empty"
        return run.nudge(read_prompt(f"nudge_{kind}"))
