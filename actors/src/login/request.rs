//! A login request, and what it writes: pure words in, rows out.

use super::device_cookie::DeviceCookie;
use super::quota::LimitKey;
use super::rng::SecretRng;
use crate::address_id::AddressId;
use crate::keys::Keys;
use crate::mail::note::{Network, Note};
use crate::mail::typed_address;
use crate::store::challenges::{LoginRow, VerifyRow};
use crate::store::tenants::Tenant;
use actor_runtime::RequestId;
use doorcode_domain::{
    AddressKey, Alphabet, ChallengeId, CodeMac, Email, Language, LoginCode, SessionKey, TenantId, TenantSlug,
    TypedCode,
};
use std::net::IpAddr;
use uuid::Uuid;

/// Who asks, for which address: resolved once, before the tenant's issuer hears of it.
pub(crate) struct LoginRequest {
    /// `None`: the slug names no tenant. Such requests do all that others do.
    pub(crate) tenant: Option<Tenant>,
    pub(crate) address: AddressId,
    /// As it was typed.
    pub(crate) email: Email,
    /// Whose limit it counts against.
    pub(crate) limit: LimitKey,
    pub(crate) client: IpAddr,
    pub(crate) language: Option<Language>,
    /// What the caller presented as device cookies; nothing unless it is ours.
    pub(crate) device_cookies: Vec<(String, String)>,
    pub(crate) browser: Option<String>,
}

/// What somebody typed, and the session it would begin.
pub(crate) struct Guess {
    pub(crate) typed: TypedCode,
    pub(crate) session: SessionKey,
    pub(crate) ended: Option<SessionKey>,
}

impl LoginRequest {
    /// What asking for a code writes.
    pub(super) fn login_row(
        &self,
        keys: &Keys,
        rng: &mut SecretRng,
        request: RequestId,
    ) -> Result<LoginRow, getrandom::Error> {
        let AddressId { tenant, key: address } = self.address;
        let challenge = ChallengeId::random(rng.draw()?);
        let mac = |alphabet| {
            LoginCode::derive(&keys.code_derivation, challenge, alphabet).mac(
                &keys.code_mac,
                tenant,
                address,
                alphabet,
            )
        };
        Ok(LoginRow {
            address: self.address,
            challenge,
            digit_mac: mac(Alphabet::Digits),
            base32_mac: mac(Alphabet::Base32),
            device_us: self.device(keys).since(&keys.device, tenant, address),
            client_tag: self.tag(keys, 32, 64),
            network_tag: self.tag(keys, 24, 48),
            step_up: step_up(self.tenant),
            note: Note {
                language: self.language,
                network: Some(Network::of(self.client)),
                typed: match self.signs_up() {
                    true => typed_address::seal(keys, self.address, self.email.as_str()),
                    false => Box::default(),
                },
                request,
            },
        })
    }

    /// What a guess writes.
    pub(super) fn verify_row(&self, keys: &Keys, guess: &Guess) -> VerifyRow {
        let AddressId { tenant, key: address } = self.address;
        let mac = |alphabet| -> Option<CodeMac> {
            Some(guess.typed.read_as(alphabet)?.mac(&keys.code_mac, tenant, address, alphabet))
        };
        VerifyRow {
            address: self.address,
            digit_mac: mac(Alphabet::Digits),
            base32_mac: mac(Alphabet::Base32),
            device_us: self.device(keys).since(&keys.device, tenant, address),
            client_tag: self.tag(keys, 32, 64),
            network_tag: self.tag(keys, 24, 48),
            step_up: step_up(self.tenant),
            session: guess.session,
            ended: guess.ended,
            browser: self.browser.clone(),
            signup: self.signs_up().then(|| (self.email.clone(), Uuid::new_v4())),
        }
    }

    fn signs_up(&self) -> bool {
        self.tenant.is_some_and(|tenant| tenant.signs_up)
    }

    /// The device cookie among what was presented.
    pub(super) fn device(&self, keys: &Keys) -> DeviceCookie {
        DeviceCookie::read(&keys.device, self.address.tenant, &self.device_cookies)
    }

    /// What one caller is: /32 or /64.
    pub(super) fn network(&self) -> IpAddr {
        prefix(self.client)
    }

    /// A keyed tag of the caller's network prefix (so many bits of IPv4, of IPv6), different for each address: no one can
    /// follow a network through the table.
    fn tag(&self, keys: &Keys, v4_bits: usize, v6_bits: usize) -> i64 {
        let prefix: Vec<u8> = match self.client {
            IpAddr::V4(v4) => v4.octets()[..v4_bits / 8].to_vec(),
            IpAddr::V6(v6) => v6.octets()[..v6_bits / 8].to_vec(),
        };
        let address = self.address;
        let mac = keys.client_tag.mac128(&[address.tenant.0.as_bytes(), address.key.0.as_bytes(), &prefix]);
        let mut word = [0; 8];
        word.copy_from_slice(&mac[..8]);
        i64::from_be_bytes(word)
    }
}

/// See `challenges.step_up` in the schema. Slugs that name no tenant are as a tenant by default.
fn step_up(tenant: Option<Tenant>) -> i16 {
    let (may, must) = tenant.map_or((true, false), |t| (t.steps_up, t.tripped));
    2 * i16::from(may) + i16::from(must)
}

/// Whose row a request is about.
pub(crate) fn address_of(keys: &Keys, tenant: Option<Tenant>, slug: &TenantSlug, email: &Email) -> AddressId {
    match tenant {
        Some(tenant) => {
            AddressId { tenant: tenant.id, key: AddressKey::of(&keys.address, tenant.id, email.key()) }
        }
        None => AddressId {
            tenant: TenantId::UNKNOWN,
            key: AddressKey::of_unknown(&keys.address, slug, email.key()),
        },
    }
}

fn prefix(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_is_one_caller() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(prefix(ip("2001:db8::1")), prefix(ip("2001:db8::ffff:1")));
        assert_ne!(prefix(ip("2001:db8::1")), prefix(ip("2001:db8:0:1::1")));
    }
}
