-- Keys, each wrapped (AES-256-GCM) by the master key, which is never here.

CREATE TABLE purpose_keys (
    -- address, code_mac, code_derivation, refresh_mac, session_hash, device, client_tag
    purpose    text   NOT NULL,
    version    int    NOT NULL,
    wrapped    bytea  NOT NULL,
    created_us bigint NOT NULL,
    PRIMARY KEY (purpose, version)
);

CREATE TABLE signing_keys (
    -- RFC 7638 thumbprint.
    kid          text   PRIMARY KEY,
    algorithm    text   NOT NULL,
    -- PKCS#8, wrapped.
    wrapped      bytea  NOT NULL,
    created_us   bigint NOT NULL,
    -- Published from creation, signs from here ...
    active_us    bigint NOT NULL,
    -- ... to here (NULL: until another takes over) ...
    retired_us   bigint,
    -- ... and leaves the key set here.
    gone_us      bigint
);
