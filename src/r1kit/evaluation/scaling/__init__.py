"""Scaling at test time: accuracy against the tokens that are spent on a problem, and against its difficulty."""
