"""Connections of an LLM that nobody closes: they end with it, and no socket is left to the garbage collector."""

import gc
import warnings

import pytest

from sam3_agent.llm.base import LLM, Message
from tests.llm.fixtures_llm import WIRES, make_llm, set_keys
from tests.llm.wire import anthropic, chat, openai

SAID = {
    "anthropic": anthropic.message({"type": "text", "text": "Yes."}),
    "openai": openai.message(openai.text("Yes.")),
    "chat": chat.message("Yes."),
}


class Owner:
    """Holder of an LLM that stands in a cycle, as a run and its session do."""

    def __init__(self, llm: LLM) -> None:
        self.llm = llm
        self.me = self


@pytest.mark.parametrize("kind", WIRES)
def test_the_connections_of_an_llm_in_a_cycle_are_closed_when_it_goes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WIRES[kind].api(SAID[kind]) as served:
        set_keys(monkeypatch, served.url)
        owner = Owner(make_llm(kind, served.url))
        assert owner.llm.reply([Message("user", "Is it red?")], []).message.text == "Yes."
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del owner
            gc.collect()
    assert [str(each.message) for each in caught] == []
