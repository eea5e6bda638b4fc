"""Markers of superlatives, counting directions and places in the image: <largest>, <from left>, <at top>."""

import re

from sam3_agent.planner.rewrite import Table, any_of, rewrite

_IS = r"(?:,? ?(?:that|which|who) )?(?:(?:is|are|lies|sits|stands|comes|appears|was|be) )?(?:the )?(?:ones? )?"
_THAT = r"(?:that |which )?"
OTHERS = (
    any_of(
        r"all (?:of )?(?:the )?(?:others?|rest)(?: [\w-]+)?",
        r"(?:every|any) other(?: [\w-]+){0,3}",
        r"(?:every|any)(?:thing| one)? else",
        r"the (?:others|other ones|rest)",
    )
    + r"(?=$| ,)"
)
"""Words for everything else, which turn a comparative into a superlative."""
_ROOM = r"(?: amount of| part of)? (?:space|room|area|surface|pixels|ground|size|extent)"
_FILL = (
    any_of(
        "tak(?:es?|ing)", "occup(?:y|ies|ying)", "cover(?:s|ing)?", "fill(?:s|ing)?", "us(?:es?|ing)", "ha(?:s|ve|ving)"
    )
    + "(?: up)?"
)
_SIDE = r"(?P<side>left|right|top|bottom|up|down|upper|lower)"
_CORNER = r"(?P<corner>(?:top|bottom|upper|lower) (?:left|right))"
_HAND = r"(?: (?:hand|edge|side|border|margin|end|part|half|corner|area))*"
_END = r"(?=$| [,<]| (?:that|which|who|and|is|are|of all)\b)"
_FAR = r"(?:furthest|farthest|closest|nearest|most far|all the way)(?: over| out| away| along)?"
_COUNTING = (
    r"(?:(?:when |if )?(?:you |we |i )?"
    r"(?:count(?:ing|ed)?|going|go|start(?:ing)?|read(?:ing)?|ordered|sorted|looking) )?"
)
_NO_PLACE = any_of(
    "of", "from", "than", "hand", "side", "edge", "half", "part", "corner", "is", "are", "that", "which", "and", "or",
    "to", "most", "hat",
)  # fmt: skip
_BEFORE = r"(?<!to )(?<!on )(?<!at )(?<!in )(?<!from )(?:(?<=^)|the )(?:far )?"
_NOUN = rf"(?: hand)?(?= [a-z])(?! {_NO_PLACE})"
_OF_TWO = r"(?= of (?:the|these|those) | (?!than\b|in size)[a-z])"

_THAN_OTHERS: Table = (
    (rf"{_IS}(?:bigger|larger|greater)(?: in size)? than {OTHERS}", "<largest>"),
    (rf"{_IS}smaller(?: in size)? than {OTHERS}", "<smallest>"),
    (rf"{_IS}taller than {OTHERS}", "<tallest>"),
    (rf"{_IS}wider than {OTHERS}", "<widest>"),
    (rf"{_THAT}{_FILL} more (?:[\w ]+ )?than {OTHERS}", "<largest>"),
    (rf"{_THAT}{_FILL} (?:less|fewer) (?:[\w ]+ )?than {OTHERS}", "<smallest>"),
    (
        rf"{_IS}(?:further|farther|more|closer|nearer)(?: over| out)?(?: to)?(?: the)? {_SIDE}{_HAND} than {OTHERS}",
        "<SIDEmost>",
    ),
    (rf"{_IS}higher(?: up)? than {OTHERS}", "<topmost>"),
    (rf"{_IS}lower(?: down)? than {OTHERS}", "<bottommost>"),
)
_MOST: Table = (
    (rf"{_THAT}(?:{_FILL}|with) (?:the )?(?:most|largest|biggest|greatest){_ROOM}", "<largest>"),
    (rf"{_THAT}(?:{_FILL}|with) (?:the )?(?:least|smallest|fewest){_ROOM}", "<smallest>"),
    (
        rf"{_IS}{_FAR} (?:to|on|at|towards|in|from) (?:the )?(?:far |very )?{_SIDE}{_HAND}(?: as possible)?{_END}",
        "<SIDEmost>",
    ),
    (rf"{_IS}(?:furthest|farthest|most far) {_SIDE}", "<SIDEmost>"),
    (rf"{_IS}(?:on|at|to|in) the (?:far|very|extreme|utmost) {_SIDE}{_HAND}", "<SIDEmost>"),
    (rf"{_IS}(?:first|last) (?:on|at) the {_SIDE}{_HAND}", "<SIDEmost>"),
    (rf"{_IS}{_SIDE}most", "<SIDEmost>"),
    (rf"{_IS}(?:highest|uppermost)(?: up)?", "<topmost>"),
    (rf"{_IS}(?:lowest|lowermost)(?: down)?", "<bottommost>"),
    (rf"{_IS}(?:most central|centermost|(?:closest|nearest) to the (?:middle|center))", "<centermost>"),
    (rf"{_IS}(?:largest|biggest|greatest|hugest)(?: in size| sized)?", "<largest>"),
    (rf"{_IS}(?:smallest|tiniest|littlest)(?: in size| sized)?", "<smallest>"),
    (rf"{_IS}(?P<word>tallest|shortest(?! (?:way|distance|path))|widest|narrowest)", "<WORD>"),
    (rf"{_IS}(?:broadest|longest)", "<widest>"),
    (rf"{_IS}thinnest", "<narrowest>"),
    (rf"(?:the |which )?(?:larger|bigger|greater){_OF_TWO}", "<largest>"),
    (rf"(?:the |which )?smaller{_OF_TWO}", "<smallest>"),
    (rf"(?:the |which )?taller{_OF_TWO}", "<tallest>"),
    (rf"(?:the |which )?(?:wider|longer){_OF_TWO}", "<widest>"),
)
_PLACES: Table = (
    (rf",? ?{_COUNTING}from (?:the )?{_SIDE}{_HAND}(?: (?:to|towards) (?:the )?\w+{_HAND})?", "<from SIDE>"),
    (rf"{_IS}(?:on|at|in|to|towards|near) the {_CORNER}{_HAND}{_END}", "<at CORNER>"),
    (rf"{_IS}(?:on|at|in|to|towards) the {_SIDE}{_HAND}{_END}", "<at SIDE>"),
    (rf"{_IS}(?:in|at|near) the (?:middle|center)(?! of)(?=$| )", "<at center>"),
    (rf"{_BEFORE}{_CORNER}{_NOUN}", "<at CORNER>"),
    (rf"{_BEFORE}(?:middle|central|center){_NOUN}", "<at center>"),
    (rf"{_BEFORE}{_SIDE}{_NOUN}", "<at SIDE>"),
)


def mark_superlatives(text: str) -> str:
    """Mark superlatives and places; a counting direction said first ("from the left, ...") is moved to the end."""
    text = rewrite(text, (*_THAN_OTHERS, *_MOST, *_PLACES))
    return re.sub(r"^(<from \w+>) ?,? (.+)$", r"\2 \1", text)
