"""Write report.html and card.md of a run."""
