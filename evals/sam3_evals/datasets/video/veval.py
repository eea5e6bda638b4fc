"""SA-Co/VEval: pairs of a video and a noun phrase, each with all masklets that the phrase means.

`veval:FILE[@FRAMES]`. Schema: facebookresearch/sam3 scripts/eval/veval/README.md. Only the annotated frames are asked:
every fourth of 24 a second in SA-V, all of 6 a second in YT1B and SmartGlasses. A pair without masklets is negative.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sam3_agent.formats.video.ytvis import Pair, YtvisVideo, read_ytvis
from sam3_agent.masks import Rle
from sam3_evals.datasets.pictures import file_and_pictures, picture_folder, spec_of
from sam3_evals.metrics.video.masklets import volume_of
from sam3_evals.sample import Case, Footage, Source


@dataclass(frozen=True)
class VEval:
    """One file of truth."""

    file: Path
    given: Path | None

    @classmethod
    def open(cls, argument: str, _solver: str, _seed: int) -> "VEval":
        """Open "FILE" or "FILE@FRAMES".

        Raises:
            InputError: the file or the folder is not there.
        """
        return cls(*file_and_pictures(argument))

    @property
    def name(self) -> str:
        """The spec."""
        return spec_of("veval", self.file, self.given)

    def cases(self, limit: int | None) -> Iterator[Case]:
        """One case a pair, video by video in the order of the file."""
        del limit
        for video in self._videos.values():
            tracks = video.tracks
            for pair in video.pairs:
                yield Case(
                    id=str(pair.id),
                    picture=str(video.id),
                    query=pair.phrase,
                    size=(tracks.height, tracks.width * tracks.frames),
                    targets=_targets(video, pair),
                    frames=tracks.frames,
                )

    def picture(self, case: Case) -> Source:
        """The files of a video's frames."""
        tracks = self._videos[int(case.picture)].tracks
        names = [tracks.frame_name(index) for index in range(tracks.frames)]
        beside = self.file.parent
        folder = picture_folder(self.given, (beside, beside / "JPEGImages_6fps", beside / "JPEGImages"), names[0])
        return Footage(tuple(folder / name for name in names), tracks.fps)

    @cached_property
    def _videos(self) -> dict[int, YtvisVideo]:
        return {video.id: video for video in read_ytvis(self.file)}


def _targets(video: YtvisVideo, pair: Pair) -> tuple[Rle, ...]:
    tracks = video.tracks
    size = (tracks.height, tracks.width)
    return tuple(
        volume_of({frame.index: frame.rle for frame in track.frames}, tracks.frames, size)
        for track in tracks.tracks
        if track.concept == pair.phrase
    )
