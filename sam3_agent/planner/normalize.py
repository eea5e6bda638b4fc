"""Normal form of a request: one spelling, and no wrapping around the referring expression."""

import re
import unicodedata
from collections.abc import Callable

from sam3_agent.planner.lexicon import ADJECTIVES, COLORS, PATTERNS, word_set
from sam3_agent.planner.rewrite import any_of

_US = {
    "centre": "center", "centred": "centered", "grey": "gray", "greyish": "grayish",
    "chequered": "checkered", "cheque": "check", "centremost": "centermost", "moustache": "mustache", "tyre": "tire",
    "tyres": "tires", "pyjamas": "pajamas", "aeroplane": "airplane", "aeroplanes": "airplanes",
    "neighbouring": "neighboring", "metre": "meter", "litre": "liter", "doughnut": "donut", "doughnuts": "donuts",
}  # fmt: skip
"""UK spelling -> the US spelling that the rest of the grammar knows."""
_DENIABLE = any_of(*sorted(ADJECTIVES | word_set("patterned colored")))
_NOUN_NEXT = (
    r"(?!(?:and|or|nor|but|next|in|on|at|near|inside|outside|above|below|left|right|with|without|ones?$)\b)[a-z]"
)
_SPELLINGS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"[\u2018\u2019]", "'"),
    (r"(\w+s)'(?= \w)", r"\1"),
    (r"[\"`<>\u201c\u201d\u00ab\u00bb_]|(?<!\w)'|'(?!\w)", " "),
    (r"\b(?:can't|cannot)\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"n't\b", " not"),
    (r"\b(i)'m\b", r"\1 am"),
    (r"\b(\w+)'re\b", r"\1 are"),
    (r"\b(\w+)'d\b", r"\1 would"),
    (r"\b(\w+)'ll\b", r"\1 will"),
    (r"\b(what|that|it|there|who|where|which|here)'s\b", r"\1 is"),
    (r"\bcolou?r(?=s?\b|ed\b|ful\b|less\b)", "color"),
    (rf"\b{any_of(*_US)}\b", lambda found: _US[found[0]]),
    (r"(?<=\d),(?=\d{3}\b)", ""),
    (r"\(s\)", "s"),
    (r"\beach and every\b", "every"),
    (r"\bnot? more than\b(?! (?:any|every|all|the)\b)", "at most"),
    (r"\bnot? (?:fewer|less) than\b(?! (?:any|every|all|the)\b)", "at least"),
    (r"\bmulti[- ]?(?=color)", "multi"),
    (r"\ba single\b", "one"),
    (r"\b(left|right|top|bottom|upper|lower|center)[ -]most\b", r"\1most"),
    (r"\b(first|second|third)-to-last\b", r"\1 to last"),
    (r"\b(far|left|right|upper|lower|top|bottom|first|second|third|fourth|fifth)-(?=\w)", r"\1 "),
    (rf"\b({any_of(*sorted(COLORS))}|{any_of(*PATTERNS)})-(?={any_of(*PATTERNS)}\b)", r"\1 "),
    (r"[- ]colored\b", " colored"),
    (r"\b(\w+)-hand\b", r"\1 hand"),
    (rf"\b(?:non|un)[- ]?({_DENIABLE})\b", r"non-\1"),
    (
        rf"(?:^|(?<=\bthe )|(?<=\ba )|(?<=\ban )|(?<=\ball )|(?<=\bevery ))not[- ]({_DENIABLE})(?= {_NOUN_NEXT})",
        r"non-\1",
    ),
    (r"\bnon[- ](\w+)", r"non-\1"),
    (r"\b(?:color|colou?r)less\b|\bnon-colored\b", "non-colored"),
    (r"\b(?:pattern|stripe|dot|check)less\b", lambda found: f"non-{_LESS[found[0]]}"),
    (r"(?<=[a-z]) ?/ ?(?=[a-z])", " or "),
    (r" ?[&+] ?(?=\w)", " and "),
    (r"\s*[;:()\[\]{}]\s*|\s*,\s*|\s+-+\s+|\s*[\u2013\u2014]\s*", " , "),
    (r"\s*[.!?\u00bf\u00a1]+(?=\s|$)\s*|[\u00bf\u00a1]", " . "),
    (r"(?: ,)+ \.| \. ,", " ."),
)
_LESS = {"patternless": "patterned", "stripeless": "striped", "dotless": "dotted", "checkless": "checkered"}
_PICTURE = any_of(
    "picture", "image", "photo", "photograph", "scene", "drawing", "frame", "view", "shot", "painting", "illustration"
)
_WHOSE = r"(?:(?:this|the|that|my|your|our|its) )?(?:whole |entire |given )?"
_PLACE = rf"(?:in|on|of|from|within|across|throughout) {_WHOSE}{_PICTURE}"
_SIDE_OF_PICTURE = re.compile(
    r"\b(left|right|top|bottom|upper|lower|middle|center)( hand)?( side| edge| half| part| corner| border| end)?"
    rf" of {_WHOSE}{_PICTURE}"
)
_MENTION = re.compile(rf"(?<!if )(?<!whether )(?:(?:that|which) )?\b(?:you|we|i) can see\b(?: here)?|\b{_PLACE}\b")

_ASK = any_of(
    "(?:could|can|would|will|may|might) (?:you|we|i|someone)", "i (?:would|will) like (?:you )?to", "help me(?: to)?",
    "i (?:want|need|wish) (?:you )?to", "let(?: us| me)", "let's", "your task is to", "try to", "be so kind (?:as )?to",
    "we need to", "you should", "go ahead and", "i (?:am|was) (?:trying|hoping|going) to",
    "i (?:am|was) (?:looking|searching|hunting) for", "i (?:wonder|was wondering)(?: if| whether)?",
)  # fmt: skip
_VERB = any_of(
    "(?:look|search)(?:ing)? for", "find(?:ing)?(?: out)?", "show(?:ing)?", "segment(?:ing)?(?: out)?",
    "select(?:ing)?", "highlight(?:ing)?", "point (?:out|to|at)", "pick out", "locat(?:e|ing)", "give",
    "identify(?:ing)?", "detect(?:ing)?", "choos(?:e|ing)", "return", "indicate", "isolate", "extract", "annotate",
)  # fmt: skip
_VERB_OR_NOUN = any_of(
    "mark", "outline", "mask", "point", "pick", "get", "spot", "label", "tell", "name", "see", "trace", "circle",
    "grab", "have", "want", "need", "know", "search", "box",
)  # fmt: skip
_DETERMINER = any_of(
    "the", "all", "every", "each", "an?", "any", "only", "just", "some", "both", "whichever", "whatever", "something",
    "anything", "everything", "everyone", "everybody", "whoever", "which", "what", "where",
)  # fmt: skip
_FOR_WHOM = r"(?: (?:me|us|out|for me|for us))*"
_MASK = (
    r"(?:(?:an? |the )?(?:masks?|outlines?|locations?|positions?|pixels) (?:of|for)|(?:an? |every |all )?instances? of)"
)

_PREFIXES = tuple(
    re.compile(rf"^(?:{pattern})(?:\s+|$)")
    for pattern in (
        r"(?:please|kindly|hey|hi|hello|ok|okay|well|so|now|then|just|also|only|quickly|first of all)\b,?",
        r"(?:thanks|thank you),?",
        _ASK,
        rf"i (?:want|need|would like|would love)(?= {_DETERMINER}\b)",
        rf"{_VERB}{_FOR_WHOM}",
        rf"{_VERB_OR_NOUN}{_FOR_WHOM}(?= {_DETERMINER}\b)",
        r"(?:where|here) (?:is|are|can i (?:find|see))",
        r"(?:is|are) there|there (?:is|are)|(?:we|you) (?:can )?see|do you see",
        rf"{_PLACE}\s*,?",
        _MASK,
        r"(?:my|our) (?:target|query|request) is",
        r"(?:what|which|who) (?:is|are)(?= (?:the|an?)\b(?! same))",
        r"nothing (?:but|except)",
        r",",
    )
)
_SEEN = r"(?:shown|visible|seen|depicted|displayed|pictured|present)"
_SUFFIXES = tuple(
    re.compile(rf"(?:\s+|^)(?:{pattern})$")
    for pattern in (
        r"(?:please|thanks|thank you|for me|for us|here|right now|at once|now)",
        rf"(?:(?:that |which )?(?:is |are )?(?:{_SEEN}|there is|there are|to be (?:seen|found)) )?{_PLACE}",
        r"(?:that |which )?(?:you|i|we|one) (?:can |could )?(?:see|find|spot|have)(?: here| there)?",
        rf"(?:that |which )?(?:(?:is|are) )?{_SEEN}(?: here| there)?",
        r"(?:if you (?:can|could|would)|if possible)",
        r"(?:from|among|out of) (?:all )?(?:the )?(?:objects|things|items|everything)",
        r"(?:and )?(?:nothing (?:else|more)|no others?)",
        r",",
    )
)
_TWO_CLAUSES = re.compile(
    r"^(?:look at|consider|take|among|amongst|of|out of|from|in) (?:all )?(?:of )?(?:the |these )?"
    r"(?P<np>[\w -]+?)(?: (?P<from><from \w+>))?(?: ,)?(?: and| ,)? (?:please )?"
    rf"(?:(?:{_VERB}|{_VERB_OR_NOUN})(?: me)?|(?:which|what)(?: one)? is) (?P<rest>(?:the|an?|<).*)$"
)


def normalize(query: str) -> str:
    """Lower the case, spell out contractions, drop mentions of the image; sentences end in " . ", clauses in " , "."""
    text = unicodedata.normalize("NFKC", query).lower()
    for pattern, replacement in _SPELLINGS:
        text = re.sub(pattern, replacement, text)
    text = _SIDE_OF_PICTURE.sub(lambda found: "".join(part or "" for part in found.groups()), text)
    return re.sub(r"\s+", " ", _MENTION.sub(" ", text)).strip(" .,")


def unwrap(text: str) -> str:
    """Take greetings and verbs of asking off a normalized sentence."""
    before = None
    while before != text and text:
        before = text
        for pattern in (*_PREFIXES, *_SUFFIXES):
            text = pattern.sub("", text, count=1).strip() or text
    return text


def merge_clauses(text: str) -> str:
    """Turn 'look at the cups <from left> and mark the third one' into 'the third cups <from left>'."""
    found = _TWO_CLAUSES.match(text)
    if found is None:
        return text
    rest, count = re.subn(r"\b(?:ones?|of them|of these)\b", found["np"], found["rest"], count=1)
    return " ".join((rest if count else f"{rest} {found['np']}", found["from"] or "")).strip()
