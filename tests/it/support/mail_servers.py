"""Receivers of mail that are not ours: aiosmtpd and Postfix over STARTTLS with AUTH, and a hook that checks by standardwebhooks.

mail_servers.py smtp CERTIFICATE KEY DIR RSA          user "doorcode", password "sesame"
mail_servers.py postfix CERTIFICATE KEY DIR ED25519   the same; as root; has mailboxes for user0@example.com, user1@example.com, …
mail_servers.py hook SECRET STATUS[,STATUS…]  each answer's status in turn, the last one for ever

Mails are signed (DKIM) by the key that is made in DIR/dkim.pem, of the selector "one". The first line on standard output is the port, then one JSON object for each mail."""
import asyncio, base64, email, email.policy, http.server, json, os, pathlib, pwd, socket, ssl, subprocess, sys, time


def tell(**what):
    print(json.dumps(what), flush=True)


def make_key(folder, kind):
    """A key for doorcode, and its record of the DNS."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    key = rsa.generate_private_key(65537, 2048) if kind == "RSA" else ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    (folder / "dkim.pem").write_bytes(private)
    public = key.public_key()
    if kind == "RSA":
        public = public.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    else:
        public = public.public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    return b"v=DKIM1; k=%s; p=%s" % (kind.lower().encode(), base64.b64encode(public))


def is_signed(content, record):
    """Whether the signature holds, and no longer when the subject, the text, or a second sender is another."""
    import dkim

    def holds(content):
        asked = {b"one._domainkey.doorcode.internal.": record}
        return dkim.verify(content, dnsfunc=lambda name, timeout=5: asked.get(name, b""))

    others = [
        content.replace(b"Subject: ", b"Subject: 000000 "),
        content + b"one more\r\n",
        b"From: evil@example.com\r\n" + content,
    ]
    return holds(content) and not any(holds(other) for other in others)


def tell_of(content, to, sender, tls, record):
    mail = email.message_from_bytes(content, policy=email.policy.SMTP)
    parts = list(mail.walk())
    defects = [repr(d) for p in parts for d in p.defects]
    defects += [repr(d) for p in parts for h in p.values() for d in getattr(h, "defects", ())]
    tell(
        to=to, sender=sender, header_from=mail["from"].addresses[0].addr_spec,
        subject=mail["subject"], id=mail["message-id"], defects=defects, tls=tls, signed=is_signed(content, record),
        types=[p.get_content_type() for p in parts],
        text=mail.get_body(("plain",)).get_content(), html=mail.get_body(("html",)).get_content(),
    )


class Smtp:
    def __init__(self, record):
        self.record = record

    async def handle_DATA(self, server, session, envelope):
        tell_of(envelope.original_content, envelope.rcpt_tos, envelope.mail_from, session.ssl is not None, self.record)
        return "250 OK"


async def smtp(certificate, key, folder, kind):
    from aiosmtpd.smtp import SMTP, AuthResult

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    def judge(server, session, envelope, mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"doorcode", b"sesame"), handled=False)

    folder = pathlib.Path(folder)
    folder.mkdir()
    handler = Smtp(make_key(folder, kind))

    def make():
        return SMTP(handler, hostname="localhost", tls_context=tls, require_starttls=True, auth_required=True,
                    authenticator=judge, enable_SMTPUTF8=True)

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
SETTINGS = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = localhost
mydestination =
inet_protocols = ipv4
virtual_mailbox_domains = example.com
virtual_mailbox_base = {folder}/mails
virtual_mailbox_maps = regexp:{folder}/people
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_minimum_uid = 1
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = localhost
cyrus_sasl_config_path = {folder}/sasl
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""
PASSWORDS = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {folder}/passwords\nmech_list: PLAIN LOGIN\n"


def postfix(certificate, key, folder, kind):
    """A whole Postfix of its own, not the machine's. It ends with the PID namespace that it is started in."""
    folder, uid = pathlib.Path(folder), pwd.getpwnam("postfix").pw_uid
    folder.mkdir(mode=0o755)
    record = make_key(folder, kind)
    for name in ("mails", "data", "queue", "sasl"):
        (folder / name).mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    values = dict(folder=folder, port=port, uid=uid, certificate=certificate, key=key)
    files = {"main.cf": SETTINGS, "master.cf": SERVICES, "sasl/smtpd.conf": PASSWORDS, "people": "/^user[0-9]+@/ all/\n"}
    for name, content in files.items():
        (folder / name).write_text(content.format(**values))
    subprocess.run(["saslpasswd2", "-c", "-p", "-f", folder / "passwords", "-u", "localhost", "doorcode"],
                   input=b"sesame", check=True)
    for name in ("mails", "data", "passwords"):
        os.chown(folder / name, uid, -1)
    subprocess.Popen(["postfix", "-c", folder, "start-fg"], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    else:
        sys.exit("Postfix does not start: " + (folder / "log").read_text())
    print(port, flush=True)
    while True:
        for file in (folder / "mails").glob("all/new/*"):
            content = file.read_bytes()
            file.unlink()
            added = email.message_from_bytes(content)
            # "ESMTPSA": with TLS and AUTH
            tls = "SMTPSA id" in added["received"]
            tell_of(content, [added["x-original-to"]], added["return-path"].strip("<>"), tls, record)
        time.sleep(0.05)


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
elif sys.argv[1] == "postfix":
    postfix(*sys.argv[2:])
else:
    hook(*sys.argv[2:])
