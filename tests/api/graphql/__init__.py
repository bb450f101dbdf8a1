"""Tests of api/graphql over real connections."""
