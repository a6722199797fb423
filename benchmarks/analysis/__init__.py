"""From measured times to metrics, intervals and verdicts."""
