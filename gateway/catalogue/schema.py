"""The tables, as an ordered list of steps. A step that was ever released is never changed; a new one is added.

Times are integer milliseconds since the epoch, sizes bytes, keys BLOB (byte order is S3's order). Columns named
``holder`` and ``owner`` of a lease mean a gateway process (table ``owners``); every other ``owner`` is an account.
"""

from __future__ import annotations

_FIRST = """
CREATE TABLE about (                     -- one row: the catalogue itself, and the counters that all processes share
    one INTEGER PRIMARY KEY CHECK (one = 1),
    id TEXT NOT NULL,
    proof BLOB NOT NULL,                 -- the id sealed: shows a wrong sealing key at start, not at the first request
    generation INTEGER NOT NULL,         -- grows with every change of an account or access key
    epoch INTEGER NOT NULL,              -- grows with every change that dooms a blob
    live INTEGER NOT NULL,               -- how many blobs are live and doomed, kept by the triggers below
    doomed INTEGER NOT NULL
) STRICT;

CREATE TABLE owners (                    -- gateway processes; a living one holds flock on owners/<id>.lock
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    reading INTEGER NOT NULL             -- no running or future GET of this process began before this epoch
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    email TEXT,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE access_keys (
    access_key TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    secret BLOB NOT NULL,                -- sealed for the purpose "key:" + access key
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_keys_of_account ON access_keys (account);

CREATE TABLE buckets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    location TEXT NOT NULL,
    location_constraint TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX buckets_of_owner ON buckets (owner, name);

CREATE TABLE versions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,    -- drawn while committing: the order of versions, whatever the clock says
    bucket INTEGER NOT NULL,
    key BLOB NOT NULL,
    version_id TEXT NOT NULL,
    delete_marker INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL,
    location TEXT NOT NULL,
    size INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified INTEGER NOT NULL,
    headers TEXT NOT NULL,               -- JSON object, "" for an empty one; so is metadata
    metadata TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    crc32 TEXT,                          -- checksums are base64, a composite one with its "-N"
    crc32c TEXT,
    crc64nvme TEXT,
    sha1 TEXT,
    sha256 TEXT,
    checksum_type TEXT NOT NULL,
    part_count INTEGER NOT NULL
) STRICT;

CREATE TABLE current_versions (          -- what GET and listings see: the newest version of each key
    bucket INTEGER NOT NULL,
    key BLOB NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE pieces (                    -- the stored bytes of a version, in order
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,                 -- offset of the piece in the version's stored bytes
    number INTEGER NOT NULL,             -- tells apart pieces of no bytes
    blob TEXT NOT NULL,
    start INTEGER NOT NULL,
    size INTEGER NOT NULL,
    crcs BLOB NOT NULL,
    PRIMARY KEY (version, at, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE version_parts (             -- what a version remembers of the parts it was uploaded in
    version INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,                 -- offset of the part in the version's plain bytes
    size INTEGER NOT NULL,
    checksums TEXT NOT NULL,
    PRIMARY KEY (version, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE blobs (                     -- live (referred to by pieces) or doomed (waiting for the reaper)
    location TEXT NOT NULL,
    name TEXT NOT NULL,
    refs INTEGER NOT NULL,
    doomed INTEGER,                      -- the epoch of its doom; 0 where it was never live
    PRIMARY KEY (location, name),
    CHECK (refs >= 0 AND (refs = 0) = (doomed IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_doomed ON blobs (location, doomed) WHERE doomed IS NOT NULL;
CREATE TRIGGER blob_born AFTER INSERT ON blobs BEGIN
    UPDATE about SET live = live + (NEW.doomed IS NULL), doomed = doomed + (NEW.doomed IS NOT NULL);
END;
CREATE TRIGGER blob_doomed AFTER UPDATE OF doomed ON blobs WHEN OLD.doomed IS NULL AND NEW.doomed IS NOT NULL BEGIN
    UPDATE about SET live = live - 1, doomed = doomed + 1;
END;
CREATE TRIGGER blob_gone AFTER DELETE ON blobs BEGIN
    UPDATE about SET live = live - (OLD.doomed IS NULL), doomed = doomed - (OLD.doomed IS NOT NULL);
END;

CREATE TABLE leases (                    -- the right of one process to invent blob names <id>/<counter>
    id TEXT PRIMARY KEY,
    location TEXT NOT NULL,
    owner TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE uploads (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    bucket INTEGER NOT NULL,
    key BLOB NOT NULL,
    owner TEXT NOT NULL,
    location TEXT NOT NULL,
    blob TEXT NOT NULL,
    token TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('opening', 'open', 'completing', 'completed', 'aborting')),
    started INTEGER NOT NULL,
    headers TEXT NOT NULL,
    metadata TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    checksum_algorithm TEXT NOT NULL,
    checksum_type TEXT NOT NULL,
    holder TEXT NOT NULL,                -- the process that opens or completes it
    chosen TEXT NOT NULL DEFAULT '',     -- digest of the part list of the completion
    finished INTEGER,                    -- when it was completed
    result TEXT                          -- JSON of the version it became, for a Complete that is sent again
) STRICT;
CREATE INDEX uploads_open ON uploads (bucket, key, id) WHERE state = 'open';
CREATE INDEX uploads_by_blob ON uploads (location, blob);
CREATE INDEX uploads_at_work ON uploads (state, finished) WHERE state <> 'open';

CREATE TABLE upload_parts (
    upload INTEGER NOT NULL REFERENCES uploads (row) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    etag TEXT NOT NULL,
    receipt TEXT NOT NULL,
    crcs BLOB NOT NULL,
    modified INTEGER NOT NULL,
    checksums TEXT NOT NULL,
    PRIMARY KEY (upload, number)
) STRICT, WITHOUT ROWID;
"""

_CHANGES = """
ALTER TABLE about ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;  -- grows with every commit; see witness.py
"""

_DAMAGE = """
ALTER TABLE blobs ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;  -- 1: its bytes were found not to be what was written
CREATE INDEX blobs_damaged ON blobs (location, name) WHERE damaged = 1;
"""

_CHECKSUMS = """
ALTER TABLE versions ADD COLUMN md5 TEXT;         -- S3 takes these checksums since 2026
ALTER TABLE versions ADD COLUMN sha512 TEXT;
ALTER TABLE versions ADD COLUMN xxhash128 TEXT;
ALTER TABLE versions ADD COLUMN xxhash3 TEXT;
ALTER TABLE versions ADD COLUMN xxhash64 TEXT;
"""

_ENDS = """
CREATE TRIGGER version_replaced AFTER UPDATE OF version ON current_versions BEGIN
    DELETE FROM versions WHERE id = OLD.version;
END;
CREATE TRIGGER version_removed AFTER DELETE ON current_versions BEGIN
    DELETE FROM versions WHERE id = OLD.version;
END;
CREATE TRIGGER version_gone BEFORE DELETE ON versions BEGIN     -- what it had goes with it, in one statement
    DELETE FROM pieces WHERE version = OLD.id;
    DELETE FROM version_parts WHERE version = OLD.id;
END;
CREATE TRIGGER piece_gone AFTER DELETE ON pieces BEGIN          -- the blob is doomed with the last of its pieces
    UPDATE blobs SET refs = refs - 1, doomed = CASE refs WHEN 1 THEN (SELECT epoch + 1 FROM about) END
        WHERE location = (SELECT location FROM versions WHERE id = OLD.version) AND name = OLD.blob;
END;
DROP TRIGGER blob_doomed;
CREATE TRIGGER blob_doomed AFTER UPDATE OF doomed ON blobs WHEN OLD.doomed IS NULL AND NEW.doomed IS NOT NULL BEGIN
    UPDATE about SET live = live - 1, doomed = doomed + 1, epoch = NEW.doomed;
END;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST, _CHANGES, _DAMAGE, _CHECKSUMS, _ENDS)
