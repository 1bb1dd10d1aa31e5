-- Links by which a person sets a password, once (src/store/password_links).
CREATE TABLE password_links (
    sha256     BLOB PRIMARY KEY NOT NULL,
    user_id    BLOB UNIQUE NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_ms INTEGER NOT NULL
) STRICT;
