"""Decoding and encoding of videos: exact frames by index, files that browsers play."""

from sam3_agent.video.opening import Decoder, VideoSource, open_video
from sam3_agent.video.video import Frame, FrameReader, Video, VideoInfo, VideoLimits
from sam3_agent.video.writing import Codec, Encoder, WrittenVideo, write_video

__all__ = [
    "Codec",
    "Decoder",
    "Encoder",
    "Frame",
    "FrameReader",
    "Video",
    "VideoInfo",
    "VideoLimits",
    "VideoSource",
    "WrittenVideo",
    "open_video",
    "write_video",
]
