"""Tables of the README and of the pages under `results/`, made from the published results."""
