"""Measurements for the published results. Repeat one with python -m osteolite.benchmarks.studies.NAME."""
