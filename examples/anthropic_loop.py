"""A loop of one's own around Anthropic's SDK (ANTHROPIC_API_KEY): python examples/anthropic_loop.py IMAGE QUESTION."""

import sys

from anthropic import Anthropic

from sam3_agent import Sam3, Toolkit, Workspace


def ask(workspace: Workspace, image_id: str, question: str, model: str = "claude-opus-5-5") -> str:
    toolkit, client = Toolkit(workspace), Anthropic()
    words = f"The picture is open as {image_id}. {question} Name the mask ids."
    turns = [{"role": "user", "content": [{"type": "text", "text": words}]}]
    for _ in range(12):
        reply = client.messages.create(model=model, max_tokens=4000, tools=toolkit.as_anthropic_tools(), messages=turns)
        turns.append({"role": "assistant", "content": reply.content})
        results = toolkit.answer_anthropic(reply.content)
        if not results:
            break
        turns.append({"role": "user", "content": results})
    client.close()
    return "".join(block.text for block in reply.content if block.type == "text")


if __name__ == "__main__":
    space = Workspace(Sam3.load("tiny"))  # or "facebook/sam3", once you have access to Meta's weights
    print(ask(space, space.open(sys.argv[1]).id, sys.argv[2]))
