// doorcode-js over a server that this file scripts: what it sends, how often, and what it tells. The real server and
// browsers: tests/browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Doorcode, DoorcodeError, hostedLogin, memory, tidyCode } from "../dist/doorcode.js";

const TOKENS = { access_token: "at", refresh_token: "r1", customer_id: "c", tenant_id: "t", expires_in: 3600, token_type: "bearer" };

/** Answers in order: `[status, body, headers]`, or an error for none. */
function server(...answers) {
  const calls = [];
  const fetch = async (url, { method, headers, body, credentials }) => {
    calls.push({ url, method, headers, body: body && JSON.parse(body), credentials });
    const [status, json, given] = answers.shift() ?? assert.fail(`nothing more was expected: ${url}`);
    if (status === 0) throw new TypeError("fetch failed");
    return new Response(status === 204 ? null : JSON.stringify(json ?? {}), { status, headers: given });
  };
  return { fetch, calls };
}

function client(answers, options) {
  const { fetch, calls } = server(...answers);
  const made = new Doorcode({ tenant: "acme", api: "https://auth.acme.test/", cookies: false, fetch, ...options });
  const events = [];
  for (const name of ["signedin", "signedout", "expired"]) made.addEventListener(name, ({ detail }) => events.push([name, detail?.customerId]));
  return { client: made, calls, events };
}

const fails = (promise, wanted) => assert.rejects(promise, (error) => {
  assert.ok(error instanceof DoorcodeError);
  for (const [key, value] of Object.entries(wanted)) assert.equal(error[key], value, key);
  return true;
});

test("login, verify, session, token, logout without cookies", async () => {
  const { client: c, calls, events } = client([[200], [200, TOKENS], [204]]);
  await c.login("ada@example.com", { language: "de" });
  const session = await c.verify("ada@example.com", " 123-456 ");
  assert.equal(session.customerId, "c");
  assert.ok(!("accessToken" in session), "a session is safe to show");
  assert.equal(await c.accessToken(), "at");
  assert.deepEqual(await c.session(), session);
  await c.logout();
  assert.equal(await c.session(), null);
  assert.equal(await c.accessToken(), null);
  assert.deepEqual(calls.map(({ url }) => url.split("/").at(-1)), ["login", "token", "logout"]);
  assert.equal(calls[0].headers["Accept-Language"], "de");
  assert.deepEqual(calls[1].body, { code: "123456", email: "ada@example.com", tenant_slug: "acme" });
  assert.equal(calls[2].body.refresh_token, "r1");
  assert.ok(calls.every(({ credentials }) => credentials === "omit"));
  assert.deepEqual(events, [["signedin", "c"], ["signedout", undefined]]);
});

test("with cookies nothing secret is kept", async () => {
  const storage = memory();
  const { client: c, calls } = client([[200, TOKENS], [401], [401]], { cookies: true, storage });
  await c.verify("ada@example.com", "123456");
  assert.deepEqual(Object.keys(await storage.get()).sort(), ["customerId", "expiresAt", "tenantId"]);
  assert.equal(calls[0].url, "https://auth.acme.test/v1/customer-auth/verify");
  assert.equal(calls[0].credentials, "include");
  assert.equal(await c.session(), null, "the server's word counts");
});

test("a token near its end is renewed, once for many that ask", async () => {
  const storage = memory();
  await storage.set({ customerId: "c", tenantId: "t", expiresAt: Date.now() + 1000, accessToken: "old", refreshToken: "r0" });
  const { client: c, calls } = client([[200, TOKENS]], { storage });
  const all = await Promise.all(Array.from({ length: 100 }, () => c.accessToken()));
  assert.deepEqual(new Set(all), new Set(["at"]));
  assert.equal(calls.length, 1);
  assert.equal(calls[0].body.refresh_token, "r0");
});

test("lost answers and busy servers are asked again; what a caller must know is an error", async () => {
  const lost = client([[0], [503, {}, { "Retry-After": "1" }], [200, TOKENS]]);
  assert.equal((await lost.client.verify("ada@example.com", "123456")).customerId, "c");
  await fails(client([[0], [401]]).client.verify("a@b.example", "123456"), { code: "answer_lost", status: 401 });
  await fails(client([[401, {}, { "X-Request-Id": "id" }]]).client.verify("a@b.example", "123456"), { code: "invalid_code", requestId: "id" });
  await fails(client([[429, {}, { "Retry-After": "42" }]]).client.login("a@b.example"), { code: "rate_limited", retryAfter: 42 });
  await fails(client([[0], [0], [0]]).client.login("a@b.example"), { code: "offline", status: 0 });
  await fails(client([[503, {}, { "Retry-After": "60" }]]).client.login("a@b.example"), { code: "unavailable", retryAfter: 60 });
  const email = { detail: [{ loc: ["body", "email"], msg: "value is not a valid email address", type: "value_error" }] };
  await fails(client([[422, email]]).client.login("foo@bar"), { code: "invalid_email" });
  await fails(client([[404, { detail: "Not Found" }]]).client.login("a@b.example"), { code: "rejected" });
});

test("a renewal without an answer ends nothing; a refused one ends the session", async () => {
  const storage = memory();
  const held = { customerId: "c", tenantId: "t", expiresAt: Date.now() - 1, accessToken: "old", refreshToken: "r0" };
  await storage.set(held);
  const { client: c, events } = client([[0], [0], [0], [200, TOKENS], [401]], { storage });
  await fails(c.refresh(), { code: "offline" });
  assert.deepEqual(await storage.get(), held);
  await c.refresh();
  assert.equal(await c.refresh(), null);
  assert.equal(await storage.get(), null);
  assert.deepEqual(events, [["signedin", "c"], ["expired", undefined]]);
});

test("no tenant is said at once", () => {
  assert.throws(() => new Doorcode({}), /`tenant` is missing/);
});

test("codes as people type and paste them", () => {
  for (const [typed, tidy] of [
    ["123456", "123456"], [" 123 456 ", "123456"], ["１２３４５６", "123456"], ["k7q-4tz", "K7Q4TZ"],
    ["123456 is your Acme code", "123456"], ["Ihr Code: 123 456.", "123456"], ["1234567", "123456"], ["", ""],
  ]) assert.equal(tidyCode(typed), tidy, typed);
});

test("a hosted login: PKCE by RFC 7636, and the verifier is in no URL", async () => {
  const { url, state, verifier } = await hostedLogin("https://auth.acme.test/", "acme", "https://acme.example/back?a=1");
  const query = new URL(url).searchParams;
  assert.equal(new URL(url).pathname, "/t/acme/login");
  assert.deepEqual([query.get("return_to"), query.get("state"), query.get("code_challenge_method")], ["https://acme.example/back?a=1", state, "S256"]);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  assert.equal(query.get("code_challenge"), Buffer.from(digest).toString("base64url"));
  assert.ok(verifier.length >= 43 && !url.includes(verifier));
});
