-- One function per step of a lock. The row lock makes a step atomic. Times are milliseconds of this server's clock.

-- One row per name, never deleted: its token only grows.
CREATE TABLE IF NOT EXISTS everywire.locks (
    name bytea PRIMARY KEY,
    owner bytea,
    token bigint NOT NULL DEFAULT 0,
    holds bigint NOT NULL DEFAULT 0,
    since bigint NOT NULL DEFAULT 0,
    until bigint NOT NULL DEFAULT 0,
    -- Until then servers are notified of changes.
    watched_until bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
ALTER TABLE everywire.locks ADD COLUMN IF NOT EXISTS watched_until bigint NOT NULL DEFAULT 0;

-- The waiters, by ticket.
CREATE TABLE IF NOT EXISTS everywire.waits (
    ticket bigserial PRIMARY KEY,
    name bytea NOT NULL,
    owner bytea NOT NULL,
    session text NOT NULL,
    place bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS waits_by_name ON everywire.waits (name, ticket);
CREATE INDEX IF NOT EXISTS waits_by_session ON everywire.waits (session);

-- The servers with waiters.
CREATE TABLE IF NOT EXISTS everywire.sessions (session text PRIMARY KEY, until bigint NOT NULL);

CREATE OR REPLACE FUNCTION everywire.now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- The first waiter whose server is alive.
CREATE OR REPLACE FUNCTION everywire.first_of(a_name bytea) RETURNS everywire.waits LANGUAGE plpgsql AS $$
DECLARE front everywire.waits;
BEGIN
    LOOP
        SELECT * INTO front FROM everywire.waits WHERE name = a_name ORDER BY ticket LIMIT 1;
        IF front.ticket IS NULL OR EXISTS (
            SELECT FROM everywire.sessions WHERE session = front.session AND until > everywire.now_ms()
        ) THEN
            RETURN front;
        END IF;
        DELETE FROM everywire.waits WHERE ticket = front.ticket;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION everywire.wake(place everywire.waits) RETURNS void LANGUAGE sql AS
$$ SELECT pg_notify('everywire_' || place.session, place.place::text) WHERE place.ticket IS NOT NULL $$;

-- Tells the servers that watch a lock to look at it. The message has the name in hexadecimal digits: not every name is a text.
CREATE OR REPLACE FUNCTION everywire.changed(a_name bytea) RETURNS void LANGUAGE sql AS
$$ SELECT pg_notify('everywire_changes', 'lock ' || encode(a_name, 'hex')) $$;

-- Marks a lock as watched for `a_ttl` milliseconds.
CREATE OR REPLACE FUNCTION everywire.watch(a_name bytea, a_ttl bigint) RETURNS bigint[] LANGUAGE sql AS $$
    INSERT INTO everywire.locks (name, watched_until) VALUES (a_name, everywire.now_ms() + a_ttl)
    ON CONFLICT (name) DO UPDATE SET watched_until = excluded.watched_until;
    SELECT ARRAY[]::bigint[];
$$;

-- Keeps a server alive. If its time was over, its waiters may have been removed, so they are told to queue again. A server
-- whose row was deleted has been told by the step that deleted it.
CREATE OR REPLACE FUNCTION everywire.alive(a_session text, a_ttl bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE moment bigint := everywire.now_ms();
BEGIN
    IF EXISTS (
        SELECT FROM everywire.sessions WHERE session = a_session AND (until <= moment OR until > moment + a_ttl)
    ) THEN
        PERFORM pg_notify('everywire_' || a_session, 'all');
    END IF;
    INSERT INTO everywire.sessions VALUES (a_session, moment + a_ttl)
    ON CONFLICT (session) DO UPDATE SET until = excluded.until;
END $$;

-- Returns 1, token, holds, rest; or 0, rest, is first, ticket; or 2: the queue is full. A call with `a_place` below 1 does not wait.
CREATE OR REPLACE FUNCTION everywire.take(
    a_name bytea, a_owner bytea, a_ttl bigint, a_session text, a_place bigint, a_ticket bigint, a_session_ttl bigint,
    a_most bigint
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    held everywire.locks;
    front everywire.waits;
    mine bigint := a_ticket;
    moment bigint;
BEGIN
    SELECT * INTO held FROM everywire.locks WHERE name = a_name FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO everywire.locks (name) VALUES (a_name) ON CONFLICT DO NOTHING;
        SELECT * INTO held FROM everywire.locks WHERE name = a_name FOR UPDATE;
    END IF;
    moment := everywire.now_ms();
    IF held.until > moment AND held.owner = a_owner THEN
        UPDATE everywire.locks SET holds = holds + 1, until = greatest(until, moment + a_ttl) WHERE name = a_name
        RETURNING * INTO held;
        DELETE FROM everywire.waits WHERE ticket = a_ticket;
        RETURN ARRAY[1, held.token, held.holds, held.until - moment];
    END IF;
    front := everywire.first_of(a_name);
    IF held.until <= moment AND (front.ticket IS NULL OR front.ticket = a_ticket OR front.owner = a_owner) THEN
        UPDATE everywire.locks SET owner = a_owner, token = token + 1, holds = 1, since = moment, until = moment + a_ttl
        WHERE name = a_name RETURNING * INTO held;
        IF front.ticket IS NOT NULL THEN
            DELETE FROM everywire.waits WHERE ticket = a_ticket;
            PERFORM everywire.wake(other) FROM everywire.waits other WHERE name = a_name AND owner = a_owner;
        END IF;
        IF held.watched_until > moment THEN
            PERFORM everywire.changed(a_name);
        END IF;
        RETURN ARRAY[1, held.token, 1, a_ttl];
    END IF;
    IF a_place > 0 AND NOT EXISTS (SELECT FROM everywire.waits WHERE ticket = a_ticket) THEN
        IF (SELECT count(*) FROM everywire.waits WHERE name = a_name) >= a_most THEN
            RETURN ARRAY[2];
        END IF;
        IF a_ticket = 0 THEN
            mine := nextval('everywire.waits_ticket_seq');
        END IF;
        INSERT INTO everywire.waits VALUES (mine, a_name, a_owner, a_session, a_place);
        PERFORM everywire.alive(a_session, a_session_ttl);
        front := everywire.first_of(a_name);
    END IF;
    -- It is the turn of the first waiter, which may not know, or no longer exist.
    IF held.until <= moment THEN
        PERFORM everywire.wake(front);
    END IF;
    RETURN ARRAY[0, greatest(held.until - moment, 0), coalesce(front.ticket = mine, false)::int::bigint, mine];
END $$;

CREATE OR REPLACE FUNCTION everywire.leave(a_name bytea, a_ticket bigint) RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM everywire.locks WHERE name = a_name FOR UPDATE;
    DELETE FROM everywire.waits WHERE ticket = a_ticket;
    IF NOT EXISTS (SELECT FROM everywire.waits WHERE name = a_name AND ticket < a_ticket) THEN
        PERFORM everywire.wake(everywire.first_of(a_name));
    END IF;
    RETURN ARRAY[]::bigint[];
END $$;

-- Removes a waiter that no longer exists.
CREATE OR REPLACE FUNCTION everywire.forget(a_session text, a_place bigint) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE stray everywire.waits;
BEGIN
    SELECT * INTO stray FROM everywire.waits WHERE session = a_session AND place = a_place LIMIT 1;
    IF stray.ticket IS NULL THEN
        RETURN ARRAY[]::bigint[];
    END IF;
    RETURN everywire.leave(stray.name, stray.ticket);
END $$;

-- Returns 1 or 0
CREATE OR REPLACE FUNCTION everywire.unlock(a_name bytea, a_owner bytea) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    held everywire.locks;
    moment bigint;
BEGIN
    SELECT * INTO held FROM everywire.locks WHERE name = a_name FOR UPDATE;
    moment := everywire.now_ms();
    IF held.owner IS DISTINCT FROM a_owner OR held.until <= moment THEN
        RETURN ARRAY[0];
    ELSIF held.holds > 1 THEN
        UPDATE everywire.locks SET holds = holds - 1 WHERE name = a_name;
    ELSE
        UPDATE everywire.locks SET owner = NULL, holds = 0, until = 0 WHERE name = a_name;
        PERFORM everywire.wake(everywire.first_of(a_name));
        IF held.watched_until > moment THEN
            PERFORM everywire.changed(a_name);
        END IF;
    END IF;
    RETURN ARRAY[1];
END $$;

-- Returns 1, token, holds, rest; or 0, rest
CREATE OR REPLACE FUNCTION everywire.renew(a_name bytea, a_owner bytea, a_ttl bigint) RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    held everywire.locks;
    moment bigint;
BEGIN
    SELECT * INTO held FROM everywire.locks WHERE name = a_name FOR UPDATE;
    moment := everywire.now_ms();
    IF held.owner IS DISTINCT FROM a_owner OR held.until <= moment THEN
        RETURN ARRAY[0, greatest(held.until - moment, 0)];
    END IF;
    UPDATE everywire.locks SET until = moment + a_ttl WHERE name = a_name;
    -- The first waiter and the watchers look again when the lease ends, which is sooner now.
    IF moment + a_ttl < held.until THEN
        PERFORM everywire.wake(everywire.first_of(a_name));
        IF held.watched_until > moment THEN
            PERFORM everywire.changed(a_name);
        END IF;
    END IF;
    RETURN ARRAY[1, held.token, held.holds, a_ttl];
END $$;

-- Returns the places of this server's waiters whose turn it may be: the first of each free lock, and those of a holder. 0 is all.
CREATE OR REPLACE FUNCTION everywire.beat(a_session text, a_session_ttl bigint) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE moment bigint := everywire.now_ms();
BEGIN
    PERFORM everywire.alive(a_session, a_session_ttl);
    -- A later time than this means that the clock was set back.
    DELETE FROM everywire.sessions WHERE until <= moment OR until > everywire.now_ms() + a_session_ttl;
    IF FOUND THEN
        PERFORM pg_notify('everywire_all', 'all');
        RETURN ARRAY[0];
    END IF;
    RETURN ARRAY(
        SELECT mine.place FROM everywire.waits mine JOIN everywire.locks held USING (name)
        WHERE mine.session = a_session AND (
            held.until <= moment AND NOT EXISTS (
                SELECT FROM everywire.waits ahead JOIN everywire.sessions server
                    ON server.session = ahead.session AND server.until > moment
                WHERE ahead.name = mine.name AND ahead.ticket < mine.ticket
            ) OR held.until > moment AND held.owner = mine.owner
        )
    );
END $$;
