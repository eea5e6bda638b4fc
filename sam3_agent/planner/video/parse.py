"""Parser of queries about a video: English -> VideoPlan, without a look at any frame."""

import re
import unicodedata
from dataclasses import replace

from sam3_agent.planner.language import require_english
from sam3_agent.planner.lexicon import GENERIC, NUMBER, ORDINAL, PERSONS, number, ordinal, word_set
from sam3_agent.planner.normalize import unwrap
from sam3_agent.planner.nouns import INVARIANT, singular_phrase
from sam3_agent.planner.query_ast import BeyondRules
from sam3_agent.planner.video.plan import VideoPlan
from sam3_agent.planner.video.predicates import SUPERLATIVE, Predicate, rank_of, ranked, read_predicate

MAX_CHARACTERS = 300
_SPELLINGS = (
    (r"[‘’`]", "'"), (r"\bdoesn't\b", "does not"), (r"\bdon't\b", "do not"), (r"\bisn't\b", "is not"),
    (r"\baren't\b", "are not"), (r"\bdidn't\b", "did not"), (r"\bthat's\b", "that is"), (r"\bwho's\b", "who is"),
    (r"[?!.;:]+(?=\s|$)", " "), (r"[\"“”]", " "), (r"\s*,\s*", " , "), (r"\bcolour", "color"),
)  # fmt: skip
_MENTIONS = re.compile(
    r"(?: ,)? (?:in (?:every|each) frame (?:of (?:this|the) (?:video|clip))?"
    r"|(?:in|of|throughout|during|over) (?:this|the|the whole|the entire) (?:video|clip)(?! ends)"
    r"|wherever (?:it|they) (?:is|are) seen)(?= |$)"
)
_KEPT = re.compile(r"\b((?:beginning|start|end|course|first frame|last frame)) of (?:the|this) (?:video|clip)")
_VERBS = re.compile(r"^(?:track|follow)(?: (?:me|down))? (?=(?:the|all|every|each|any|both|an?)\b)")
_OF_THESE = re.compile(
    r"^(?:of|among|amongst|out of|from) (?:all )?(?:of )?(?:the |these )?(?P<np>[\w' -]+?)(?: (?:that|which|who) "
    r"(?P<pred>[^,]+?))? ,(?: please)? (?:(?:which|what)(?: one| ones| of them)?|who|(?:find |show |mark |track )?"
    r"(?:the |those )?(?:ones? )?(?:that|which|who)) (?P<rest>.+)$"
)
_FIRST_TO = re.compile(
    rf"^(?:the )?(?P<place>{ORDINAL}) (?:(?P<number>{NUMBER}) )?(?P<np>[\w' -]+?) (?:to|that|which|who) (?P<pred>.+)$"
)
_THAT = re.compile(r"^(?P<np>[\w' -]+?)(?: ,)? (?:that|which|who) (?P<pred>.+)$")
_NOUN_PHRASE = re.compile(
    r"^(?P<det>(?:(?:the|all|every|each|any|these|those|both|an?|of|which|what) )*)"
    rf"(?:(?P<number>{NUMBER}) )?(?P<noun>[a-z][\w' -]*)$"
)
_NO_NOUN = word_set("""
    that which who whom what is are was were be does do did not never to than before after while when until if and or
    first last second then leaves moves goes comes enters it they them its their every all there here by from into onto
    left right above below behind between under beside near inside next on in at
""")
"""Words that no noun phrase of a concept holds; "of" and "with" may stand in one."""
_SUPERLATIVE = re.compile(r"\b(?!(?:fore|ne|che|ve|gue|cre|prie|harve|te|pe|gue)st\b)\w{2,}est\b|\bmost\b")
_ALL = word_set("everything everyone everybody")


def parse_video_query(query: str) -> VideoPlan:
    """Understand a query about a video.

    Raises:
        BeyondRules: it needs more than these rules; the message names the part.
    """
    text = _normalized(query)
    require_english(text)
    if not re.search(r"\w", text):
        raise BeyondRules(f"the expression {query!r}")
    if len(text) > MAX_CHARACTERS:
        raise BeyondRules(f"a query of {len(text)} characters")
    if found := _OF_THESE.match(text):
        return _of_these(found)
    text = _stripped(text)
    if (found := _FIRST_TO.match(text)) and (place := ranked(found["pred"], ordinal(found["place"]))):
        plan = _with(_named(found["np"]), place)
        return plan if not found["number"] else replace(plan, amount=number(found["number"]))
    if found := SUPERLATIVE.fullmatch(text):
        plan = _with(_predicated(found["np"]), Predicate((), rank_of(found["word"], found)))
        return plan if not found["number"] else replace(plan, amount=number(found["number"]))
    return _predicated(text)


def _normalized(query: str) -> str:
    text = f" {unicodedata.normalize('NFKC', query).lower()} "
    for pattern, replacement in _SPELLINGS:
        text = re.sub(pattern, replacement, text)
    text = _KEPT.sub(lambda found: found[1], " ".join(text.split()))
    return " ".join(_MENTIONS.sub(" ", f" {text}").split()).strip(" ,")


def _stripped(text: str) -> str:
    """Take the words of asking off."""
    before = ""
    while before != text:
        before = text
        text = _VERBS.sub("", unwrap(text))
    return text


def _of_these(found: re.Match[str]) -> VideoPlan:
    plan = _named(found["np"])
    for words in (found["pred"], found["rest"]):
        if words:
            plan = _with(plan, _predicate(words))
    return replace(plan, plural=re.search(r"\bones\b", found[0]) is not None)


def _predicated(text: str) -> VideoPlan:
    """Read "NP that PREDICATE", "which NP PREDICATE", "NP moving left", or a noun phrase alone."""
    one_of = re.match(r"(?:which|what|any)? ?(?:one )?of ", text) is not None
    if found := _THAT.match(text):
        return _agreeing(_with(_named(found["np"]), _predicate(found["pred"])), found["pred"], one_of=one_of)
    words = text.split()
    asks = words[0] in ("which", "what", "who")
    for place in range(1, len(words)):
        predicate = read_predicate(" ".join(words[place:]))
        if predicate is not None and _is_noun_phrase(" ".join(words[:place])):
            return _agreeing(_with(_named(" ".join(words[:place])), predicate), words[place], one_of=one_of)
    if asks and len(words) > 2:
        raise BeyondRules(f"'{text}' about a video")
    return _named(text)


def _agreeing(plan: VideoPlan, predicate: str, *, one_of: bool) -> VideoPlan:
    """Let the verb tell the number where the noun does not: "which fish leave", "which of the cars leaves"."""
    verb = predicate.split()[0]
    several = verb in ("are", "do") or (not verb.endswith(("s", "ing")) and verb not in ("can", "never"))
    if one_of and not several and verb.endswith("s"):
        return replace(plan, plural=False)
    return replace(plan, plural=True) if several and plan.phrase.split()[-1] in INVARIANT else plan


def _predicate(text: str) -> Predicate:
    predicate = read_predicate(text.strip(" ,"))
    if predicate is None:
        raise BeyondRules(f"'{text.strip()}' about a video")
    return predicate


def _with(plan: VideoPlan, predicate: Predicate) -> VideoPlan:
    """Add a predicate to a plan.

    Raises:
        BeyondRules: it would have two orders.
    """
    if plan.rank is not None and predicate.rank is not None:
        raise BeyondRules("two orders in one query")
    happenings = tuple(dict.fromkeys((*plan.happenings, *predicate.happenings)))
    return replace(plan, happenings=happenings, rank=plan.rank or predicate.rank)


def _is_noun_phrase(text: str) -> bool:
    found = _NOUN_PHRASE.match(text) if text not in PERSONS else None
    if found is None:
        return text in PERSONS
    return not _NO_NOUN & set(found["noun"].split()) and _SUPERLATIVE.search(found["noun"]) is None


def _named(text: str) -> VideoPlan:
    """Read a noun phrase: the concept, whether several are meant, and how many.

    Raises:
        BeyondRules: it is no plain noun phrase.
    """
    if text in PERSONS:
        return VideoPlan("person", text in _ALL)
    found = _NOUN_PHRASE.match(text)
    if found is None or not _is_noun_phrase(text):
        raise BeyondRules(f"'{text}' about a video")
    phrase, plural = singular_phrase(found["noun"])
    amount = number(found["number"]) if found["number"] else 2 if "both" in found["det"] else None
    *before, head = phrase.split()
    phrase = " ".join((*before, "object")) if head in GENERIC and head != "item" else phrase
    several = plural or head in _ALL or amount not in (None, 1)
    several = several or re.search(r"\b(?:all|every|each|any)\b", found["det"]) is not None
    return VideoPlan(phrase, several, amount)
