"""Many queries at once with an LLM that thinks for a second: how much longer do they take than the slowest alone?

`python -m benchmarks.loop crowd --runs 200 --model tiny`
"""

import time
from collections.abc import Sequence
from itertools import permutations
from typing import Any

from sam3_agent.llm.base import Message, Reply, ToolCall
from sam3_agent.loop.agent import Agent
from sam3_agent.scenes import Scene, SceneOptions, generate_scene
from sam3_agent.tools import ToolSpec
from sam3_agent.workspace import Workspace
from tests.loop.fixtures_segmenter import perfect_segmenter

OPTIONS = SceneOptions(min_side=512, max_side=512, min_objects=6, max_objects=10)
CHAIN = 3
"""Replies of one run: look, measure, answer."""


class Thinker:
    """Waits before each reply, like a model behind an API; looks for what the query names, measures, answers."""

    name = "thinker"
    sees = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next of the three steps."""
        time.sleep(self._seconds)
        image_id = messages[1].text.split()[1]
        results = [result for message in messages for result in message.results]
        found = [mask["id"] for entry in results[0].data["results"] for mask in entry["instances"]] if results else []
        if not results:
            named = messages[1].text.rpartition("query: ")[2].split(" beside ")
            call = ToolCall("1", "segment_concepts", {"image_id": image_id, "concepts": ["object", *named]})
        elif len(results) == 1:
            call = ToolCall("2", "measure_masks", {"image_id": image_id, "mask_ids": found})
        else:
            call = ToolCall("3", "submit_answer", {"mask_ids": found[:1]})
            if not found:
                call = ToolCall("3", "report_no_match", {"reason": "nothing found"})
        return Reply(Message("assistant", calls=(call,)))


def measure(runs: int, pictures: int, seconds: float, segmenter: str) -> dict[str, Any]:
    """`runs` queries on `pictures` open images, all at once; opening them is not timed."""
    workspace, images = _open(pictures, segmenter, runs)
    agent = Agent(workspace, Thinker(seconds))
    questions = [_question(n, images) for n in range(runs)]
    began = time.monotonic()
    alone = agent.ask(*questions[0])
    slowest_alone = time.monotonic() - began
    began = time.monotonic()
    answers = list(agent.ask_all(questions, jobs=runs))
    took = time.monotonic() - began
    return {
        "runs": runs,
        "pictures": len(images),
        "different_questions": len(set(questions)),
        "eye": workspace.info.name,
        "seconds_a_reply": seconds,
        "one_alone": round(slowest_alone, 2),
        "all_at_once": round(took, 2),
        "slowest_chain_of_waiting": CHAIN * seconds,
        "ratio": round(took / max(slowest_alone, CHAIN * seconds), 2),
        "one_after_the_other": round(slowest_alone * runs, 1),
        "eye_was_asked": workspace.statistics()["eye"],
        "ended": sum(answer.outcome in ("answered", "no_match") for answer in (*answers, alone)),
    }


def _question(number: int, images: Sequence[tuple[str, Scene]]) -> tuple[str, str]:
    """Two kinds of thing that are on the picture, in turns."""
    image_id, scene = images[number % len(images)]
    pairs = list(permutations(dict.fromkeys(obj.noun for obj in scene.objects), 2)) or [(scene.objects[0].noun,)]
    return image_id, " beside ".join(pairs[number // len(images) % len(pairs)])


def _open(pictures: int, segmenter: str, runs: int) -> tuple[Workspace, list[tuple[str, Scene]]]:
    scenes = [generate_scene(900_000 + number, OPTIONS) for number in range(pictures)]
    if segmenter == "perfect":
        workspace = Workspace(perfect_segmenter(scenes[0]))
        return workspace, [(workspace.open(scenes[0].image).id, scenes[0]) for _ in scenes]
    from sam3_agent.model.replicas import load_replicas
    from sam3_agent.model.scheduler import Scheduler

    workspace = Workspace(Scheduler(load_replicas(segmenter), max_waiting=runs))
    return workspace, [(workspace.open(scene.image).id, scene) for scene in scenes]
