"""Metrics, each named by its protocol."""

from translate.metrics import local

__all__ = ["local"]
