"""Tests of the domain: pure, without any store."""
