"""The wrapping of a request: taken off until the referring expression is left."""

import re
import unicodedata

from sam3_agent.planner.rewrite import any_of

_SPELLINGS = (
    (r"[\u2018\u2019]", "'"),
    (r"[\"`<>\u201c\u201d\u00ab\u00bb]|(?<!\w)'|'(?!\w)", " "),
    (r"\b(?:can't|cannot)\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"n't\b", " not"),
    (r"\b(i)'m\b", r"\1 am"),
    (r"\b(\w+)'re\b", r"\1 are"),
    (r"\b(\w+)'d\b", r"\1 would"),
    (r"\b(\w+)'ll\b", r"\1 will"),
    (r"\b(what|that|it|there|who|where|which|here)'s\b", r"\1 is"),
    (r"\b(left|right|top|bottom|upper|lower)[ -]most\b", r"\1most"),
    (r"\b(left|right|upper|lower|top|bottom|first|second|third|fourth|fifth)-(?=\w)", r"\1 "),
    (r"[- ]colou?red\b", " coloured"),
    (r"\bcolor(s?)\b", r"colour\1"),
    (r"\b(\w+)-hand\b", r"\1 hand"),
    (r"\bnon[- ](\w+)", r"not \1"),
    (r"(?<=[a-z]) ?/ ?(?=[a-z])", " or "),
    (r"\s*[;:()\[\]{}]\s*|\s*,\s*|\s+-+\s+|\s*[\u2013\u2014]\s*", " , "),
    (r"\s*[.!?]+(?=\s|$)\s*", " . "),
)
_PICTURE = any_of(
    "picture", "image", "photo", "photograph", "scene", "drawing", "frame", "view", "shot", "painting", "illustration"
)
_WHOSE = r"(?:(?:this|the|that|my|your|our|its) )?(?:whole |entire |given )?"
_PLACE = rf"(?:in|on|of|from|within|across|throughout) {_WHOSE}{_PICTURE}"
_SIDE_OF_PICTURE = re.compile(
    r"\b(left|right|top|bottom|upper|lower|middle|centre|center)( hand)?( side| edge| half| part| corner| border| end)?"
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
    """Lower case, no contractions, no mention of the picture itself; sentences end in " . ", clauses in " , "."""
    text = unicodedata.normalize("NFKC", query).lower()
    for pattern, replacement in _SPELLINGS:
        text = re.sub(pattern, replacement, text)
    text = _SIDE_OF_PICTURE.sub(lambda found: "".join(part or "" for part in found.groups()), text)
    return re.sub(r"\s+", " ", _MENTION.sub(" ", text)).strip(" .,")


def unwrap(text: str) -> str:
    """A normalized sentence without greetings and verbs of asking."""
    before = None
    while before != text and text:
        before = text
        for pattern in (*_PREFIXES, *_SUFFIXES):
            text = pattern.sub("", text, count=1).strip() or text
    return text


def merge_clauses(text: str) -> str:
    """'look at the cups <from left> and mark the third one' becomes 'the third cups <from left>'."""
    found = _TWO_CLAUSES.match(text)
    if found is None:
        return text
    rest, count = re.subn(r"\b(?:ones?|of them|of these)\b", found["np"], found["rest"], count=1)
    return " ".join((rest if count else f"{rest} {found['np']}", found["from"] or "")).strip()
