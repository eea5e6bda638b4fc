"""Adapters: small changes of a frozen SAM 3, on for their own words alone or merged into it."""
