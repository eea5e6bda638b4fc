"""The tiny tokenizer."""

from sam3_agent.training.prompts import vocabulary_words
from sam3_agent.training.tokenizer import build_tokenizer


def test_every_vocabulary_word_is_one_token() -> None:
    tokenizer = build_tokenizer(vocabulary_words())
    for word in vocabulary_words():
        ids = tokenizer(word)["input_ids"]
        assert len(ids) == 3, f"{word!r} takes {len(ids) - 2} tokens"


def test_any_text_tokenizes_without_an_unknown_token() -> None:
    tokenizer = build_tokenizer(vocabulary_words())
    for text in ("spaceship", "ein grünes Fahrrad", "日本語", "100!% wool"):
        ids = tokenizer(text)["input_ids"][1:-1]
        assert ids, text
        assert tokenizer.eos_token_id not in ids, text


def test_ids_follow_clips_order() -> None:
    tokenizer = build_tokenizer(vocabulary_words())
    assert tokenizer.convert_ids_to_tokens([0, 256]) == ["!", "!</w>"]
    assert tokenizer.bos_token_id == len(tokenizer) - 2
    assert tokenizer.eos_token_id == len(tokenizer) - 1
