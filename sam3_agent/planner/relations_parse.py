"""Markers of relations to other things (<left of>, <inside>), and what is to be left out (<but>, <not>, <lacks>)."""

from sam3_agent.planner.lexicon import CLOTHES, COLORS, NUMBER
from sam3_agent.planner.rewrite import Table, any_of, rewrite
from sam3_agent.planner.superlatives import OTHERS

_THAT = r"(?:that |which )?"
_THE = r"(?= (?:(?:the|an?|this|that|one|any|its|his|her|their)\b|<))"
_WORN = rf"(?! (?:an? |the |his |her |their )?(?:\w+ )?{any_of(*sorted(CLOTHES | COLORS))}\b)"
_NP = r"(?P<np>the(?: (?!the |that |which )[\w-]+){1,4}?)"
_MORE = r"(?:further |farther |more )?(?:over )?(?:(?:to|on|at|towards?|in) )?(?:the )?"
_OF = r"(?: hand)?(?: side)? (?:of|from|than)"
_LED_IN = (
    r"(?:,? ?(?:that|which|who) )?(?:(?:is|are|was|be|lies|sits|stands|appears) )?"
    r"(?:(?:directly|right|just|immediately|located|positioned|placed|situated|standing|sitting|lying|resting|somewhere|found"
    r"|lies|sits|stands) )*"
)

_RELATIONS: Table = (
    (rf"closer to (?P<np>.+?) than {OTHERS}", "<nearest to> NP"),
    (rf"{_THAT}(?:has|with|having) the shortest (?:way|distance|path) (?:to|from)", "<nearest to>"),
    (r"(?:the )?(?:closest|nearest) (?P<np>[\w -]+?) to(?= )", "NP <nearest to>"),
    (r"(?:the )?(?:furthest|farthest) (?P<np>[\w -]+?) from(?= )", "NP <farthest from>"),
    (r"(?:the )?(?:closest|nearest) to(?= )|(?<=\w )nearest(?= (?:the|an?) )", "<nearest to>"),
    (r"(?:the )?(?:farthest|furthest|most distant)(?: away)? from", "<farthest from>"),
    (rf"{_MORE}left{_OF}", "<left of>"),
    (rf"{_MORE}right{_OF}", "<right of>"),
    (r"(?:further |farther )?(?:(?:higher )?above|over|on top of|atop|higher(?: up)? than|further up than)", "<above>"),
    (r"(?:further |farther )?(?:below|under|underneath|beneath|lower(?: down)? than|further down than)", "<below>"),
    (r"(?:larger|bigger|greater)(?: in size)? than", "<larger than>"),
    (r"smaller(?: in size)? than", "<smaller than>"),
    (rf"(?:that )?{_NP} (?:goes|go|runs|wraps|closes) around", "<inside> NP"),
    (rf"that {_NP} (?:surrounds?|encloses?|encircles?|contains?)", "<inside> NP"),
    (rf"{_THAT}(?:can be |is |are )?(?:seen |visible )?through", "<inside>"),
    (r"(?:fully |completely )?(?:enclosed|surrounded|encircled|contained) (?:by|in|within)", "<inside>"),
    (r"outside(?: of)?|not (?:inside|within)(?: of)?", "<not> <inside>"),
    (r"inside(?: of)?|within|in the (?:middle|center|inside|hole) of", "<inside>"),
    (rf"in{_THE}{_WORN}", "<inside>"),
    (rf"{_THAT}(?:contain(?:s|ing)?|around|surround(?:s|ing)?|enclos(?:es?|ing)|encircl(?:es?|ing))", "<containing>"),
    (r"(?:in )?between", "<between>"),
    (rf"next to|beside|by{_THE}|near(?: to)?|close to|adjacent to|alongside|touching", "<next to>"),
    (rf"on{_THE}", "<on>"),
)
_APART = any_of(
    "leaving out", "except(?: for| of)?", "apart from", "aside from", "excluding", "not counting", "not including",
    "ignoring", "besides", "other than", "save for", "with the exception of",
)  # fmt: skip
_EXCLUSIONS: Table = (
    (rf"^(?:{_APART}|without) (?P<np>[^,]+?) , (?P<rest>.+)$", "REST <but> NP"),
    (r"anything but|neither", "<not>"),
    (
        rf",? ?(?:but(?: are| is)? (?:not|none of|no)|{_APART}|but(?= (?:the|an?|{NUMBER}) | <)|minus|and not"
        r"|(?<=, )not(?= <)|not (?=the |those |these )"
        r"|(?<=\ball )but|(?<=\beverything )but|(?<=\bthings )but|(?<=\bobjects )but)",
        "<but>",
    ),
    (
        r"(?:,? ?(?:that|which|who) )?(?:(?:do|does) not (?:have|show|wear|carry)|without|with no"
        r"|(?:has|have|having) no|lacking|lacks?|free of)(?: any| a| an)?(?= )",
        "<lacks>",
    ),
    (
        r"(?:,? ?(?:that|which|who) )?(?:(?:is|are|was|were) )?not(?: being| a kind of| one of| any of| among)?(?= )",
        "<not>",
    ),
)


def mark_relations(text: str) -> str:
    """Mark relations, with what leads up to them ("that is standing ...")."""
    return rewrite(text, _RELATIONS, _LED_IN)


def mark_exclusions(text: str) -> str:
    """Mark what is to be left out: <but> these things, <not> such, <lacks> this."""
    return rewrite(text, _EXCLUSIONS)
