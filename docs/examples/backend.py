"""A SaaS backend: DOORCODE_KEY=dca_… backend.py http://127.0.0.1:8080 http://127.0.0.1:8081 (needs PyJWT[crypto] and standardwebhooks)"""
import http.server, json, os, queue, secrets, sys, threading, time, urllib.request
import jwt, standardwebhooks

PUBLIC, ADMIN = sys.argv[1], sys.argv[2] + "/v1/admin"
seen, slug, external_id = queue.Queue(), "acme-" + secrets.token_hex(4), "user_42"

def call(method, url, body=None):
    headers = {"content-type": "application/json"}
    if url.startswith(ADMIN):
        headers["authorization"] = "Bearer " + os.environ["DOORCODE_KEY"]
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers, method=method)
    return json.loads(urllib.request.urlopen(request, timeout=10).read() or "null")

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # verify raises, and so answers nothing, if anybody else sent this; an event that was seen before is no harm here
        body = self.rfile.read(int(self.headers["content-length"]))
        seen.put(standardwebhooks.Webhook(webhook["secret"]).verify(body, dict(self.headers)))
        self.send_response(204)
        self.end_headers()

call("POST", f"{ADMIN}/tenants", {"slug": slug, "name": "Acme"})
call("PATCH", f"{ADMIN}/tenants/{slug}", {"token_claims": ["external_id", "claims.plan"]})
call("PUT", f"{ADMIN}/tenants/{slug}/customers/{external_id}", {"email": "ada@acme.example", "claims": {"plan": "pro"}})
server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
webhook = call("POST", f"{ADMIN}/webhooks", {"url": f"http://127.0.0.1:{server.server_port}/", "tenant": slug, "types": ["session.*"]})
code = call("POST", f"{ADMIN}/tenants/{slug}/customers/{external_id}/codes", {})["code"]
tokens = call("POST", f"{PUBLIC}/v1/customer-auth/token", {"email": "ada@acme.example", "tenant_slug": slug, "code": code})
issuer = call("GET", f"{PUBLIC}/.well-known/openid-configuration")
key = jwt.PyJWKClient(issuer["jwks_uri"]).get_signing_key_from_jwt(tokens["access_token"])
audience = f"{issuer['issuer']}/t/{tokens['tenant_id']}"
claims = jwt.decode(tokens["access_token"], key, issuer=issuer["issuer"], audience=audience, algorithms=issuer["id_token_signing_alg_values_supported"])
print("token  ", claims["external_id"], claims["plan"])
call("DELETE", f"{ADMIN}/tenants/{slug}/sessions/{claims['sid']}")
for event in [seen.get(timeout=60), seen.get(timeout=60)]:
    print("webhook", event["type"], event["targets"][0]["id"] == claims["sid"])
for event in call("GET", f"{ADMIN}/events?types=session.*&limit=1000")["items"]:
    if event["tenant_id"] == claims["tenant_id"]:
        print("audit  ", event["type"], event["actor"]["type"])
