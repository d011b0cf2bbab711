// What the browser tests share: Chromium, host names with TLS in front of a doorcode, mails, and how people type.
//
// Started by tests/it/browser.rs with DOORCODE (where it listens), CHROMIUM, MODULES (a node_modules), CERT and KEY. SHOTS (a folder): pictures of each step, to be looked at. Every
// name of `hosts` is mapped to one TLS proxy on loopback; doorcode itself speaks plain http behind it, as behind any.
import assert from "node:assert/strict";
import fs from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import path from "node:path";

export const { DOORCODE, CHROMIUM, MODULES, CERT, KEY, SHOTS } = process.env;
const require = createRequire(path.join(MODULES, "x"));
const { chromium } = require("playwright-core");
const AXE = require.resolve("axe-core/axe.min.js");
const API = "/v1/customer-auth/";
export const [REFRESH, ACCESS, DEVICE] = ["refresh", "access", "device"].map((kind) => `__Host-portal_${kind}_`);

/** Every call that passed the proxy. */
export const calls = [];
/** Calls of a verb wait for its promise: `held.refresh`. */
export const held = {};
/** How many answers of a verb get lost, after the work was done: `lost.verify`. */
export const lost = {};

/** A portal's page. `head` and `body` are HTML. */
export const page = (attributes, { head = "", body = "", lang = "en", script = "" } = {}) => ({
  script,
  html: `<!doctype html>
<html lang="${lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Portal</title>
<link rel="icon" href="data:,">
<script type="module" src="${script}/doorcode-login.js"></script>
${head}
</head>
<body>
<main>
<h1>Portal</h1>
<doorcode-login ${attributes}></doorcode-login>
${body}
</main>
</body>
</html>`,
});

/**
 * Serves `hosts`: by name, whether it passes the API on to doorcode (`api`: `true` or where that one listens) and its page.
 */
export async function start(hosts) {
  const serve = async (request, response) => {
    const { api, page } = hosts[request.headers.host.replace(/:\d+$/, "")] ?? {};
    const { pathname } = new URL(request.url, "http://x");
    const onward = pathname.startsWith(API) || pathname.startsWith("/t/") || pathname === "/doorcode-login.js";
    if (api && onward) return pass(api === true ? DOORCODE : api, request, response);
    if (!page) return response.writeHead(404).end();
    response.writeHead(200, {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy":
        `default-src 'none'; script-src 'self' ${page.script}; connect-src 'self' ${page.script}; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
    });
    response.end(page.html);
  };
  const listen = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
  const tls = https.createServer({ cert: await fs.readFile(CERT), key: await fs.readFile(KEY) }, serve);
  const plain = http.createServer(serve);
  const [tlsPort, plainPort] = await Promise.all([listen(tls), listen(plain)]);
  const started = {};
  started.launch = async () => {
    started.browser?.close().catch(() => {}); // not waited for: it may be the one that hangs
    started.browser = await chromium.launch({
      executablePath: CHROMIUM,
      ignoreDefaultArgs: ["--disable-back-forward-cache"],
      args: [
        "--no-sandbox", // Chromium refuses to run as root with it; it visits nothing but this test
        // What Chromium asks for by itself finds nobody.
        `--host-resolver-rules=MAP *.test:443 127.0.0.1:${tlsPort}, MAP *:80 127.0.0.1:${plainPort}, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1`,
      ],
    });
  };
  await started.launch();
  return started;
}

/** The small reverse proxy of the first topology; elsewhere it only ends TLS. */
async function pass(to, request, response) {
  const { method, url, headers } = request;
  const seen = { method, verb: url.startsWith(API) ? url.slice(API.length) : url.split("?")[0], site: headers["sec-fetch-site"], origin: headers.origin, language: headers["accept-language"], cookie: headers.cookie ?? "" };
  calls.push(seen);
  if (method !== "OPTIONS") await held[seen.verb];
  const onward = http.request(to + url, { method, headers }, (answer) => {
    Object.assign(seen, { status: answer.statusCode, set: answer.headers["set-cookie"] ?? [] });
    response.writeHead(answer.statusCode, answer.rawHeaders);
    // Within the answer: on a connection that ends before it, Chromium itself asks again.
    if (method !== "OPTIONS" && lost[seen.verb]-- > 0) return response.write(" ", () => response.destroy());
    answer.pipe(response);
  });
  onward.on("error", () => response.writeHead(502).end());
  request.pipe(onward);
}

export const last = (verb) => calls.filter((call) => call.verb === verb && call.method !== "OPTIONS").at(-1);
export const count = (verb) => calls.filter((call) => call.verb === verb && call.method === "POST").length;

// ---- mails

const mails = {};

/** The code of the next mail to `email`. */
export async function code(email, doorcode = DOORCODE) {
  for (let tries = 0; tries < 300; tries++) {
    const all = await (await fetch(`${doorcode}/dev/mailbox.json?to=${encodeURIComponent(email)}`)).json();
    if (all.length > (mails[doorcode + email] ?? 0)) {
      mails[doorcode + email] = all.length;
      return all[0].subject.match(/\b[0-9A-Z]{6}\b/)[0];
    }
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`no mail to ${email}`);
}

export const another = (code) => (code === "123456" ? "654321" : "123456");

// ---- what people do

/** Waits until the form is in a state: `email`, `code`, `signed-in`, `ready`, `busy`. */
export const until = (page, state) =>
  page.waitForFunction((state) => document.querySelector("doorcode-login")?.matches(`:state(${state})`), state, { polling: 20 });

export async function open(context, url) {
  const page = await context.newPage();
  page.on("pageerror", (error) => console.log(`        error on ${url}: ${error.stack}`));
  await page.goto(url);
  await until(page, "ready");
  return page;
}

export async function askForCode(page, email = "ada@example.com") {
  await page.fill("#email", email);
  await page.press("#email", "Enter");
  await until(page, "code");
}

export async function logIn(page, email = "ada@example.com", doorcode = DOORCODE) {
  await askForCode(page, email);
  await pasteCode(page, await code(email, doorcode));
  await page.press("#code", "Enter");
  await until(page, "signed-in");
}

/** H15: as people paste it, with a space in the middle and one at the end. */
export async function pasteCode(page, typed) {
  await page.focus("#code");
  await page.evaluate((text) => document.execCommand("insertText", false, text), `${typed.slice(0, 3)} ${typed.slice(3)} `);
  assert.equal(await page.inputValue("#code"), typed);
}

export const press = (page, part) => page.click(`[part~=${part}]:visible`);
export const text = (page, part) => page.locator(`[part~=${part}]:visible`).innerText();
/** What is said beside the field, once it is. */
export async function errorText(page) {
  await page.waitForFunction(() => {
    const root = document.querySelector("doorcode-login").shadowRoot;
    return [...root.querySelectorAll("[role=alert]")].some((alert) => alert.textContent && alert.checkVisibility());
  }, undefined, { polling: 20 });
  return text(page, "error");
}
export const focused = (page) =>
  page.evaluate(() => {
    const inner = document.activeElement.shadowRoot?.activeElement ?? document.activeElement;
    return inner.id || inner.localName;
  });

export const ADA = "ada@example.com";
export const ACME = 'tenant="acme"';
export const status = (page) => text(page, "status");
export const shadow = (page, work, argument) =>
  page.evaluate(`((root, argument) => (${work})(root, argument))(document.querySelector("doorcode-login").shadowRoot, ${JSON.stringify(argument)})`);
export const type = async (page, typed) => {
  await page.fill("#code", typed);
  await page.press("#code", "Enter");
};
export const wrong = async (page, right) => {
  await type(page, another(right));
  return errorText(page);
};
/** A picture to be looked at. */
export const shoot = (page, name) => SHOTS && page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
export const reflows = (page) => page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth);

export async function axe(page, name) {
  await page.evaluate(await fs.readFile(AXE, "utf8")); // not a script tag: the page's CSP forbids it
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const said = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
  assert.deepEqual(said, [], `axe: ${name}`);
}

// ---- running

/** Longer than any check takes on a busy machine, in milliseconds. */
const PATIENCE = 120_000;

/** A Chromium that stops answering is no verdict on a page: after this the check runs once more, in a new one. */
const hangs = new Error(`no end in ${PATIENCE / 1000} s`);

const inTime = async (check) => {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(fail, PATIENCE, hangs); });
  await Promise.race([check(), late]).finally(() => clearTimeout(timer));
};

/** Runs `checks` one after another, with what the last one called when it fails; ends the process. */
export async function run(checks, started) {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    if (process.argv[2] && !name.includes(process.argv[2])) continue;
    const since = calls.length;
    const began = Date.now();
    try {
      await inTime(check).catch(async (error) => {
        if (error !== hangs) throw error;
        console.log(`again   ${name}: ${error.message}`);
        await started.launch();
        await inTime(check);
      });
      console.log(`ok      ${name} (${Date.now() - began} ms)`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name}\n${error.stack}`);
      for (const { method, verb, site, origin, status } of calls.slice(since)) {
        console.log(`        ${method} ${verb} site=${site} origin=${origin} -> ${status}`);
      }
    }
    await inTime(() => Promise.all(started.browser.contexts().map((context) => context.close()))).catch(started.launch);
  }
  console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed in ${started.browser.version()}`);
  process.exit(failed === 0 ? 0 : 1); // its Chromium ends with it
}
