// The three ways to put a portal in front of doorcode, in a real Chromium with real host names and TLS.
//
// Started by tests/it/browser.rs with DOORCODE (where it listens), CHROMIUM, PLAYWRIGHT (a module), WEB, CERT and KEY.
// Every name below is mapped to one TLS proxy on loopback; doorcode itself speaks plain http behind it, as behind any.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import fs from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import path from "node:path";

const { DOORCODE, CHROMIUM, PLAYWRIGHT, WEB, CERT, KEY } = process.env;
const { chromium } = createRequire(import.meta.url)(PLAYWRIGHT);
const API = "/v1/customer-auth/";
const [REFRESH, ACCESS, DEVICE] = ["refresh", "access", "device"].map((kind) => `__Host-portal_${kind}_`);

// Host name: its page's portal.json, and whether it passes the API on to doorcode.
const HOSTS = {
  "auth.acme.test": { api: true },
  // same origin
  "own.acme.test": { api: true, page: { api: "", tenant: "acme", cookies: true } },
  // same site
  "portal.acme.test": { page: { api: "https://auth.acme.test", tenant: "acme", cookies: true } },
  "globex.acme.test": { page: { api: "https://auth.acme.test", tenant: "globex", cookies: true } },
  // cross site
  "portal.globex.test": { page: { api: "https://auth.acme.test", tenant: "globex", cookies: false } },
  // strangers: on the same site, and elsewhere
  "blog.acme.test": { page: { api: "https://auth.acme.test", tenant: "acme", cookies: true } },
  "evil.test": { page: { api: "https://auth.acme.test", tenant: "acme", cookies: true } },
  // plain http
  "portal.localhost": { api: true, page: { api: "", tenant: "acme", cookies: true } },
  "plain.acme.test": { api: true, page: { api: "", tenant: "acme", cookies: true } },
};
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".json": "application/json" };
const calls = [];
// Refreshes wait for this.
let held;

async function serve(request, response) {
  const host = request.headers.host.replace(/:\d+$/, "");
  const { api, page } = HOSTS[host] ?? {};
  const { pathname } = new URL(request.url, "http://x");
  if (api && pathname.startsWith(API)) return pass(request, response);
  const name = pathname === "/" ? "index.html" : path.basename(pathname);
  try {
    if (!page) throw new Error("no page here");
    const body = name === "portal.json" ? JSON.stringify(page) : await fs.readFile(path.join(WEB, name));
    response.writeHead(200, {
      "Content-Type": TYPES[path.extname(name)],
      "Content-Security-Policy":
        `default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ${page.api}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
    });
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
}

// The small reverse proxy of the first topology; for auth.acme.test it only ends TLS.
async function pass(request, response) {
  const { method, url, headers } = request;
  const seen = { method, verb: url.slice(API.length), site: headers["sec-fetch-site"], origin: headers.origin, cookie: headers.cookie ?? "" };
  calls.push(seen);
  if (seen.verb === "refresh" && method === "POST") await held;
  const onward = http.request(DOORCODE + url, { method, headers }, (answer) => {
    Object.assign(seen, { status: answer.statusCode, set: answer.headers["set-cookie"] ?? [] });
    response.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(response);
  });
  onward.on("error", () => response.writeHead(502).end());
  request.pipe(onward);
}

const listen = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
const tls = https.createServer({ cert: await fs.readFile(CERT), key: await fs.readFile(KEY) }, serve);
const plain = http.createServer(serve);
const [tlsPort, plainPort] = await Promise.all([listen(tls), listen(plain)]);

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: [
    "--no-sandbox", // Chromium refuses to run as root with it; it visits nothing but this test
    `--host-resolver-rules=MAP *.test:443 127.0.0.1:${tlsPort}, MAP *:80 127.0.0.1:${plainPort}`,
  ],
});

const visitor = () => browser.newContext({ ignoreHTTPSErrors: true });
const mails = {};

async function code(tenant, email) {
  for (let tries = 0; tries < 300; tries++) {
    const all = await (await fetch(`${DOORCODE}/dev/mailbox.json?to=${email}`)).json();
    if (all.length > (mails[email] ?? 0)) {
      mails[email] = all.length;
      return all[0].subject.split(" ")[0];
    }
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`no mail to ${email} of ${tenant}`);
}

async function open(context, origin) {
  const page = await context.newPage();
  page.on("pageerror", (error) => { throw error; });
  await page.goto(origin);
  await page.waitForSelector("body[data-ready]");
  return page;
}

async function logIn(page, tenant, email = "ada@example.com") {
  await page.fill("#email", email);
  await page.press("#email", "Enter");
  await page.waitForSelector("#code:visible");
  const typed = await code(tenant, email);
  await pasteCode(page, typed);
  await page.press("#code", "Enter");
  await page.waitForSelector("#account:visible");
}

// H15: as people paste it, with a space in the middle and one at the end.
async function pasteCode(page, typed) {
  await page.focus("#code");
  await page.evaluate((text) => document.execCommand("insertText", false, text), `${typed.slice(0, 3)} ${typed.slice(3)} `);
  assert.equal(await page.inputValue("#code"), typed);
}

const ours = async (context) => (await context.cookies()).filter(({ name }) => name.startsWith("__Host-portal_"));
const names = async (context, kind) => (await ours(context)).map(({ name }) => name).filter((name) => name.startsWith(kind));
const last = (verb) => calls.filter((call) => call.verb === verb && call.method !== "OPTIONS").at(-1);

const checks = {
  async "F2 F3 F5 same origin: the portal passes the API on"() {
    const context = await visitor();
    const page = await open(context, "https://own.acme.test");
    await logIn(page, "acme");
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
    await page.waitForSelector("#account:visible");
    await page.click("#logout");
    await page.waitForSelector("#email-form:visible");
    assert.deepEqual([await names(context, REFRESH), await names(context, ACCESS)], [[], []]);
    assert.equal((await names(context, DEVICE)).length, 1, "the device stays known");
    await context.close();
  },

  async "H15 A the form: one-time-code, digits first, labels, nothing lost"() {
    const context = await visitor();
    const page = await open(context, "https://own.acme.test");
    const field = page.locator("#code");
    assert.deepEqual(
      [await field.getAttribute("autocomplete"), await field.getAttribute("inputmode"), await field.getAttribute("maxlength")],
      ["one-time-code", "numeric", null],
    );
    for (const id of ["email", "code"]) assert.equal(await page.locator(`label[for=${id}]`).count(), 1);
    assert.equal(await page.evaluate(() => document.activeElement.id), "email", "the first field has the focus");
    await page.fill("#email", "ada@example.com");
    await page.click("#email-form button");
    await page.waitForSelector("#code:visible");
    assert.equal(await page.evaluate(() => document.activeElement.id), "code");
    const right = await code("acme", "ada@example.com");
    await pasteCode(page, right === "123456" ? "654321" : "123456");
    await page.click("#code-form button");
    await page.waitForFunction(() => document.querySelector("#status").textContent.includes("wrong or has expired"));
    await page.click("#letters");
    assert.equal(await page.evaluate(() => document.querySelector("#code").inputMode), "text");
    await pasteCode(page, right);
    await page.click("#code-form button");
    await page.waitForSelector("#account:visible");
    await context.close();
  },

  async "E6 F12 same site: credentialed CORS, two tenants in one browser"() {
    const context = await visitor();
    const acme = await open(context, "https://portal.acme.test");
    await logIn(acme, "acme");
    const { site, origin } = last("verify");
    assert.deepEqual([site, origin], ["same-site", "https://portal.acme.test"]);
    const globex = await open(context, "https://globex.acme.test");
    await globex.waitForSelector("#email-form:visible");
    await logIn(globex, "globex");
    assert.equal((await names(context, REFRESH)).length, 2, "one jar, two tenants");
    const whose = (page) => page.evaluate(async () => (await portal.resume()).tenant_id);
    const [a, g] = [await whose(acme), await whose(globex)];
    assert.notEqual(a, g);
    for (const page of [acme, globex]) assert.equal(await page.evaluate(() => portal.renew()), true);
    assert.deepEqual([await whose(acme), await whose(globex)], [a, g], "each page renews its own");
    // a portal that names the other tenant gets neither its tokens nor its session's end
    const stolen = await globex.evaluate(async () => {
      const headers = { "Content-Type": "application/json", "X-Tenant-Slug": "acme" };
      const call = (verb) => fetch(`https://auth.acme.test/v1/customer-auth/${verb}`, { method: "POST", headers, credentials: "include", body: "{}" });
      return [(await call("refresh")).status, (await call("logout")).status, (await call("logout-all")).status];
    });
    assert.deepEqual(stolen, [401, 204, 204]);
    await globex.click("#logout");
    await globex.waitForSelector("#email-form:visible");
    assert.equal(await whose(acme), a, "the other tenant's session is untouched");
    await acme.click("#logout-all");
    await acme.waitForSelector("#email-form:visible");
    assert.deepEqual(await names(context, REFRESH), []);
    await context.close();
  },

  async "silent renewal: one tab at a time"() {
    const context = await visitor();
    const first = await open(context, "https://portal.acme.test");
    await logIn(first, "acme");
    const tabs = [first];
    for (let tab = 0; tab < 3; tab++) tabs.push(await open(context, "https://portal.acme.test"));
    const refreshes = () => calls.filter(({ verb, method }) => verb === "refresh" && method === "POST").length;
    const before = refreshes();
    let release;
    held = new Promise((done) => { release = done; });
    for (const tab of tabs) await tab.evaluate(() => { window.renewed = portal.renew(); });
    release();
    for (const tab of tabs) assert.equal(await tab.evaluate(() => window.renewed), true);
    assert.equal(refreshes() - before, 1, "one refresh for four tabs");
    // the access cookie is gone (an hour passed): the page comes back by itself
    await context.clearCookies({ name: new RegExp(`^${ACCESS}`) });
    await first.reload();
    await first.waitForSelector("#account:visible");
    assert.equal((await names(context, ACCESS)).length, 1);
    await context.close();
  },

  async "F6 cross site: tokens in the body, no cookies"() {
    const context = await visitor();
    const page = await open(context, "https://portal.globex.test");
    await logIn(page, "globex");
    assert.equal(last("token").site, "cross-site");
    assert.deepEqual([last("token").cookie, last("token").set, await ours(context)], ["", [], []]);
    await page.reload();
    await page.waitForSelector("#account:visible", { timeout: 10_000 });
    assert.deepEqual([last("refresh").cookie, last("refresh").set, last("refresh").status], ["", [], 200]);
    await page.click("#logout");
    await page.waitForSelector("#email-form:visible");
    await page.reload();
    await page.waitForSelector("body[data-ready]");
    assert.ok(await page.isVisible("#email-form"));
    await context.close();
  },

  async "F7 F10 F11 F12 pages of strangers change nothing and read nothing"() {
    const context = await visitor();
    const own = await open(context, "https://portal.acme.test");
    await logIn(own, "acme");
    const jar = () => ours(context).then((all) => JSON.stringify(all.map(({ name, value }) => [name, value]).sort()));
    const before = await jar();
    for (const host of ["blog.acme.test", "evil.test"]) {
      const page = await context.newPage();
      await page.route("**/page.js", (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
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
    await own.waitForSelector("#account:visible");
    assert.equal(await own.evaluate(() => portal.renew()), true);
    await context.close();
  },

  async "F2 __Host- over plain http: on loopback names only"() {
    const context = await visitor();
    const page = await open(context, "http://portal.localhost");
    await logIn(page, "acme");
    assert.equal((await ours(context)).length, 3);
    await page.reload();
    await page.waitForSelector("#account:visible");
    await context.close();
    const other = await visitor();
    const lost = await open(other, "http://plain.acme.test");
    await logIn(lost, "acme");
    assert.equal(last("verify").status, 200);
    assert.deepEqual(await ours(other), [], "Chromium drops them: a portal needs https");
    await other.close();
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  const since = calls.length;
  try {
    await check();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${name}\n${error.stack}`);
    for (const { method, verb, site, origin, status } of calls.slice(since)) {
      console.log(`        ${method} ${verb} site=${site} origin=${origin} -> ${status}`);
    }
  }
}
await browser.close();
tls.close();
plain.close();
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed in ${browser.version()}`);
process.exit(failed === 0 ? 0 : 1);
