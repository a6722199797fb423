"""The tables of the README, made from results/."""
