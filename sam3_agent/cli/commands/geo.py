"""`sam3-agent geo`: georeferenced images segmented, cut into tiles, and labels put on the map."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sam3_agent import masks
from sam3_agent.cli.concept_names import read_prompt
from sam3_agent.cli.loading import open_workspace
from sam3_agent.cli.options import ModelOptions
from sam3_agent.cli.output import print_line, print_notes, print_table, say
from sam3_agent.errors import InputError
from sam3_agent.formats.files import replacing, write_json
from sam3_agent.formats.geo.features import Feature, write_geo_coco, write_geojson, write_geopackage
from sam3_agent.formats.geo.geotiff import GeoReference, GeoTiff, StretchMode
from sam3_agent.formats.reading import read_json
from sam3_agent.labeling.io.journal_labels import Selection, label_set
from sam3_agent.labeling.store.journal import Journal
from sam3_agent.labeling.store.summary import images_folder
from sam3_agent.types import ModelInfo
from sam3_agent.workspace import TileMode

TILES = "tiles.json"
"""Beside tiles: where each lies on the map, and by which stretch it was made."""
FORMATS = ("geojson", "gpkg", "coco")


@dataclass(frozen=True, slots=True)
class Bands:
    """Choice of bands and of the stretch that makes 8 bits of their values."""

    bands: tuple[int, ...] = ()
    mode: StretchMode = "auto"


@dataclass(frozen=True, slots=True)
class GeoReport:
    """Outcome: what was written, and of what."""

    out: Path
    crs: str
    stretch: str
    counts: dict[str, int]
    """Objects by concept; of `tiles`, "tiles"."""
    files: tuple[str, ...]
    info: ModelInfo | None = None

    def to_json(self) -> dict[str, Any]:
        """Give one document for `--json`."""
        made = {"out": str(self.out), "crs": self.crs, "stretch": self.stretch, "counts": self.counts}
        return {**made, "files": list(self.files), "model": self.info.to_json() if self.info else None}

    def print(self) -> None:
        """Print it for a person."""
        print_line(f"{', '.join(self.files[:4])}{' ...' * (len(self.files) > 4)} in {self.out} ({self.crs})")
        if self.stretch:
            print_line(self.stretch)
        print_table(("what", "count"), [[name, str(count)] for name, count in self.counts.items()], right=("count",))
        if self.info is not None:
            print_notes(self.info)


def segment(
    tiff: Path, concepts: Sequence[str], out: Path, bands: Bands, threshold: float, tiles: TileMode, model: ModelOptions
) -> GeoReport:
    """Find concepts on a raster, and write them in all forms; pixels without data belong to nothing.

    Raises:
        InputError: the raster or a concept cannot be used.
    """
    if not concepts:
        raise InputError("give at least one concept, such as: sam3-agent geo segment scene.tif building --out DIR")
    prompts = [read_prompt(concept, ()) for concept in concepts]
    with GeoTiff(tiff) as raster:
        stretch = raster.stretch(bands.bands or None, bands.mode)
        pixels, valid = raster.read(stretch)
        reference = raster.reference
    say(stretch.words())
    workspace = open_workspace(model)
    image = workspace.open(pixels)
    there = masks.encode(valid)
    features: list[Feature] = []
    for found in workspace.segment(image.id, prompts, threshold=threshold, tiles=tiles):
        for each in found.instances:
            rle = masks.intersect([each.rle, there])
            if masks.area(rle):
                name = f"{found.prompt.label}-{each.id}"
                features.append(Feature(name, found.prompt.label, each.score, rle, tiff.name, reference))
    files = _write(features, {tiff.name: valid.shape}, out, stretch.words())
    counts = {prompt.label: sum(f.concept == prompt.label for f in features) for prompt in prompts}
    return GeoReport(out, reference.crs, stretch.words(), counts, files, workspace.info)


def cut(tiff: Path, out: Path, bands: Bands, size: int, overlap: int) -> GeoReport:
    """Cut a raster into PNGs of `size`, with tiles.json beside them; tiles without data are left out.

    Raises:
        InputError: the raster cannot be used, or OUT holds other tiles.
    """
    if (out / TILES).exists():
        raise InputError(f"{out} holds tiles already; give another --out")
    places: dict[str, Any] = {}
    with GeoTiff(tiff) as raster:
        stretch = raster.stretch(bands.bands or None, bands.mode)
        for window in raster.windows(size, overlap):
            pixels, valid = raster.read(stretch, window)
            if not valid.any():
                continue
            name = f"{tiff.stem}_{window[1]:06d}_{window[0]:06d}.png"
            with replacing(out / name) as temporary:
                Image.fromarray(pixels).save(temporary)
            places[name] = {"window": list(window), "transform": list(raster.reference.window(window).transform)}
        crs = raster.reference.crs
    document = {"source": tiff.name, "crs": crs, "stretch": stretch.to_json(), "tiles": places}
    write_json(out / TILES, document, indent=1)
    return GeoReport(out, crs, stretch.words(), {"tiles": len(places)}, (*places, TILES))


def put_on_map(run: Path, out: Path, *, review: bool) -> GeoReport:
    """Write the labels of a run over tiles in map coordinates; an object that two tiles cut stays two.

    Raises:
        InputError: the folder holds no run, or its images are no tiles of `geo tiles`.
    """
    with closing(Journal.open(run)) as journal:  # open to the end: labels are read image by image
        folder = images_folder(journal)
        labels = label_set(journal, Selection(("accepted", "review") if review else ("accepted",)))
        crs, references = _places(folder)
        features: list[Feature] = []
        for image in labels.images:
            if image.name not in references:
                raise InputError(f"{folder / TILES}: no tile {image.name!r}; labels of other images have no place")
            place = references[image.name]
            features += [
                Feature(each.id, labels.classes[each.class_index], each.score, each.rle, image.name, place)
                for each in image.labels
            ]
        sizes = {image.name: (image.height, image.width) for image in labels.images}
    files = _write(features, sizes, out, "")
    counts = {name: sum(f.concept == name for f in features) for name in labels.classes}
    return GeoReport(out, crs, "", counts, files)


def _places(folder: Path) -> tuple[str, dict[str, GeoReference]]:
    path = folder / TILES
    if not path.is_file():
        raise InputError(f"{path}: missing; label the tiles that `sam3-agent geo tiles` makes")
    document: Any = read_json(path, finite=True)
    try:
        crs = str(document["crs"])
        found = {
            str(name): GeoReference(crs, _six(place["transform"])) for name, place in dict(document["tiles"]).items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not what `sam3-agent geo tiles` writes ({error!r})") from error
    return crs, found


def _six(values: Any) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = (float(value) for value in values)
    return a, b, c, d, e, f


def _write(features: list[Feature], sizes: dict[str, tuple[int, ...]], out: Path, stretch: str) -> tuple[str, ...]:
    write_geojson(features, out / "labels.geojson")
    write_geopackage(features, out / "labels.gpkg")
    write_geo_coco(features, {name: (size[0], size[1]) for name, size in sizes.items()}, out / "coco.json")
    if stretch:
        write_json(out / "stretch.json", {"stretch": stretch})
    return ("labels.geojson", "labels.gpkg", "coco.json", *(["stretch.json"] if stretch else []))
