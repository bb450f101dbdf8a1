"""Tests of the commands over real stores."""
