"""The metadata read model: every entry by id, and in the order of namespace and key."""

from projections.documents import ReadModel, entry_document

METADATA = ReadModel(name="metadata", schema_version=1, document=entry_document)
