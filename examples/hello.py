"""Find things in an image, then ask for one of them: python examples/hello.py [IMAGE] [CONCEPT] [QUERY]."""

import sys

from sam3_agent import Agent, Sam3, Workspace, load_llm
from sam3_agent.scenes import generate_scene


def main(source: str = "", concept: str = "house", query: str = "the house furthest to the right") -> None:
    workspace = Workspace(Sam3.load("tiny"))  # or "facebook/sam3", once you have access to Meta's weights
    image = workspace.open(source or generate_scene(82).image)  # a path, bytes, a PIL image or an (H, W, 3) array

    (found,) = workspace.segment(image.id, [concept])
    print(f"{concept}: presence {found.presence:.2f}, {len(found.instances)} found")
    for instance in found.instances:
        box = [round(corner) for corner in instance.box]  # x0, y0, x1, y1 in pixels of the image
        print(f"  {instance.id}: score {instance.score:.2f}, {instance.mask.sum()} pixels in box {box}")

    answer = Agent(workspace, load_llm("rules")).ask(image.id, query)
    print(f"{query}: {answer.outcome}, {[instance.id for instance in answer.instances]} because {answer.reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
