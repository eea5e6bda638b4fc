"""Other words for the same thing, for a model that does not know the word it was asked for.

A model that was never taught "mug" reads presence 0 on an image full of cups, just as it does on an image without any:
only asking in other words tells the two apart. The groups below were written for the nouns that the common label sets
(COCO, LVIS, Open Images) name differently, and for the shapes and things of the embedded model.
"""

from sam3_agent.scenes.vocabulary import COLORS, PATTERNS
from sam3_agent.tools.model_scope import known_nouns
from sam3_agent.types import ModelInfo

MOST = 4
"""Other words that are tried for one phrase: each costs a model call as much as a concept that was asked for."""

_GROUPS = """
cup mug teacup goblet beaker
lamp lantern light table_lamp floor_lamp desk_lamp
crescent moon half_moon sickle
bolt lightning lightning_bolt thunderbolt flash
drop droplet raindrop teardrop water_drop
circle disc disk dot ball
ring hoop donut doughnut annulus
cross plus plus_sign
diamond rhombus lozenge
star asterisk
arrow pointer
heart love_heart
square box rectangle block
triangle pyramid
house home building cottage hut cabin
tree christmas_tree fir pine palm
flower blossom daisy rose tulip
car automobile sedan taxi vehicle
boat ship sailboat yacht vessel
fish goldfish
bird sparrow duck pigeon
cat kitten kitty
umbrella parasol
key door_key
sofa couch settee
television tv tv_set screen monitor
phone telephone cellphone mobile_phone smartphone cell_phone
bicycle bike cycle
motorcycle motorbike scooter
airplane aeroplane plane aircraft jet
truck lorry van
person man woman human pedestrian people
child kid boy girl toddler baby
trousers pants jeans
sneaker trainer shoe
handbag purse bag
backpack rucksack bag
laptop notebook computer
refrigerator fridge
stove cooker oven
trash_can garbage_can dustbin bin
faucet tap
traffic_light stoplight
road street
rug carpet mat
bottle flask
glass wine_glass tumbler
plate dish
pan frying_pan skillet
dog puppy
horse pony
cow cattle bull
rabbit bunny
computer_mouse mouse
picture painting poster picture_frame
plant potted_plant houseplant
cookie biscuit
dresser drawer cabinet cupboard
"""


def alternatives(phrase: str, info: ModelInfo) -> list[str]:
    """Up to MOST other wordings of a phrase that this model may know, the likeliest first.

    The attributes before the noun stay, as they are part of what was meant; what only makes the noun more special
    ("christmas tree") may go.
    """
    words = [_singular(word) for word in phrase.lower().replace("-", " ").split()]
    if not words:
        return []
    count = next((n for n in range(len(words)) if words[n] not in COLORS and words[n] not in PATTERNS), len(words) - 1)
    attributes, noun = words[:count], words[count:]
    found: list[str] = []
    for start in range(len(noun)):
        rest = " ".join(noun[start:])
        found += [rest] if start or rest != " ".join(phrase.lower().split()[count:]) else []
        found += [other for group in _groups() if rest in group for other in group if other != rest]
    known = known_nouns(info)
    likely = [word for word in dict.fromkeys(found) if known is None or word in known]
    return [" ".join([*attributes, word]) for word in likely if word not in attributes][:MOST]


def _groups() -> list[list[str]]:
    return [[word.replace("_", " ") for word in line.split()] for line in _GROUPS.strip().splitlines()]


def _singular(word: str) -> str:
    """A noun without its plural ending, as far as that is plain."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("shes", "ches", "xes", "sses")) else word[:-1]
