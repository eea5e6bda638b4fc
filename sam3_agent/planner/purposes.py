"""Purposes: from a clause such as "you could drink from" to nouns that serve it.

A small explicit lexicon, tried in order; verbs and effects only, so that naming a thing does not trigger it.
"""

import re

from sam3_agent.planner.lexicon import word_set

PURPOSES: tuple[tuple[str, str], ...] = (
    (r"drink|\bsip|beverage|(?:my|your|some|hot|the) (?:coffee|tea)\b|coffee into|thirst", "cup|mug|glass|bottle"),
    (r"\brain|\bdry\b|getting wet|shower|downpour", "umbrella|raincoat"),
    (r"lock|(?:open|opens|opening) (?:a |the |up a )?(?:front )?doors?|let (?:me|you|us) in\b", "key"),
    (r"meow|purr|chas\w+ mice|catch\w* (?:mice|a mouse)", "cat"),
    (r"\bbark(?:s|ing)?\b(?! of)|fetch|guards? the house", "dog"),
    (r"vase|bouquet|\bbees?\b|bloom|blossom|smells? (?:nice|good|sweet)|petals", "flower"),
    (r"night sky|sky at night|sky on a clear night|twinkl|astronom", "star|moon|crescent"),
    (r"\blove\b|valentine|romance|affection", "heart"),
    (r"(?:shows?|points?|tells?|tell) (?:me |you |us )?(?:the |which |in |some)(?:a )?(?:way|direction|where)|"
     r"points (?:in|to|some)|shows? (?:the|a|which) (?:way|direction)|which way to go", "arrow|sign"),
    (r"breath\w* (?:through|with|under)|\bgills\b|swim|under ?water|in (?:the )?(?:water|sea|ocean|aquarium)\b.*\bliv|"
     r"liv\w* in (?:the )?(?:water|sea|ocean|aquarium)|\bfins\b", "fish"),
    (r"\bfly|flies|\bwings?\b|feather|\bnests?\b|lays? eggs|chirp|tweet", "bird|airplane|butterfly|helicopter"),
    (r"\broots?\b|soil|be watered|needs? water|grows?\b|gardener|photosynthe|planted", "tree|flower|plant|bush"),
    (r"shade|climb|squirrel", "tree"),
    (r"\bsail|\bfloat|\brow\b|to sea\b|(?:over|across|on) (?:the )?water|to an island|fishing trip", "boat|ship|canoe"),
    (r"\bdriv(?:e|es|ing)|\broads?\b|wheels?\b|engine", "car|truck|bus|motorcycle"),
    (r"travel|\bride|transport|passengers|journey|commut|\btrip\b|carr(?:y|ies) (?:you|me|us|people|someone)|"
     r"get (?:you|me|us|people) (?:somewhere|around|home)", "car|boat|bus|bicycle|train|airplane|truck|ship"),
    (r"\blive|living in|\bhome\b|room for (?:people|a family)|shelter|dwell|reside|family", "house|building|hut|tent"),
    (r"light|\bdark\b|illuminat|glow|switch on|(?:read|see) (?:by|at night|in the evening)",
     "lamp|light|candle|lantern"),
    (r"sleep|\bnap\b|lie down", "bed|sofa|hammock"),
    (r"\bsit\b|sits? (?:on|down)|sitting on|\bseat\b", "chair|bench|sofa|stool"),
    (r"\bcut|slice|chop", "knife|scissors|saw"),
    (r"\bwrit(?:e|ing)\b|sketch", "pen|pencil|marker"),
    (r"tell\w* (?:you |me )?the time|what time", "clock|watch"),
    (r"phone (?:someone|home)|(?:make|take) a call|call (?:someone|a friend|home)", "telephone|phone"),
    (r"\bcook|\bfry\b|\bboil", "pot|pan|stove"),
    (r"carry (?:your|my|one's|the) (?:things|stuff|belongings|books|luggage|groceries)", "backpack|bag|suitcase"),
    (r"(?:wear|put) on (?:your|my|one's) head", "hat|cap|helmet"),
    (r"\beat(?:ing)? with", "fork|spoon|knife"),
    (r"\bread\b", "book|newspaper"),
    (r"\beat\b|edible|hungry|snack", "food|fruit|bread|sandwich|cake"),
    (r"(?:play|make) music", "guitar|piano|violin|drum"),
    (r"kick|bounce", "ball"),
)  # fmt: skip
CATEGORIES: dict[str, frozenset[str]] = {
    "animal": word_set("bird butterfly fish cat dog"),
    "vehicle": word_set("car boat bus bicycle train airplane helicopter truck ship canoe motorcycle"),
    "plant": word_set("tree flower plant bush"),
}
"""Category that a query names -> those of the nouns above that belong to it."""
SAME_CATEGORY = {
    "pet": "animal",
    "creature": "animal",
    "living thing": "animal",
    "being": "animal",
    "animals": "animal",
}

_HEADS = (
    r"(?:objects?|things?|items?|something|anything|everything|what|whatever|which|where|somewhere|place|tool|device"
    r"|(?:sign|symbol)(?: of)?|living (?:things?|beings?)|one|ones|animals?|pets?|creatures?|vehicles?|plants?"
    r"|household items?|kind of (?:thing|object))"
)
_NO_PURPOSE = (
    r"(?!(?:that |which )?(?:is|are|was|were|not|has no|have no|<)|left|right|above|below|under|over|on|in|at|of|from"
    r"|next|between|near|closest|nearest|behind|with(?:out)? (?!which|wings|gills|roots|wheels|petals|fins|feathers))"
)
_CLAUSE = re.compile(
    rf"^(?:(?:which|what) )?(?:(?:the|an?|any|some|every|all|all the|one|each) )?(?P<adjectives>(?:\w+ )??)"
    rf"(?P<head>{_HEADS})(?: here| there| in here)?(?: that| which)? (?P<clause>{_NO_PURPOSE}.+)$"
)


def nouns_for_purpose(text: str) -> tuple[str, ...]:
    """List nouns of things that serve the purpose a query names ("something you could drink from").

    Empty when the query does not speak of a purpose, or of none that is known.
    """
    found = _CLAUSE.match(text)
    if found is None:
        return ()
    nouns = next((nouns for pattern, nouns in PURPOSES if re.search(pattern, found["clause"])), "")
    category = CATEGORIES.get(SAME_CATEGORY.get(found["head"], found["head"].removesuffix("s")))
    adjectives = found["adjectives"] if found["adjectives"].strip() not in ("this", "other") else ""
    chosen = [noun for noun in nouns.split("|") if noun and (category is None or noun in category)]
    return tuple(f"{adjectives}{noun}" for noun in chosen)


def speaks_of_purpose(text: str) -> bool:
    """Tell whether a query describes by use or behavior, known or not."""
    return _CLAUSE.match(text) is not None
