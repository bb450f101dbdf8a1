"""Every read model that a projector fills. A new one is a module and a line here."""

from projections.documents import ReadModel
from projections.fulltext import FULLTEXT
from projections.metadata import METADATA

READ_MODELS: tuple[ReadModel, ...] = (METADATA, FULLTEXT)
