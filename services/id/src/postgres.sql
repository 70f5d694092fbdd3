-- One row: the last number that a segment has.
CREATE TABLE IF NOT EXISTS everywire.segments (name text PRIMARY KEY, last bigint NOT NULL);

-- Without a cache, which would give each connection numbers of its own.
CREATE SEQUENCE IF NOT EXISTS everywire.ids CACHE 1;
