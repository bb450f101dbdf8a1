"""Tests of the command line: rows and counts by themselves, commands as processes against a running program."""
