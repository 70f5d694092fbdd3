-- One row: the last number that a segment has.
CREATE TABLE IF NOT EXISTS everywire_segments (name VARCHAR(64) PRIMARY KEY, last BIGINT NOT NULL) ENGINE = InnoDB
//
-- A row per id, of which the latest stay.
CREATE TABLE IF NOT EXISTS everywire_ids (id BIGINT PRIMARY KEY AUTO_INCREMENT) ENGINE = InnoDB
