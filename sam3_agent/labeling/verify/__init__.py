"""Verification: score rule, judge and calibration of thresholds."""
