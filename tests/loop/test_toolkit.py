"""Tools for loops of other programs: the examples run against servers that speak the APIs' wire formats."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sam3_agent import Toolkit
from sam3_agent.errors import ModelUnavailable
from sam3_agent.llm.base import ToolCall
from sam3_agent.tools import HOST_TOOLS
from tests.fixtures_workspace import make_workspace
from tests.llm.fixtures_llm import WIRES, set_keys

EXAMPLES = {"anthropic": "anthropic_loop.py", "openai": "openai_loop.py"}
FIND = {"image_id": "img1", "concepts": ["red circle"]}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_example_finds_its_masks_in_a_loop_of_its_own(
    monkeypatch: pytest.MonkeyPatch, checkout: Path, kind: str
) -> None:
    wire = WIRES[kind]
    script = [
        wire.message(wire.use("segment_concepts", FIND), wire.use("measure_masks", {"image_id": "img1"}, "call_2")),
        wire.message(wire.use("segment_concepts", {"concepts": []})),
        wire.message(wire.text("The larger one is m1.")),
    ]
    with wire.api(*script) as served:
        set_keys(monkeypatch, served.url)
        ask = runpy.run_path(str(checkout / "examples" / EXAMPLES[kind]))["ask"]
        assert ask(make_workspace(), "img1", "Which red circle is larger?") == "The larger one is m1."
    assert served.problems == []
    sent = json.dumps(served.requests[-1])
    assert "m1" in sent
    assert "the argument 'image_id' is missing" in sent.replace("\\u0027", "'")
    assert sent.count("image/jpeg") == 1
    assert {tool["name"] for tool in served.requests[0]["tools"]} == {
        tool.name for tool in HOST_TOOLS if not tool.name.startswith(("open_", "export_"))
    }


@pytest.mark.parametrize("program", EXAMPLES.values())
def test_each_example_is_short(checkout: Path, program: str) -> None:
    assert len((checkout / "examples" / program).read_text(encoding="utf-8").splitlines()) <= 32


def test_files_are_touched_only_where_the_program_says_so() -> None:
    workspace = make_workspace()
    open_file = ToolCall("1", "open_image", {"source": "/etc/hostname"})
    assert "unknown tool 'open_image'; the tools are: segment_concepts" in Toolkit(workspace).run(open_file).text
    assert Toolkit(workspace, HOST_TOOLS).run(open_file).is_error


def test_what_a_model_can_repair_comes_back_as_an_instruction() -> None:
    toolkit = Toolkit(make_workspace())
    broken: Any = SimpleNamespace(type="function_call", call_id="c", name="look", arguments="{no json")
    (item,) = toolkit.answer_openai([broken])
    assert "the arguments are no JSON" in item["output"][0]["text"]
    use: Any = SimpleNamespace(type="tool_use", id="t", name="look", input={"image_id": "img9"})
    (block,) = toolkit.answer_anthropic([SimpleNamespace(type="text", text="hm"), use])
    assert (block["is_error"], "img9" in block["content"][0]["text"]) == (True, True)
    assert toolkit.answer_anthropic([]) == []


def test_what_nobody_in_the_conversation_can_repair_is_raised() -> None:
    class Gone:
        def __getattr__(self, name: str) -> Any:
            raise ModelUnavailable("the GPU is gone")

    toolkit = Toolkit(Gone())  # type: ignore[arg-type]
    with pytest.raises(ModelUnavailable, match="the GPU is gone"):
        toolkit.run(ToolCall("1", "segment_concepts", FIND))
