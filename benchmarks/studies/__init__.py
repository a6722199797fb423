"""Questions that were measured and can be asked again, each by python -m osteolite.benchmarks.studies.NAME."""
