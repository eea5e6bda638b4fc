"""Local servers that speak the wire formats of the three APIs and check every request against the SDKs' own types."""
