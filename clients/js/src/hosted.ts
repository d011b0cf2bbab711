/** What a portal keeps, in its own session, from the redirect to the hosted page until the customer is back. */
export interface HostedLogin {
  /** Where to send the customer. */
  url: string;
  /** Must come back in the redirect's `state`. */
  state: string;
  /** For `exchange`; never in a URL. */
  verifier: string;
}

/**
 * Begins a login on doorcode's hosted page with PKCE (RFC 7636, S256). `returnTo` is one of the tenant's registered URLs,
 * exactly. The customer comes back to it with `code` and `state`.
 */
export async function hostedLogin(api: string, tenant: string, returnTo: string): Promise<HostedLogin> {
  const [verifier, state] = [secret(), secret()];
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const query = new URLSearchParams({
    return_to: returnTo,
    state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  });
  return { url: `${api.replace(/\/$/, "")}/t/${encodeURIComponent(tenant)}/login?${query}`, state, verifier };
}

/** 256 random bits. */
const secret = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

const base64url = (bytes: Uint8Array) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
