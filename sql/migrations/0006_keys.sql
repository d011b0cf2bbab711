-- Keys, each wrapped (AES-256-GCM) by the master key, which is never here.

CREATE TABLE purpose_keys (
    -- address, code_mac, code_derivation, refresh_mac, session_hash, device, client_tag
    purpose    text   NOT NULL,
    version    int    NOT NULL,
    wrapped    bytea  NOT NULL,
    created_us bigint NOT NULL,
    -- Known to every replica from creation, used for new words from here ...
    active_us  bigint NOT NULL,
    -- ... and forgotten here, when no word that it made can be of use (NULL: no successor yet).
    gone_us    bigint,
    PRIMARY KEY (purpose, version)
);

CREATE TABLE signing_keys (
    -- RFC 7638 thumbprint.
    kid          text   PRIMARY KEY,
    algorithm    text   NOT NULL,
    -- PKCS#8, wrapped.
    wrapped      bytea  NOT NULL,
    created_us   bigint NOT NULL,
    -- Published from creation, signs tokens issued from here ...
    active_us    bigint NOT NULL,
    -- ... to here, where its successor takes over (NULL: no successor yet) ...
    retired_us   bigint,
    -- ... and leaves the key set here.
    gone_us      bigint
);

-- One key has no successor: whatever replicas do at once, the line of keys never forks.
CREATE UNIQUE INDEX signing_keys_newest ON signing_keys ((true)) WHERE retired_us IS NULL;
