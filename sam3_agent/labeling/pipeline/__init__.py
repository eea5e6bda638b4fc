"""Pipeline: scan, propose, merge and verify each image; inline or on Ray."""
