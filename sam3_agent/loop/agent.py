"""The loop: ask the LLM, do what it asks for, until there is an answer."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Event

from sam3_agent.errors import InputError, ToolError
from sam3_agent.llm.base import LLM
from sam3_agent.llm.clock import KeepsTime, RunClock
from sam3_agent.llm.deadline import Stopped
from sam3_agent.llm.task import Task
from sam3_agent.loop.budget import DEFAULT_BUDGET, Budget
from sam3_agent.loop.judge import MOST_JUDGED, Judge, JudgeMode
from sam3_agent.loop.rescue import second_attempt
from sam3_agent.loop.run import Run
from sam3_agent.loop.turns import Turns
from sam3_agent.loop.verdict import objection
from sam3_agent.loop.video_agent import VideoAgent
from sam3_agent.loop.votes import MAX_VOTES, poll
from sam3_agent.model.segmenter import WORTH_WARMING
from sam3_agent.tools import LOOP_TOOLS, Presentation
from sam3_agent.tools.report_no_match import NoMatch
from sam3_agent.tools.submit_answer import Submission
from sam3_agent.tracks import VideoAnswer
from sam3_agent.types import INTERRUPTED, Answer, Trace, Usage
from sam3_agent.workspace import Workspace

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
    return objection(presentation, verdict)


def _none_reported(run: Run, reason: str, presentation: Presentation, judge: Judge) -> Presentation:
    if judge.wants(run, ()):
        verdict = judge.judge(run, (), reason)
        if not verdict.passes:
            return objection(presentation, verdict)
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


_TOOLS = tuple(replace(tool, hidden=("image_id",), brief=True) for tool in LOOP_TOOLS)
"""The loop knows the image, and every request pays for the schema of every tool."""
PREVIEW = 768
"""Longest side of the preview in pixels: it is sent with every request, and look shows any region in full."""


class Agent:
    """Answers referring expressions about open images. One agent may run many asks at once, each in its thread.

    `judge` None means "once" for an LLM that sees pictures and "off" for one that does not (the rules).
    With `keep_pictures` the trace holds every picture that was shown, as a JPEG file. With `votes` above 1 a question
    is asked up to so often, one run after the other, until two answers agree; see `poll`. That pays for LLMs that do
    not say the same each time. With `rescue` a run that found nothing tries other phrases and boxes; see `rescue`.
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
        rescue: bool = False,
    ) -> None:
        if not 1 <= votes <= MAX_VOTES:
            raise InputError(f"votes: {votes} is no number from 1 to {MAX_VOTES}")
        self.workspace = workspace
        self.llm = llm
        self.budget = budget
        self.judge = Judge(judge if judge is not None else "once" if llm.sees else "off")
        self.keep_pictures = keep_pictures
        self.votes = votes
        self.rescue = rescue
        self._turns = Turns(workspace, _TOOLS, self._settle)

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

    def ask_video(self, video_id: str, query: str, *, stop: Event | None = None) -> VideoAnswer:
        """Find what `query` refers to in an open video; see `VideoAgent.ask`. There are no votes.

        Raises:
            ToolError: the caller's own mistake: an unknown video id, or an empty query.
        """
        judges, keeps = self.judge.mode != "off", self.keep_pictures
        agent = VideoAgent(self.workspace, self.llm, budget=self.budget, judges=judges, keep_pictures=keeps)
        return agent.ask(video_id, query, stop=stop)

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
        self._turns.take(run, self._begin)
        if self.rescue and self._is_lost(run):
            self._attempt_again(run)
        answer = run.answer()
        clock.stop()
        return answer

    def _is_lost(self, run: Run) -> bool:
        """Whether a run found nothing that a second attempt may find, and may go on."""
        nothing = not run.best and run.reason != INTERRUPTED and run.outcome != "failed"
        return nothing and self.llm.sees and run.wanted and not run.budget.spent(run.meter)

    def _attempt_again(self, run: Run) -> None:
        """Let a second attempt answer in place of "no match"; a Ctrl-C in it ends the run as it ends any other."""
        try:
            found = second_attempt(run, run.reason)
        except (KeyboardInterrupt, Stopped):
            run.end("budget", INTERRUPTED)
            return
        if found is not None:
            reason = f"found by {found.words} after no match was reported"
            run.end("answered", reason, tuple(run.workspace.instance(mask_id) for mask_id in found.ids))

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

    def _begin(self, run: Run) -> None:
        """Show the LLM its task."""
        preview = self.workspace.look(run.task.image_id, style="plain", longest=PREVIEW)
        run.begin(preview)

    def _settle(self, run: Run, presentation: Presentation) -> Presentation:
        """Draw the consequence of a call that worked; a judge is asked only while the budget lasts."""
        judge = self.judge if not run.budget.spent(run.meter) else Judge("off")
        return settle(run, presentation, judge)
