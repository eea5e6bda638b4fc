"""`sam3-agent label --suggest`: a new concept file, printed or written, and never the user's."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sam3_agent.cli.commands.suggest import SuggestOptions, suggest_words
from sam3_agent.errors import InputError
from tests.cli.conftest import Run
from tests.labeling.fixtures_runs import write_scenes
from tests.labeling.test_suggest import TEXT
from tests.llm.fixtures_llm import MODELS, set_keys
from tests.llm.wire import chat
from tests.llm.wire.server import Sent


def test_the_command_prints_or_writes_a_new_file_and_never_the_users(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, new = tmp_path / "mine.yaml", tmp_path / "new.yaml"
    mine.write_text(TEXT)
    write_scenes(tmp_path / "images", 6)
    arguments = {"classes": ["fruit", "fruit"], "kinds": ["phrase", "phrase"], "words": ["pear", "apple"]}

    def answer(body: dict[str, Any]) -> Any:
        content = body["messages"][-1]["content"]
        asked.append(content if isinstance(content, str) else "".join(p.get("text", "") for p in content))
        pictures.append(0 if isinstance(content, str) else sum(p["type"] == "image_url" for p in content))
        return chat.message(chat.use("suggest_words", arguments))

    asked: list[str] = []
    pictures: list[int] = []
    with chat.api(answer=answer) as served:
        set_keys(monkeypatch, served.url)
        options = ("--suggest", "--concepts", mine, "--llm", f"chat:{MODELS['chat']}@{served.url}/v1")
        printed = run("label", *options)
        assert printed.status == 0, printed.err
        assert yaml.safe_load(printed.out)["classes"][0]["phrases"] == ["apple", "fruit", "pear"]
        assert "left out 'apple' as phrase of 'fruit'" in printed.err
        assert "$0.0" in printed.err
        written = run("label", tmp_path / "images", *options, "--out", new, "--json").json()
        assert written["added"] == {"fruit": {"phrases": ["pear"]}}
        assert yaml.safe_load(new.read_text())["classes"][0]["phrases"] == ["apple", "fruit", "pear"]
        assert "overwrites nothing" in run("label", *options, "--out", mine).error()
    assert served.problems == []
    assert mine.read_text() == TEXT
    assert pictures == [0, 4]
    assert "found by a query: what would spoil in heat" in asked[0]


def test_a_server_that_fails_is_asked_as_often_as_the_options_say(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(TEXT)
    with chat.api(answer=lambda _: Sent({"error": {"message": "busy"}}, status=503)) as served:
        set_keys(monkeypatch, served.url)
        options = ("--concepts", mine, "--llm", f"chat:{MODELS['chat']}@{served.url}/v1", "--llm-retries", "0")
        assert run("label", "--suggest", *options).status == 1
        assert len(served.requests) == 1
        assert run("label", "--suggest", *options, "--llm-timeout", "soon").status == 2


def test_rules_suggest_nothing_and_what_is_left_out_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(TEXT)
    assert "--suggest needs a language model" in run("label", "--suggest", "--concepts", mine).error()
    missing = run("label", "--concepts", mine, "--out", tmp_path / "run")
    assert missing.status == 2
    assert "give IMAGES and --out DIR" in missing.err
    with pytest.raises(InputError, match="cannot read the concept file"):
        suggest_words(SuggestOptions(tmp_path / "none.yaml", "chat:x@http://127.0.0.1:9/v1"))
