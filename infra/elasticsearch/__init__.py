"""The read models on Elasticsearch 9, of any licence: metadata and full text, each an index behind an alias."""
