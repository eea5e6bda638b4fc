"""Datasets of videos, one file each; their cases keep masks as volumes (`masks.beside`)."""
