"""Weights as the authors of the papers publish them: which layout a file has, and how to write it again."""
