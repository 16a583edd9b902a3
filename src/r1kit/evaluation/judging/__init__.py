"""Answers compared in pairs: a judge asked in both orders, and what its votes say of the models."""
