"""Measure how fast a configuration trains, and compare two of them."""
