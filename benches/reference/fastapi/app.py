"""The five calls of doorcode as a tuned FastAPI + asyncpg service: what doorcode is compared with.

It does less than doorcode on purpose, so that the comparison favours it: no limits, no budgets beyond five guesses
per code, no mail (codes go to a file as "address code" lines), HS256 instead of ES256, and `/login` reads the
customer. Environment: DATABASE_URL, CODES_DIR. Run it as the benchmark does:

    uvicorn app:app --workers 2 --loop uvloop --http httptools --no-access-log --log-level warning --backlog 2048
"""

import asyncio
import hashlib
import hmac
import os
import secrets
import time
import uuid
from contextlib import asynccontextmanager
from typing import Annotated

import asyncpg
import jwt
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, EmailStr, Field

# Not secrets: this service exists for measurements only, and its workers have to agree.
MAC_KEY = b"mac key of the FastAPI reference"
JWT_KEY = "signing key of the FastAPI reference"
ACCESS_SECONDS, REFRESH_SECONDS, CODE_SECONDS = 3600, 30 * 86400, 600
FLUSH_SECONDS, TENANT_CACHE_SECONDS = 0.3, 30
UNAUTHORIZED = {"WWW-Authenticate": "Bearer"}

SAVE_CODE = f"""
    INSERT INTO login_codes (tenant_id, customer_id, code_mac, expires_at, attempts)
    SELECT $1, id, $3, now() + make_interval(secs => {CODE_SECONDS}), 0 FROM customers WHERE tenant_id = $1 AND email = $2
    ON CONFLICT (tenant_id, customer_id)
        DO UPDATE SET code_mac = excluded.code_mac, expires_at = excluded.expires_at, attempts = 0
    RETURNING true"""
SPEND_GUESS = """
    UPDATE login_codes l SET attempts = attempts + 1 FROM customers c
    WHERE c.tenant_id = $1 AND c.email = $2 AND l.tenant_id = $1 AND l.customer_id = c.id
        AND l.expires_at > now() AND l.attempts < 5
    RETURNING l.customer_id, l.code_mac"""
BEGIN_SESSION = f"""
    WITH used AS (DELETE FROM login_codes WHERE tenant_id = $4 AND customer_id = $3)
    INSERT INTO refresh_tokens (token_hash, family_id, customer_id, tenant_id, expires_at)
    VALUES ($1, $2, $3, $4, now() + make_interval(secs => {REFRESH_SECONDS}))"""
USE_TOKEN = """
    UPDATE refresh_tokens SET used_at = now() WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()
    RETURNING family_id, customer_id, tenant_id"""
NEXT_TOKEN = f"""
    INSERT INTO refresh_tokens (token_hash, family_id, customer_id, tenant_id, expires_at)
    VALUES ($1, $2, $3, $4, now() + make_interval(secs => {REFRESH_SECONDS}))"""
END_FAMILY = """
    DELETE FROM refresh_tokens WHERE family_id = (SELECT family_id FROM refresh_tokens WHERE token_hash = $1)"""


class Login(BaseModel):
    email: EmailStr
    tenant_slug: Annotated[str, Field(min_length=1, max_length=100)]


class Verify(Login):
    code: Annotated[str, Field(min_length=6, max_length=6)]


class Refresh(BaseModel):
    refresh_token: str = ""


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.pool = await asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=8, max_size=16, max_inactive_connection_lifetime=0
    )
    codes = open(os.path.join(os.environ["CODES_DIR"], f"codes.{os.getpid()}.txt"), "a", buffering=1 << 16)

    async def flush():
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            codes.flush()

    app.state.codes = codes
    flushing = asyncio.create_task(flush())
    yield
    flushing.cancel()
    codes.close()
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)
tenants: dict[str, tuple[float, uuid.UUID | None]] = {}


async def tenant_of(connection, slug: str) -> uuid.UUID | None:
    known = tenants.get(slug)
    if known and known[0] > time.monotonic():
        return known[1]
    tenant = await connection.fetchval("SELECT id FROM tenants WHERE slug = $1", slug)
    tenants[slug] = (time.monotonic() + TENANT_CACHE_SECONDS, tenant)
    return tenant


def mac_of(tenant: uuid.UUID, email: str, code: str) -> bytes:
    return hmac.digest(MAC_KEY, tenant.bytes + email.encode() + b"\0" + code.encode(), "sha256")


def hash_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def new_tokens(tenant: uuid.UUID, customer: uuid.UUID) -> dict:
    now = int(time.time())
    claims = {"sub": str(customer), "tenant_id": str(tenant), "iat": now, "exp": now + ACCESS_SECONDS}
    return {
        "access_token": jwt.encode(claims | {"jti": secrets.token_hex(8)}, JWT_KEY, "HS256"),
        "customer_id": str(customer),
        "expires_in": ACCESS_SECONDS,
        "refresh_token": secrets.token_urlsafe(32),
        "tenant_id": str(tenant),
        "token_type": "bearer",
    }


@app.post("/v1/customer-auth/login")
async def login(body: Login, request: Request):
    email, state = body.email.lower(), request.app.state
    async with state.pool.acquire() as connection:
        tenant = await tenant_of(connection, body.tenant_slug)
        if tenant is None:
            return {}
        code = f"{secrets.randbelow(1_000_000):06d}"
        known = await connection.fetchval(SAVE_CODE, tenant, email, mac_of(tenant, email, code))
    if known:
        state.codes.write(f"{email} {code}\n")
    return {}


async def exchange(body: Verify, state) -> dict:
    email = body.email.lower()
    async with state.pool.acquire() as connection:
        tenant = await tenant_of(connection, body.tenant_slug)
        if tenant is None:
            raise HTTPException(401, "Invalid or expired code", UNAUTHORIZED)
        async with connection.transaction():
            # Counts the guess and locks the row, which makes the code usable once.
            row = await connection.fetchrow(SPEND_GUESS, tenant, email)
            right = row is not None and hmac.compare_digest(row["code_mac"], mac_of(tenant, email, body.code))
            if right:
                customer = row["customer_id"]
                tokens = new_tokens(tenant, customer)
                await connection.execute(
                    BEGIN_SESSION, hash_of(tokens["refresh_token"]), uuid.uuid4(), customer, tenant
                )
    if not right:
        raise HTTPException(401, "Invalid or expired code", UNAUTHORIZED)
    return tokens


def set_cookies(response: Response, tokens: dict):
    safe = {"httponly": True, "secure": True, "path": "/"}
    response.set_cookie("__Host-portal_access", tokens["access_token"], ACCESS_SECONDS, samesite="lax", **safe)
    response.set_cookie("__Host-portal_refresh", tokens["refresh_token"], REFRESH_SECONDS, samesite="strict", **safe)


@app.post("/v1/customer-auth/token")
async def token(body: Verify, request: Request):
    return await exchange(body, request.app.state)


@app.post("/v1/customer-auth/verify")
async def verify(body: Verify, request: Request, response: Response):
    tokens = await exchange(body, request.app.state)
    set_cookies(response, tokens)
    return tokens


@app.post("/v1/customer-auth/refresh")
async def refresh(body: Refresh, request: Request, response: Response):
    presented = body.refresh_token or request.cookies.get("__Host-portal_refresh", "")
    old, tokens = hash_of(presented), None
    async with request.app.state.pool.acquire() as connection:
        async with connection.transaction():
            row = await connection.fetchrow(USE_TOKEN, old)
            if row:
                family, customer, tenant = row
                tokens = new_tokens(tenant, customer)
                await connection.execute(NEXT_TOKEN, hash_of(tokens["refresh_token"]), family, customer, tenant)
        if tokens is None:
            await connection.execute(END_FAMILY, old)  # A used token again is theft.
            raise HTTPException(401, "Invalid refresh token", UNAUTHORIZED)
    if not body.refresh_token:
        set_cookies(response, tokens)
    return tokens


@app.post("/v1/customer-auth/logout", status_code=204)
async def logout(body: Refresh, request: Request, response: Response):
    presented = body.refresh_token or request.cookies.get("__Host-portal_refresh", "")
    async with request.app.state.pool.acquire() as connection:
        await connection.execute(END_FAMILY, hash_of(presented))
    for name in ("__Host-portal_access", "__Host-portal_refresh"):
        response.delete_cookie(name, secure=True, httponly=True)
