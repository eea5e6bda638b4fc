"""Georeferenced images and labels: GeoTIFF in; GeoJSON, GeoPackage and COCO in map coordinates out."""
