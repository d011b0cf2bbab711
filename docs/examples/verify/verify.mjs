// Verifies an access token: node verify.mjs JWKS_URL ISSUER TENANT_ID < token
//
// Needs jose. Prints the claims and exits 0, or says why not and exits 1.

import { readFileSync } from "node:fs";
import { createRemoteJWKSet, errors, jwtVerify } from "jose";

// Kept for the life of the process: fetches the key set when its copy is 300 s old or lacks a key.
const sets = new Map();

export async function verify(token, jwksUrl, issuer, tenantId) {
  if (!sets.has(jwksUrl)) {
    sets.set(jwksUrl, createRemoteJWKSet(new URL(jwksUrl), { cacheMaxAge: 300_000 }));
  }
  const { payload } = await jwtVerify(token, sets.get(jwksUrl), {
    typ: "at+jwt",
    algorithms: ["ES256", "EdDSA", "RS256"],
    issuer,
    audience: `${issuer}/t/${tenantId}`,
    requiredClaims: ["exp", "iat", "sub"],
    clockTolerance: 30,
  });
  return payload;
}

try {
  const [jwksUrl, issuer, tenantId] = process.argv.slice(2);
  const token = readFileSync(0, "utf8").trim();
  console.log(JSON.stringify(await verify(token, jwksUrl, issuer, tenantId)));
} catch (error) {
  if (!(error instanceof errors.JOSEError)) throw error;
  console.error(`refused: ${error.message}`);
  process.exit(1);
}
