-- One procedure per step of a lock, separated by lines of `//`. The row lock makes a step atomic. Times are milliseconds of this
-- server's clock, read once the row is locked. Each procedure runs with its caller's privileges, because the user who installed
-- it may be allowed to write to a read-only server.

-- One row per name, never deleted: its token only grows.
CREATE TABLE IF NOT EXISTS everywire_locks (
    name VARBINARY(512) PRIMARY KEY,
    owner VARBINARY(512),
    token BIGINT NOT NULL DEFAULT 0,
    holds BIGINT NOT NULL DEFAULT 0,
    since BIGINT NOT NULL DEFAULT 0,
    until BIGINT NOT NULL DEFAULT 0
) ENGINE = InnoDB
//
-- The waiters, by ticket.
CREATE TABLE IF NOT EXISTS everywire_waits (
    ticket BIGINT PRIMARY KEY AUTO_INCREMENT,
    name VARBINARY(512) NOT NULL,
    owner VARBINARY(512) NOT NULL,
    session CHAR(16) NOT NULL,
    place BIGINT NOT NULL,
    KEY by_name (name, ticket),
    KEY by_session (session)
) ENGINE = InnoDB
//
-- The servers with waiters. If the time of one was over, its waiters may have been removed: `was_lost` tells all of them to
-- queue again.
CREATE TABLE IF NOT EXISTS everywire_sessions (
    session CHAR(16) PRIMARY KEY,
    until BIGINT NOT NULL,
    was_lost BOOLEAN NOT NULL
) ENGINE = InnoDB
//
CREATE PROCEDURE IF NOT EXISTS everywire_now(OUT moment BIGINT) SQL SECURITY INVOKER
    SET moment = TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) DIV 1000
//
-- Keeps a server alive.
CREATE PROCEDURE IF NOT EXISTS everywire_alive(a_session CHAR(16), a_session_ttl BIGINT, moment BIGINT) SQL SECURITY INVOKER
    INSERT INTO everywire_sessions VALUES (a_session, moment + a_session_ttl, TRUE) ON DUPLICATE KEY UPDATE
        was_lost = was_lost OR until <= moment OR until > moment + a_session_ttl,
        until = moment + a_session_ttl
//
-- The first waiter whose server is alive.
CREATE PROCEDURE IF NOT EXISTS everywire_first(a_name VARBINARY(512), moment BIGINT, OUT front BIGINT, OUT front_owner VARBINARY(512)) SQL SECURITY INVOKER
BEGIN
    DECLARE server CHAR(16);
    search: LOOP
        SET front = NULL, front_owner = NULL, server = NULL;
        SELECT ticket, owner, session INTO front, front_owner, server
            FROM everywire_waits WHERE name = a_name ORDER BY ticket LIMIT 1;
        IF front IS NULL OR EXISTS (SELECT 1 FROM everywire_sessions WHERE session = server AND until > moment) THEN
            LEAVE search;
        END IF;
        DELETE FROM everywire_waits WHERE ticket = front;
    END LOOP;
END
//
-- Returns 1, token, holds, rest; or 0, rest, is first, ticket; or 2: the queue is full. A call with `a_place` below 1 does not wait.
CREATE PROCEDURE IF NOT EXISTS everywire_take(
    a_name VARBINARY(512), a_owner VARBINARY(512), a_ttl BIGINT, a_session CHAR(16), a_place BIGINT, a_ticket BIGINT,
    a_session_ttl BIGINT, a_most BIGINT
) SQL SECURITY INVOKER
step: BEGIN
    DECLARE h_owner, front_owner VARBINARY(512);
    DECLARE h_token, h_holds, h_until, front, moment, mine BIGINT;
    DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    INSERT IGNORE INTO everywire_locks (name) SELECT a_name FROM DUAL
        WHERE NOT EXISTS (SELECT 1 FROM everywire_locks WHERE name = a_name);
    START TRANSACTION;
    SELECT owner, token, holds, until INTO h_owner, h_token, h_holds, h_until
        FROM everywire_locks WHERE name = a_name FOR UPDATE;
    CALL everywire_now(moment);
    IF h_until > moment AND h_owner = a_owner THEN
        UPDATE everywire_locks SET holds = h_holds + 1, until = GREATEST(h_until, moment + a_ttl) WHERE name = a_name;
        DELETE FROM everywire_waits WHERE ticket = a_ticket;
        COMMIT;
        SELECT 1, h_token, h_holds + 1, GREATEST(h_until - moment, a_ttl);
        LEAVE step;
    END IF;
    CALL everywire_first(a_name, moment, front, front_owner);
    IF h_until <= moment AND (front IS NULL OR front = a_ticket OR front_owner = a_owner) THEN
        UPDATE everywire_locks SET owner = a_owner, token = h_token + 1, holds = 1, since = moment, until = moment + a_ttl
            WHERE name = a_name;
        DELETE FROM everywire_waits WHERE ticket = a_ticket;
        COMMIT;
        SELECT 1, h_token + 1, 1, a_ttl;
        LEAVE step;
    END IF;
    SET mine = a_ticket;
    IF a_place > 0 AND NOT EXISTS (SELECT 1 FROM everywire_waits WHERE ticket = a_ticket) THEN
        IF (SELECT COUNT(*) FROM everywire_waits WHERE name = a_name) >= a_most THEN
            ROLLBACK;
            SELECT 2, 0, 0, 0;
            LEAVE step;
        END IF;
        IF a_ticket = 0 THEN
            INSERT INTO everywire_waits (name, owner, session, place) VALUES (a_name, a_owner, a_session, a_place);
            SET mine = LAST_INSERT_ID();
        ELSE
            INSERT INTO everywire_waits VALUES (a_ticket, a_name, a_owner, a_session, a_place);
        END IF;
        CALL everywire_alive(a_session, a_session_ttl, moment);
        CALL everywire_first(a_name, moment, front, front_owner);
    END IF;
    COMMIT;
    SELECT 0, GREATEST(h_until - moment, 0), front <=> mine, mine;
END
//
CREATE PROCEDURE IF NOT EXISTS everywire_leave(a_ticket BIGINT) SQL SECURITY INVOKER
BEGIN
    DELETE FROM everywire_waits WHERE ticket = a_ticket;
    SELECT 1, 0, 0, 0;
END
//
-- Returns 1 or 0
CREATE PROCEDURE IF NOT EXISTS everywire_unlock(a_name VARBINARY(512), a_owner VARBINARY(512)) SQL SECURITY INVOKER
BEGIN
    DECLARE had, moment BIGINT;
    CALL everywire_now(moment);
    UPDATE everywire_locks SET until = IF(holds > 1, until, 0), holds = holds - 1
        WHERE name = a_name AND owner = a_owner AND until > moment;
    SET had = ROW_COUNT();
    SELECT had, 0, 0, 0;
END
//
-- Returns 1, token, holds, rest; or 0, rest
CREATE PROCEDURE IF NOT EXISTS everywire_renew(a_name VARBINARY(512), a_owner VARBINARY(512), a_ttl BIGINT) SQL SECURITY INVOKER
step: BEGIN
    DECLARE h_owner VARBINARY(512);
    DECLARE h_token, h_holds, moment BIGINT;
    DECLARE h_until BIGINT DEFAULT 0;
    DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END;
    DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
    START TRANSACTION;
    SELECT owner, token, holds, until INTO h_owner, h_token, h_holds, h_until
        FROM everywire_locks WHERE name = a_name FOR UPDATE;
    CALL everywire_now(moment);
    IF h_until > moment AND h_owner = a_owner THEN
        UPDATE everywire_locks SET until = moment + a_ttl WHERE name = a_name;
        COMMIT;
        SELECT 1, h_token, h_holds, a_ttl;
    ELSE
        COMMIT;
        SELECT 0, GREATEST(h_until - moment, 0), 0, 0;
    END IF;
END
//
-- Returns the places of this server's waiters whose turn it may be: the first of each free lock, and those of a holder. 0 is all.
CREATE PROCEDURE IF NOT EXISTS everywire_beat(a_session CHAR(16), a_session_ttl BIGINT) SQL SECURITY INVOKER
BEGIN
    DECLARE moment BIGINT;
    DECLARE lost BOOLEAN DEFAULT FALSE;
    CALL everywire_now(moment);
    IF NOT EXISTS (
        SELECT 1 FROM everywire_sessions WHERE session = a_session AND NOT was_lost
            AND until BETWEEN moment + a_session_ttl / 2 AND moment + a_session_ttl
    ) THEN
        CALL everywire_alive(a_session, a_session_ttl, moment);
        SELECT was_lost INTO lost FROM everywire_sessions WHERE session = a_session;
        UPDATE everywire_sessions SET was_lost = FALSE WHERE session = a_session;
        -- A later time than this means that the clock was set back.
        DELETE FROM everywire_sessions WHERE until <= moment OR until > moment + a_session_ttl;
    END IF;
    SELECT mine.place FROM everywire_waits mine JOIN everywire_locks held ON held.name = mine.name
        WHERE mine.session = a_session AND (
            held.until <= moment AND NOT EXISTS (
                SELECT 1 FROM everywire_waits ahead JOIN everywire_sessions server
                    ON server.session = ahead.session AND server.until > moment
                    WHERE ahead.name = mine.name AND ahead.ticket < mine.ticket
            ) OR held.until > moment AND held.owner = mine.owner
        )
        UNION ALL SELECT 0 FROM DUAL WHERE lost;
END
