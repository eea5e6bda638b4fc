"""Conformance: small ReasonSeg files with known masks and figures, for any harness to be held against."""
