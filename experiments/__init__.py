"""The shipped experiments, as package data."""
