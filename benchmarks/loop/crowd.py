"""Many queries at once with a brain that thinks for a second: how much longer do they take than the slowest alone?

`python -m benchmarks.loop crowd --runs 200 --eye tiny`
"""

import time
from collections.abc import Sequence
from typing import Any

from sam3_agent.loop.agent import Agent
from sam3_agent.loop.llm import Message, Reply, ToolCall
from sam3_agent.scenes import SceneOptions, generate_scene
from sam3_agent.tools import ToolSpec
from sam3_agent.workspace import Workspace
from tests.loop.perfect_eye import perfect_eye

OPTIONS = SceneOptions(min_side=512, max_side=512, min_objects=6, max_objects=10)
CHAIN = 3
"""Replies of one run: look, measure, answer."""


class Thinker:
    """Waits before each reply, like a model behind an API; then does the same three steps."""

    name = "thinker"
    sees = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def reply(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The next of the three steps."""
        time.sleep(self._seconds)
        image_id = messages[1].text.split()[1]
        results = [result for message in messages for result in message.results]
        if not results:
            call = ToolCall("1", "segment_concepts", {"image_id": image_id, "concepts": ["object", "house", "star"]})
        elif len(results) == 1:
            call = ToolCall("2", "measure_masks", {"image_id": image_id})
        else:
            found = [mask["id"] for entry in results[0].data["results"] for mask in entry["instances"]]
            call = ToolCall("3", "submit_answer", {"mask_ids": found[:1]})
            if not found:
                call = ToolCall("3", "report_no_match", {"reason": "nothing found"})
        return Reply(Message("assistant", calls=(call,)))


def measure(runs: int, pictures: int, seconds: float, eye: str) -> dict[str, Any]:
    """`runs` queries on `pictures` open images, all at once; opening them is not timed."""
    workspace, images = _open(pictures, eye)
    agent = Agent(workspace, Thinker(seconds))
    began = time.monotonic()
    alone = agent.ask(images[0], "the first thing")
    slowest_alone = time.monotonic() - began
    began = time.monotonic()
    answers = list(agent.ask_all([(images[n % len(images)], f"thing {n}") for n in range(runs)], jobs=runs))
    took = time.monotonic() - began
    return {
        "runs": runs,
        "pictures": len(images),
        "eye": workspace.info.name,
        "seconds_a_reply": seconds,
        "one_alone": round(slowest_alone, 2),
        "all_at_once": round(took, 2),
        "slowest_chain_of_waiting": CHAIN * seconds,
        "ratio": round(took / max(slowest_alone, CHAIN * seconds), 2),
        "one_after_the_other": round(slowest_alone * runs, 1),
        "ended": sum(answer.outcome in ("answered", "no_match") for answer in (*answers, alone)),
    }


def _open(pictures: int, eye: str) -> tuple[Workspace, list[str]]:
    scenes = [generate_scene(900_000 + number, OPTIONS) for number in range(pictures)]
    if eye == "perfect":
        workspace = Workspace(perfect_eye(scenes[0]))
        return workspace, [workspace.open(scenes[0].image).id for _ in scenes]
    from sam3_agent.model.replicas import load_eye

    workspace = Workspace(load_eye(eye))
    return workspace, [workspace.open(scene.image).id for scene in scenes]
