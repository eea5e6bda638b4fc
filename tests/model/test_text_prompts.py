import pytest
from transformers import CLIPTokenizer

from sam3_agent.errors import InputError
from sam3_agent.model import text_prompts


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("  a   Red\tApple \n", "a red apple"),
        ("fish &amp;amp; chips", "fish & chips"),
        ("Dog’s “red” ﬁn", 'dog\'s "red" fin'),
        ("ＦＵＬＬ", "full"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ],
)
def test_phrases_are_mended_before_they_are_read(raw: str, cleaned: str) -> None:
    assert text_prompts.clean(raw) == cleaned


def test_ids_are_padded_with_zeros_to_the_context(tokenizer: CLIPTokenizer) -> None:
    ids = text_prompts.token_ids(tokenizer, "Cat")
    assert ids == (514, 513, 515, *[0] * 29)
    assert text_prompts.text_mask(ids, hide_zero=True) == (True,) * 3 + (False,) * 29


def test_an_exclamation_mark_inside_symbols_is_hidden_as_in_metas_code(tokenizer: CLIPTokenizer) -> None:
    ids = text_prompts.token_ids(tokenizer, "!%")
    assert ids[1] == 0
    assert text_prompts.hides_zero(tokenizer)
    assert text_prompts.text_mask(ids, hide_zero=True)[:4] == (True, False, True, True)
    assert text_prompts.text_mask(ids, hide_zero=False)[:5] == (True, True, True, True, False)


def test_thirty_tokens_fit_and_thirty_one_do_not(tokenizer: CLIPTokenizer) -> None:
    assert 0 not in text_prompts.token_ids(tokenizer, "x" * 30)
    with pytest.raises(InputError, match="31 tokens"):
        text_prompts.token_ids(tokenizer, "x" * 31)


@pytest.mark.parametrize("phrase", ["&nbsp;", "\u3000"])
def test_a_phrase_that_cleans_to_nothing_is_refused(tokenizer: CLIPTokenizer, phrase: str) -> None:
    with pytest.raises(InputError, match="empty"):
        text_prompts.token_ids(tokenizer, phrase)


@pytest.mark.parametrize("phrase", ["狗", "😀 face", "naïve café", "a\x00b", "<|endoftext|>"])
def test_any_text_tokenizes(tokenizer: CLIPTokenizer, phrase: str) -> None:
    assert len(text_prompts.token_ids(tokenizer, phrase)) == text_prompts.CONTEXT
