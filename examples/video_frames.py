"""Draw a short video with exact truth, write it, read frames of it back: python examples/video_frames.py [OUT]."""

import sys
from pathlib import Path

import numpy as np

from sam3_agent.scenes.video import QUERY_CLIPS, draw_clip, temporal_queries_of, truth_of
from sam3_agent.video import open_video, write_video


def main(out: str = "clip.webm") -> None:
    clip = draw_clip(1, frames=24, options=QUERY_CLIPS)
    written = write_video(Path(out), clip.frames, fps=12.0)
    print(f"{out}: {written.frames} frames of {written.width}x{written.height} in {written.codec}")

    video = open_video(out)
    for frame in video.frames((23, 0, 12)):  # in any order
        seen = np.count_nonzero(clip.areas[frame.index])
        print(f"  frame {frame.index} at {frame.time:.2f} s: {seen} of {len(clip.objects)} objects are seen")

    for query in temporal_queries_of(truth_of(clip), np.random.default_rng(0)):
        print(f"  {query.kind}: {query.text} -> {list(query.target_ids)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
