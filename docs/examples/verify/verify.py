"""Verifies an access token: verify.py JWKS_URL ISSUER TENANT_ID < token

Needs PyJWT and cryptography. Prints the claims and exits 0, or says why not and exits 1.
"""

import json
import sys

import jwt

# Kept for the life of the process: fetches the key set when its copy is 300 s old or lacks a key.
KEYS = {}


def verify(token: str, jwks_url: str, issuer: str, tenant_id: str) -> dict:
    keys = KEYS.setdefault(jwks_url, jwt.PyJWKClient(jwks_url, lifespan=300, timeout=5))
    if jwt.get_unverified_header(token).get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return jwt.decode(
        token,
        # a PyJWK knows the one algorithm it is for
        keys.get_signing_key_from_jwt(token),
        algorithms=["ES256", "EdDSA", "RS256"],
        issuer=issuer,
        audience=f"{issuer}/t/{tenant_id}",
        leeway=30,
        options={"require": ["exp", "iat", "iss", "aud", "sub"]},
    )


if __name__ == "__main__":
    try:
        print(json.dumps(verify(sys.stdin.read().strip(), *sys.argv[1:4])))
    except jwt.PyJWTError as error:
        sys.exit(f"refused: {error}")
