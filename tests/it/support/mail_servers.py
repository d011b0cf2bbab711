"""Receivers of mail that are not ours: aiosmtpd over STARTTLS with AUTH, and a hook that checks by standardwebhooks.

mail_servers.py smtp CERTIFICATE KEY          user "doorcode", password "sesame"
mail_servers.py hook SECRET STATUS[,STATUS…]  each answer's status in turn, the last one for ever

The first line on standard output is the port, then one JSON object for each mail."""
import asyncio, email, email.policy, http.server, json, ssl, sys


def tell(**what):
    print(json.dumps(what), flush=True)


class Smtp:
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.original_content, policy=email.policy.SMTP)
        parts = list(mail.walk())
        defects = [repr(d) for p in parts for d in p.defects]
        defects += [repr(d) for p in parts for h in p.values() for d in getattr(h, "defects", ())]
        tell(
            to=envelope.rcpt_tos, sender=envelope.mail_from, header_from=mail["from"].addresses[0].addr_spec,
            subject=mail["subject"], id=mail["message-id"], defects=defects, tls=session.ssl is not None,
            types=[p.get_content_type() for p in parts],
            text=mail.get_body(("plain",)).get_content(), html=mail.get_body(("html",)).get_content(),
        )
        return "250 OK"


async def smtp(certificate, key):
    from aiosmtpd.smtp import SMTP, AuthResult

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    def judge(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"doorcode", b"sesame"), handled=False)

    def make():
        return SMTP(Smtp(), hostname="localhost", tls_context=tls, require_starttls=True, auth_required=True,
                    authenticator=judge, enable_SMTPUTF8=True)

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def hook(secret, statuses):
    from standardwebhooks import Webhook

    statuses = [int(status) for status in statuses.split(",")]

    class Hook(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = Webhook(secret).verify(body.decode(), headers)  # raises where it is not ours
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            tell(id=headers["webhook-id"], status=status, said=said, signatures=headers["webhook-signature"].count("v1,"))
            self.send_response(status)
            if status in (429, 503):
                self.send_header("retry-after", "1")
            if status == 302:
                self.send_header("location", "/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    print(server.server_port, flush=True)
    server.serve_forever()


if sys.argv[1] == "smtp":
    asyncio.run(smtp(*sys.argv[2:]))
else:
    hook(*sys.argv[2:])
