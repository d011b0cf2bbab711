// The three ways to put a portal in front of doorcode, in a real Chromium with real host names and TLS. See lib.mjs.
import assert from "node:assert/strict";
import { ACCESS, DEVICE, REFRESH, calls, code, count, focused, held, last, logIn, open, page, press, run, start, until } from "./lib.mjs";

const AUTH = { script: "https://auth.acme.test" };
// Host name: its page, and whether it passes the API on to doorcode.
const hosts = {
  "auth.acme.test": { api: true },
  // same origin
  "own.acme.test": { api: true, page: page('tenant="acme" autofocus') },
  // same site: the script's origin is doorcode's
  "portal.acme.test": { page: page('tenant="acme"', AUTH) },
  "globex.acme.test": { page: page('tenant="globex"', AUTH) },
  // cross site
  "portal.globex.test": { page: page('tenant="globex" tokens', AUTH) },
  // strangers: on the same site, and elsewhere
  "blog.acme.test": { page: page('tenant="acme"', AUTH) },
  "evil.test": { page: page('tenant="acme"', AUTH) },
  // plain http
  "portal.localhost": { api: true, page: page('tenant="acme"') },
  "plain.acme.test": { api: true, page: page('tenant="acme"') },
};
const started = await start(hosts);
const visitor = () => started.browser.newContext({ ignoreHTTPSErrors: true });

const ours = async (context) => (await context.cookies()).filter(({ name }) => name.startsWith("__Host-portal_"));
const names = async (context, kind) => (await ours(context)).map(({ name }) => name).filter((name) => name.startsWith(kind));
const client = (page, work) => page.evaluate(`(async (client) => (${work})(client))(document.querySelector("doorcode-login").client)`);
const whose = (page) => client(page, async (client) => (await client.session())?.tenantId);
const renewed = async (page) => (await client(page, (client) => client.refresh())) !== null;

const checks = {
  async "F2 F3 F5 same origin: the portal passes the API on"() {
    const context = await visitor();
    const page = await open(context, "https://own.acme.test");
    await logIn(page);
    assert.equal(last("verify").site, "same-origin");
    const jar = await ours(context);
    assert.equal(jar.length, 3);
    for (const { name, domain, path, secure, httpOnly, sameSite, expires } of jar) {
      assert.deepEqual([domain, path, secure, httpOnly], ["own.acme.test", "/", true, true], name);
      assert.equal(sameSite, name.startsWith(ACCESS) ? "Lax" : "Strict", name);
      assert.ok(expires - Date.now() / 1000 <= 400 * 86_400, name);
    }
    assert.equal(await page.evaluate(() => document.cookie), "", "no script sees them");
    await page.reload();
    await until(page, "signed-in");
    await press(page, "sign-out");
    await until(page, "email");
    assert.deepEqual([await names(context, REFRESH), await names(context, ACCESS)], [[], []]);
    assert.equal((await names(context, DEVICE)).length, 1, "the device stays known");
  },

  async "E6 F12 same site: credentialed CORS, two tenants in one browser"() {
    const context = await visitor();
    const acme = await open(context, "https://portal.acme.test");
    await logIn(acme);
    const { site, origin } = last("verify");
    assert.deepEqual([site, origin], ["same-site", "https://portal.acme.test"]);
    const globex = await open(context, "https://globex.acme.test");
    await until(globex, "email");
    await logIn(globex);
    assert.equal((await names(context, REFRESH)).length, 2, "one jar, two tenants");
    const [a, g] = [await whose(acme), await whose(globex)];
    assert.notEqual(a, g);
    for (const page of [acme, globex]) assert.equal(await renewed(page), true);
    assert.deepEqual([await whose(acme), await whose(globex)], [a, g], "each page renews its own");
    // a portal that names the other tenant gets neither its tokens nor its session's end
    const stolen = await globex.evaluate(async () => {
      const headers = { "Content-Type": "application/json", "X-Tenant-Slug": "acme" };
      const call = (verb) => fetch(`https://auth.acme.test/v1/customer-auth/${verb}`, { method: "POST", headers, credentials: "include", body: "{}" });
      return [(await call("refresh")).status, (await call("logout")).status, (await call("logout-all")).status];
    });
    assert.deepEqual(stolen, [401, 204, 204]);
    await press(globex, "sign-out");
    await until(globex, "email");
    assert.equal(await whose(acme), a, "the other tenant's session is untouched");
    await press(acme, "sign-out-all");
    await until(acme, "email");
    assert.deepEqual(await names(context, REFRESH), []);
  },

  async "silent renewal: one tab at a time"() {
    const context = await visitor();
    const first = await open(context, "https://portal.acme.test");
    await logIn(first);
    const tabs = [first];
    for (let tab = 0; tab < 3; tab++) tabs.push(await open(context, "https://portal.acme.test"));
    const before = count("refresh");
    let release;
    held.refresh = new Promise((done) => { release = done; });
    for (const tab of tabs) await client(tab, (client) => { window.renewed = client.refresh(); });
    release();
    for (const tab of tabs) assert.ok(await tab.evaluate(() => window.renewed));
    // Tabs are processes: on a busy machine the lock may reach one before localStorage's news does, and it renews once more.
    const made = count("refresh") - before;
    assert.ok(made === 1 || made === 2, `${made} refreshes for four tabs`);
    // the access cookie is gone (an hour passed): the page comes back by itself
    await context.clearCookies({ name: new RegExp(`^${ACCESS}`) });
    await first.reload();
    await until(first, "signed-in");
    assert.equal((await names(context, ACCESS)).length, 1);
  },

  async "F6 cross site: tokens in the body, no cookies"() {
    const context = await visitor();
    const page = await open(context, "https://portal.globex.test");
    await logIn(page);
    assert.equal(last("token").site, "cross-site");
    assert.deepEqual([last("token").cookie, last("token").set, await ours(context)], ["", [], []]);
    await page.reload();
    await until(page, "signed-in");
    assert.equal(await renewed(page), true);
    assert.deepEqual([last("refresh").cookie, last("refresh").set, last("refresh").status], ["", [], 200]);
    await press(page, "sign-out");
    await until(page, "email");
    await page.reload();
    await until(page, "ready");
    await until(page, "email");
  },

  async "F7 F10 F11 F12 pages of strangers change nothing and read nothing"() {
    const context = await visitor();
    const own = await open(context, "https://portal.acme.test");
    await logIn(own);
    const jar = () => ours(context).then((all) => JSON.stringify(all.map(({ name, value }) => [name, value]).sort()));
    const before = await jar();
    for (const host of ["blog.acme.test", "evil.test"]) {
      const page = await context.newPage();
      await page.route("**/doorcode-login.js", (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
      await page.goto(`https://${host}`);
      const tried = await page.evaluate(async () => {
        const call = async (verb, options) => {
          const url = `https://auth.acme.test/v1/customer-auth/${verb}`;
          try {
            const answer = await fetch(url, { method: "POST", credentials: "include", body: "{}", ...options });
            return answer.type === "opaque" ? "opaque" : answer.status;
          } catch {
            return "blocked";
          }
        };
        const json = { headers: { "Content-Type": "application/json" } };
        const simple = { mode: "no-cors", headers: { "Content-Type": "text/plain" } };
        const empty = { mode: "no-cors", body: null };
        const results = [];
        for (const verb of ["refresh", "logout", "logout-all"]) {
          for (const options of [json, simple, empty]) results.push(await call(verb, options));
        }
        results.push(await call("session", { method: "GET", body: undefined }));
        return results;
      });
      assert.ok(tried.every((result) => result === "blocked" || result === "opaque"), `${host}: ${tried}`);
      assert.equal(await jar(), before, host);
      await page.close();
    }
    assert.ok(calls.some(({ site, verb, status }) => site === "cross-site" && verb === "logout" && status === 204), "it was tried");
    assert.ok(calls.some(({ site, verb, cookie }) => site === "same-site" && verb === "logout" && cookie.includes(REFRESH)),
      "a sister site's call carries the cookies: only the rule stops it");
    await own.reload();
    await until(own, "signed-in");
    assert.equal(await renewed(own), true);
  },

  async "F2 __Host- over plain http: on loopback names only"() {
    const context = await visitor();
    const page = await open(context, "http://portal.localhost");
    await logIn(page);
    assert.equal((await ours(context)).length, 3);
    await page.reload();
    await until(page, "signed-in");
    const other = await visitor();
    const lost = await open(other, "http://plain.acme.test");
    await logIn(lost);
    assert.equal(last("verify").status, 200);
    assert.deepEqual(await ours(other), [], "Chromium drops them: a portal needs https");
  },
};

await run(checks, started);
