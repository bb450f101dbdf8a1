"""Adapters against what they adapt."""
