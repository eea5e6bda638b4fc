"""Procedural images with exact truth, and the words and sentences that hold in them."""

from sam3_agent.scenes.concepts import Concept, concepts_of, matches, phrase_variant
from sam3_agent.scenes.options import SceneOptions
from sam3_agent.scenes.queries import Query, queries_of
from sam3_agent.scenes.scene import Scene, SceneObject, generate_scene
from sam3_agent.scenes.vocabulary import (
    COLORS,
    HELD_OUT_UNKNOWN_WORDS,
    NOUNS,
    PATTERNS,
    PLURAL,
    SHAPES,
    SUPERCATEGORIES,
    SUPERCATEGORY,
    SUPERCATEGORY_PHRASE,
    THINGS,
    UNKNOWN_WORDS,
)

__all__ = [
    "COLORS",
    "HELD_OUT_UNKNOWN_WORDS",
    "NOUNS",
    "PATTERNS",
    "PLURAL",
    "SHAPES",
    "SUPERCATEGORIES",
    "SUPERCATEGORY",
    "SUPERCATEGORY_PHRASE",
    "THINGS",
    "UNKNOWN_WORDS",
    "Concept",
    "Query",
    "Scene",
    "SceneObject",
    "SceneOptions",
    "concepts_of",
    "generate_scene",
    "matches",
    "phrase_variant",
    "queries_of",
]
