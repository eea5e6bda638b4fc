"""Features: objects on a map, with outlines along pixel borders, so that painting them gives the mask again.

GeoJSON (RFC 7946) is written in longitude and latitude, as the standard wants it; GeoPackage (OGC 12-128r18) and COCO
in the coordinates of the image. GeoPackage is written here, with SQLite alone: rasterio has no vector writer.
"""

import json
import math
import sqlite3
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from sam3_agent import masks
from sam3_agent.formats.coco import CocoAnnotation, CocoCategory, CocoDataset, CocoImage, write_coco
from sam3_agent.formats.files import replacing, write_text
from sam3_agent.formats.geo.geotiff import GeoReference, library
from sam3_agent.masks import Rle

LONLAT = "EPSG:4326"
_DIGITS = 9
"""Of degrees: 0.1 mm."""

Ring = list[list[float]]
"""Closed: [[x, y], ...] with the first point again at the end; outer rings counterclockwise, holes clockwise."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One object of one image."""

    id: str
    concept: str
    score: float
    rle: Rle
    """In pixels of its image."""
    image: str
    reference: GeoReference
    """Of that image."""
    properties: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def polygons(self) -> list[list[Ring]]:
        """Outlines in the coordinates of the image, each an outer ring and its holes."""
        x0, y0, x1, y1 = (int(value) for value in masks.box(self.rle))  # a raster may have 200 megapixels
        mask = masks.sample(self.rle, np.arange(y0, y1), np.arange(x0, x1)).astype(np.uint8)
        shapes: Any = library("rasterio.features").shapes
        affine: Any = library("rasterio").Affine(*self.reference.window((x0, y0, x1 - x0, y1 - y0)).transform)
        found = shapes(mask, mask=mask.astype(bool), connectivity=4, transform=affine)
        return [_turned(cast(list[Any], geometry["coordinates"])) for geometry, _ in found]

    def attributes(self) -> dict[str, Any]:
        """Columns of a table: what it is, how sure, and how large."""
        pixels = masks.area(self.rle)
        known = {"id": self.id, "concept": self.concept, "score": round(self.score, 4), "image": self.image}
        return {**known, "pixels": pixels, "map_area": pixels * self.reference.pixel_area, **self.properties}


def write_geojson(features: Iterable[Feature], path: Path) -> None:
    """Write a FeatureCollection in longitude and latitude, atomically."""
    made = [
        {
            "type": "Feature",
            "id": feature.id,
            "properties": feature.attributes(),
            "geometry": _lonlat(_geometry(feature.polygons()), feature.reference.crs),
        }
        for feature in features
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": made}, ensure_ascii=False) + "\n")


def write_geopackage(features: Sequence[Feature], path: Path, layer: str = "labels") -> None:
    """Write a layer of multipolygons in the images' own coordinates, atomically; they must share one system.

    Raises:
        InputError: rasterio is missing.
        ValueError: the images' coordinate systems differ.
    """
    systems = {feature.reference.crs for feature in features}
    if len(systems) > 1:
        raise ValueError(f"one GeoPackage layer has one coordinate system, not {', '.join(sorted(systems))}")
    with replacing(path) as temporary:
        connection = sqlite3.connect(temporary)
        try:
            number = _prepare(connection, next(iter(systems), LONLAT))
            _fill(connection, features, layer, number)
            connection.commit()
        finally:
            connection.close()


def write_geo_coco(features: Sequence[Feature], sizes: Mapping[str, tuple[int, int]], path: Path) -> None:
    """Write COCO: pixels and run lengths as ever, and under "geo" system, transform, map box and outlines.

    `sizes` are (height, width) of all images by name, those without features too.
    """
    references = {feature.image: feature.reference for feature in features}
    images = tuple(
        CocoImage(n, name, w, h, {"geo": references[name].to_json()} if name in references else {})
        for n, (name, (h, w)) in enumerate(sizes.items(), start=1)
    )
    concepts = list(dict.fromkeys(feature.concept for feature in features))
    numbers = {image.file_name: image.id for image in images}
    annotations = tuple(
        CocoAnnotation(
            n, numbers[f.image], concepts.index(f.concept) + 1, masks.box(f.rle), f.rle, float(masks.area(f.rle)),
            score=round(f.score, 4), attributes={"geo": _coco_geo(f)},
        )
        for n, f in enumerate(features, start=1)
    )  # fmt: skip
    categories = tuple(CocoCategory(n, name) for n, name in enumerate(concepts, start=1))
    write_coco(CocoDataset(images, annotations, categories), path)


def _coco_geo(feature: Feature) -> dict[str, Any]:
    polygons = feature.polygons()
    x0, y0, x1, y1 = _bounds(polygons)
    return {"crs": feature.reference.crs, "bbox": [x0, y0, x1 - x0, y1 - y0], "geometry": _geometry(polygons)}


def _turned(rings: Sequence[Sequence[Sequence[float]]]) -> list[Ring]:
    """Turn the outer ring counterclockwise and the holes clockwise, as RFC 7946 wants it."""
    made: list[Ring] = []
    for number, ring in enumerate(rings):
        points = [[float(x), float(y)] for x, y in ring]
        twice = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(points))
        made.append(points if (twice > 0) == (number == 0) else points[::-1])
    return made


def _geometry(polygons: list[list[Ring]]) -> dict[str, Any]:
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _lonlat(geometry: dict[str, Any], crs: str) -> dict[str, Any]:
    if crs == LONLAT:
        return geometry
    turned: Any = library("rasterio.warp").transform_geom(crs, LONLAT, geometry)
    return {"type": turned["type"], "coordinates": _rounded(turned["coordinates"])}


def _rounded(value: Any) -> Any:
    if isinstance(value, int | float):
        return round(float(value), _DIGITS)
    return [_rounded(each) for each in value]


def _bounds(polygons: Sequence[Sequence[Ring]]) -> tuple[float, float, float, float]:
    points = np.array([point for rings in polygons for ring in rings for point in ring])
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


_TABLES = """
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
    organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
    description TEXT DEFAULT '', last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL UNIQUE REFERENCES gpkg_contents(table_name),
    column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL
    REFERENCES gpkg_spatial_ref_sys(srs_id), z TINYINT NOT NULL, m TINYINT NOT NULL,
    CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name));
"""
_UNDEFINED = ((-1, "undefined Cartesian"), (0, "undefined geographic"))
_OWN_SYSTEM = 100_000
"""Number of a system without an EPSG code."""
_COLUMNS = (
    ("id", "TEXT"), ("concept", "TEXT"), ("score", "DOUBLE"), ("image", "TEXT"), ("pixels", "INTEGER"),
    ("map_area", "DOUBLE"),
)  # fmt: skip


def _prepare(connection: sqlite3.Connection, crs: str) -> int:
    """Make the tables that the standard requires; gives the number of the coordinate system."""
    connection.execute(f"PRAGMA application_id = {0x47504B47}")  # "GPKG"
    connection.execute("PRAGMA user_version = 10300")
    connection.executescript(_TABLES)
    for number, name in _UNDEFINED:
        connection.execute(
            "INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, 'NONE', ?, 'undefined', '')", (name, number, number)
        )
    systems: Any = library("rasterio.crs").CRS
    for each in dict.fromkeys((LONLAT, crs)):
        organization, _, code = each.partition(":")
        number = int(code) if organization == "EPSG" and code.isdigit() else _OWN_SYSTEM
        named = (f"{organization} {number}", number, "EPSG") if number != _OWN_SYSTEM else ("custom", number, "NONE")
        definition = systems.from_user_input(each).to_wkt()
        connection.execute("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, '')", (*named, number, definition))
    organization, _, code = crs.partition(":")
    return int(code) if organization == "EPSG" and code.isdigit() else _OWN_SYSTEM


def _fill(connection: sqlite3.Connection, features: Sequence[Feature], layer: str, system: int) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS)
    connection.execute(f'CREATE TABLE "{layer}" (fid INTEGER PRIMARY KEY AUTOINCREMENT, geom BLOB, {columns})')
    extent = [math.inf, math.inf, -math.inf, -math.inf]
    names = ", ".join(f'"{name}"' for name, _ in _COLUMNS)
    marks = ", ".join("?" * (len(_COLUMNS) + 1))
    for feature in features:
        polygons, row = feature.polygons(), feature.attributes()
        x0, y0, x1, y1 = bounds = _bounds(polygons)
        extent = [min(extent[0], x0), min(extent[1], y0), max(extent[2], x1), max(extent[3], y1)]
        values = (_blob(polygons, bounds, system), *(row[name] for name, _ in _COLUMNS))
        connection.execute(f'INSERT INTO "{layer}" (geom, {names}) VALUES ({marks})', values)
    found = extent if features else [None] * 4
    connection.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier, min_x, min_y, max_x, max_y, srs_id)"
        " VALUES (?, 'features', ?, ?, ?, ?, ?, ?)",
        (layer, layer, *found, system),
    )
    connection.execute("INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', 'MULTIPOLYGON', ?, 0, 0)", (layer, system))


def _blob(polygons: Sequence[Sequence[Ring]], bounds: tuple[float, float, float, float], system: int) -> bytes:
    """GeoPackage's binary: a head with the envelope (minx, maxx, miny, maxy), then well-known binary."""
    x0, y0, x1, y1 = bounds
    head = b"GP" + struct.pack("<BBi4d", 0, 0b00000011, system, x0, x1, y0, y1)
    parts = [struct.pack("<BII", 1, 6, len(polygons))]  # little endian, MultiPolygon
    for rings in polygons:
        parts.append(struct.pack("<BII", 1, 3, len(rings)))
        for ring in rings:
            flat = [value for point in ring for value in point]
            parts.append(struct.pack(f"<I{len(flat)}d", len(ring), *flat))
    return head + b"".join(parts)
