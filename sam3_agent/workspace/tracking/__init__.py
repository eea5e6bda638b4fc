"""Tracks: detections of every frame tied to objects with ids that never change. No weights and no torch here."""

from sam3_agent.workspace.tracking.association import Evidence, evidence_of_masks, keep_detections
from sam3_agent.workspace.tracking.by_detection import DetectedMask, DetectionTracker
from sam3_agent.workspace.tracking.cuts import CutDetector
from sam3_agent.workspace.tracking.edits import Edit, apply_edits
from sam3_agent.workspace.tracking.journal import Entry, FrameLine, Header, JournalWriter, rewind
from sam3_agent.workspace.tracking.lifetime import Decision, Lifetimes, Reprompt
from sam3_agent.workspace.tracking.measure import Clock, Motion, measure_tracks, meetings
from sam3_agent.workspace.tracking.occlusion import blanked_by_shrinking
from sam3_agent.workspace.tracking.profiles import PAPER, PROFILES, SAM3, SAM31, TINY, Profile, profile_for, profile_of
from sam3_agent.workspace.tracking.timeline import timeline, timelines
from sam3_agent.workspace.tracking.track import TrackStore

__all__ = [
    "PAPER",
    "PROFILES",
    "SAM3",
    "SAM31",
    "TINY",
    "Clock",
    "CutDetector",
    "Decision",
    "DetectedMask",
    "DetectionTracker",
    "Edit",
    "Entry",
    "Evidence",
    "FrameLine",
    "Header",
    "JournalWriter",
    "Lifetimes",
    "Motion",
    "Profile",
    "Reprompt",
    "TrackStore",
    "apply_edits",
    "blanked_by_shrinking",
    "evidence_of_masks",
    "keep_detections",
    "measure_tracks",
    "meetings",
    "profile_for",
    "profile_of",
    "rewind",
    "timeline",
    "timelines",
]
