-- The tables of one read model. `document` is the whole JSON; the columns beside it are what queries filter and sort by.
-- Text compares by its bytes in UTF-8, which is the order of code points.

CREATE TABLE document (
    id TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    status TEXT NOT NULL,
    document BLOB NOT NULL
);

-- A list is of few kinds, in this order: so a page is read from the index without sorting.
CREATE INDEX document_in_order ON document (namespace, key, id, kind, status);

CREATE TABLE checkpoint (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    sequence INTEGER NOT NULL,
    epoch INTEGER NOT NULL
);
