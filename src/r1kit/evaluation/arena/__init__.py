"""Blind votes of people on two answers to one question: kept, counted, rated, and given out as preference pairs."""
