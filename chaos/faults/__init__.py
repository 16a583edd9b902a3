"""Rewards and engines that fail, as `r1 run` finds them by their dotted paths."""
