// A customer logs in, renews and logs out by openapi-fetch with the types that openapi-typescript makes of
// openapi/doorcode.json: `npm run journey -- http://127.0.0.1:8080`, against `doorcode dev`.
import createClient from "openapi-fetch";
import type { paths } from "./generated/doorcode.js";

declare const process: { argv: string[] };
const api = createClient<paths>({ baseUrl: process.argv[2] ?? "" });
const [email, tenant_slug] = ["ada@example.com", "demo"];

function expect<T>(got: { data?: T; error?: unknown; response: Response }): T {
  if (!got.response.ok) throw new Error(`${got.response.url}: ${got.response.status} ${JSON.stringify(got.error)}`);
  return got.data as T;
}

async function mailed(): Promise<string> {
  for (let tries = 0; tries < 100; tries++) {
    const [mail] = expect(await api.GET("/dev/mailbox.json", { params: { query: { to: email } } }));
    const code = mail?.subject.match(/^\d{6}/)?.[0];
    if (code) return code;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error("no mail in 10 s");
}

expect(await api.POST("/v1/customer-auth/login", { body: { email, tenant_slug } }));
const tokens = expect(await api.POST("/v1/customer-auth/token", { body: { code: await mailed(), email, tenant_slug } }));
const headers = { Authorization: `Bearer ${tokens.access_token}` };
const session = expect(await api.GET("/v1/customer-auth/session", { headers }));
if (session.customer_id !== tokens.customer_id) throw new Error("another customer's session");
const body = { refresh_token: expect(await api.POST("/v1/customer-auth/refresh", { body: tokens })).refresh_token };
expect(await api.POST("/v1/customer-auth/logout", { body }));
const ended = await api.POST("/v1/customer-auth/refresh", { body });
if (ended.response.status !== 401 || ended.error?.detail === undefined) throw new Error("the session did not end");
const refused = await api.POST("/v1/customer-auth/login", { body: { email: "nobody", tenant_slug } });
if (refused.response.status !== 422) throw new Error("nobody is no address");
