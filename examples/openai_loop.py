"""A loop of one's own around OpenAI's SDK, OPENAI_API_KEY set: python examples/openai_loop.py IMAGE QUESTION."""

import sys

from openai import OpenAI

from sam3_agent import Sam3, Toolkit, Workspace


def ask(workspace: Workspace, image_id: str, question: str, model: str = "gpt-6-sol") -> str:
    toolkit, client = Toolkit(workspace), OpenAI()
    words = f"The picture is open as {image_id}. {question} Name the mask ids."
    items = [{"type": "message", "role": "user", "content": words}]
    for _ in range(12):
        reply = client.responses.create(model=model, tools=toolkit.as_openai_tools(), input=items, store=False)
        items += [item.to_dict(mode="json", exclude_none=True) for item in reply.output]
        results = toolkit.answer_openai(reply.output)
        if not results:
            break
        items += results
    client.close()
    return reply.output_text


if __name__ == "__main__":
    space = Workspace(Sam3.load("tiny"))  # or "facebook/sam3", once you have access to Meta's weights
    print(ask(space, space.open(sys.argv[1]).id, sys.argv[2]))
