"""A customer logs in, renews and logs out by the client that openapi-python-client makes of openapi/doorcode.json:
journey.py http://127.0.0.1:8080, against `doorcode dev`, with the generated package on PYTHONPATH."""

import re
import sys
import time

from doorcode_client import AuthenticatedClient, Client
from doorcode_client.api.customer_auth import (
    customer_login, customer_logout, customer_programmatic_token, customer_refresh, customer_session)
from doorcode_client.api.development import mailbox
from doorcode_client.models import LoginRequest, RefreshRequest, VerifyRequest

url, email, slug = sys.argv[1], "grace@example.com", "demo"
api = Client(base_url=url)


def mailed():
    for _ in range(100):
        for mail in mailbox.sync(client=api, to=email):
            if found := re.match(r"\d{6}", mail.subject):
                return found[0]
        time.sleep(0.1)
    sys.exit("no mail in 10 s")


answer = customer_login.sync_detailed(client=api, body=LoginRequest(email=email, tenant_slug=slug))
assert answer.status_code == 200, answer
tokens = customer_programmatic_token.sync(client=api, body=VerifyRequest(code=mailed(), email=email, tenant_slug=slug))
known = AuthenticatedClient(base_url=url, token=tokens.access_token)
assert customer_session.sync(client=known).customer_id == tokens.customer_id
renewed = customer_refresh.sync(client=api, body=RefreshRequest(refresh_token=tokens.refresh_token))
body = RefreshRequest(refresh_token=renewed.refresh_token)
assert customer_logout.sync_detailed(client=api, body=body).status_code == 204
ended = customer_refresh.sync_detailed(client=api, body=body)
assert (ended.status_code, ended.parsed.detail) == (401, "Invalid refresh token"), ended
refused = customer_login.sync(client=api, body=LoginRequest(email="nobody", tenant_slug=slug))
assert refused.detail[0].loc == ["body", "email"], refused
