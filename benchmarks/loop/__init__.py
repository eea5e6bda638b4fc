"""The loop, measured: faults, many at once, and its price beside Meta's protocol."""
