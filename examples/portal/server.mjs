// A portal: a login, a page behind it, and the check of the token by doorcode's published keys. One command, beside
// `./bin/dev`:
//
//     npm start --prefix examples/portal        then http://localhost:3000
//
// It logs in both ways that docs/PORTALS.md tells of: by the form on its own page (this server passes doorcode's API on, so
// the browser keeps the tokens in cookies of this host), and by doorcode's hosted page (this server keeps the tokens).
import { createRemoteJWKSet, jwtVerify } from "jose";
import { randomUUID } from "node:crypto";
import http from "node:http";
import { Doorcode, hostedLogin } from "../../clients/js/dist/doorcode.js"; // in your portal: "doorcode-js"

const {
  PORT = "3000",
  DOORCODE = "http://localhost:8080", // where browsers and this server reach it
  ISSUER = "http://127.0.0.1:8080", // its public_url, the `iss` of every token
  TENANT = "demo",
  TENANT_ID = "d0c0de00-0000-4000-8000-000000000001", // of `doorcode dev`; else see `doorcode tenant show`
} = process.env;
const HOME = `http://localhost:${PORT}`;
const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", DOORCODE));

/** The claims of a token that is good, of this tenant, and an access token; otherwise an error. */
async function verified(token) {
  const { payload } = await jwtVerify(token, keys, {
    issuer: ISSUER,
    audience: `${ISSUER}/t/${TENANT_ID}`,
    typ: "at+jwt",
    algorithms: ["ES256", "EdDSA", "RS256"],
  });
  return payload;
}

// ---- who is there

/** Logins by the hosted page: this portal's own sessions, each a doorcode client. A real portal keeps them in a store, with an end. */
const sessions = new Map();
/** Hosted logins that have begun, by `state`. At most a thousand: the oldest goes. */
const begun = new Map();

const cookies = ({ headers }) =>
  (headers.cookie ?? "").split(/; */).map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]);
const cookie = (request, name) => cookies(request).find(([given]) => given === name)?.[1];

/** The access tokens that a request may speak by; each is judged. */
async function tokens(request) {
  const own = sessions.get(cookie(request, "portal_session"));
  const named = cookies(request).filter(([name]) => name.startsWith("__Host-portal_access_"));
  return [await own?.accessToken(), ...named.map(([, token]) => token)].filter(Boolean);
}

async function customer(request) {
  for (const token of await tokens(request)) {
    const claims = await verified(token).catch((error) => console.error(`a token is refused: ${error.message}`));
    if (claims) return claims;
  }
  return null;
}

// ---- pages

const page = (title, body) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="data:,">
<script type="module" src="/doorcode-login.js"></script>
</head>
<body>
<main>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`;

const POLICY =
  "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

function send(response, status, headers, body = "") {
  response.writeHead(status, { "Content-Security-Policy": POLICY, "Cache-Control": "no-store", ...headers });
  response.end(body);
}
const html = (response, text, status = 200) => send(response, status, { "Content-Type": "text/html; charset=utf-8" }, text);
const go = (response, to, headers) => send(response, 303, { Location: to, ...headers });

const routes = {
  // The form renews a session whose access token has ended, and goes on to `next` by itself.
  "GET /": (request, response) =>
    html(response, page("Portal", `<doorcode-login tenant="${TENANT}" api="" next="/account" autofocus>This page needs JavaScript.</doorcode-login>
<p><a href="/login">Log in on doorcode's page instead</a></p>`)),

  async "GET /account"(request, response) {
    const claims = await customer(request);
    if (!claims) return go(response, "/");
    const since = new Date(claims.auth_time * 1000).toISOString();
    const out = cookie(request, "portal_session")
      ? '<form method="post" action="/logout"><button>Sign out</button></form>'
      : `<doorcode-login tenant="${TENANT}" api=""></doorcode-login>`;
    html(response, page("Your account", `<p>Customer <b id="customer">${claims.sub}</b>, signed in since ${since}.</p>\n${out}`));
  },

  async "GET /login"(request, response) {
    const { url, state, verifier } = await hostedLogin(DOORCODE, TENANT, `${HOME}/callback`);
    if (begun.size >= 1000) begun.delete(begun.keys().next().value);
    begun.set(state, verifier);
    // Bound to this browser: a stranger's link with a state of his own is not taken (login CSRF).
    go(response, url, { "Set-Cookie": `portal_state=${state}; Max-Age=900; Path=/; HttpOnly; SameSite=Lax` });
  },

  async "GET /callback"(request, response) {
    const query = new URL(request.url, HOME).searchParams;
    const state = query.get("state") ?? "";
    const verifier = begun.get(state);
    begun.delete(state);
    if (!verifier || cookie(request, "portal_state") !== state) {
      return html(response, page("Please try again", "<p>This login was not begun here.</p>\n<a href=\"/\">Log in</a>"), 400);
    }
    const client = new Doorcode({ tenant: TENANT, api: DOORCODE, cookies: false });
    await client.exchange(query.get("code") ?? "", verifier);
    const id = randomUUID();
    sessions.set(id, client);
    client.addEventListener("expired", () => sessions.delete(id));
    go(response, "/account", { "Set-Cookie": `portal_session=${id}; Path=/; HttpOnly; SameSite=Lax` }); // with https also `Secure`
  },

  async "POST /logout"(request, response) {
    const id = cookie(request, "portal_session");
    if (request.headers["sec-fetch-site"] !== "same-origin") return send(response, 403, {});
    await sessions.get(id)?.logout();
    sessions.delete(id);
    go(response, "/", { "Set-Cookie": "portal_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax" });
  },
};

// ---- the server

/** As nginx would: everything as it came, `Host`, `Origin`, `Sec-Fetch-Site` and `Cookie` too. */
function pass(request, response) {
  const headers = { ...request.headers, "x-forwarded-for": request.socket.remoteAddress };
  const onward = http.request(DOORCODE + request.url, { method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(response);
  });
  onward.on("error", () => response.headersSent || send(response, 502, {}, `doorcode does not answer at ${DOORCODE}: start ./bin/dev`));
  request.pipe(onward);
}

http
  .createServer(async (request, response) => {
    const { pathname } = new URL(request.url, HOME);
    if (pathname.startsWith("/v1/customer-auth/") || pathname === "/doorcode-login.js") return pass(request, response);
    const route = routes[`${request.method} ${pathname}`];
    if (!route) return send(response, 404, {}, "Not Found");
    try {
      await route(request, response);
    } catch (error) {
      console.error(error);
      html(response, page("Please try again", `<p>The login did not work.</p>\n<a href="/">Log in</a>`), 502);
    }
  })
  .listen(Number(PORT), "localhost", () => console.log(`ready: ${HOME}`));
