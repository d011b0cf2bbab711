//! The device cookie: proves that a browser has logged in before, to addresses of one tenant.
//!
//! base64url(version, entries, MAC); an entry is a keyed tag of the address and when its login was. It is no login: all
//! it gains is the known clients' lane, which has budgets of its own (OWASP "device cookies"). A forged one gains
//! nothing, a stolen one that lane. There is one known lane per account, not one per cookie.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorcode_domain::{AddressKey, MacKey, Micros, TenantId};

const VERSION: u8 = 1;
/// Addresses per browser; the oldest goes.
const ENTRIES: usize = 8;
const ENTRY: usize = 16;
const MAC: usize = 16;

/// A cookie that is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceCookie {
    /// Newest first.
    entries: Vec<([u8; 8], Micros)>,
}

impl DeviceCookie {
    /// This tenant's among what was presented, by its tag, if it is ours; else an empty cookie. A browser may send any
    /// number of other tenants'.
    pub(crate) fn read(key: &MacKey, tenant: TenantId, presented: &[(String, String)]) -> Self {
        let tag = tenant.cookie_tag();
        let of_tenant = presented.iter().find(|(of, _)| *of == tag);
        of_tenant.and_then(|(_, text)| Self::decode(key, tenant, text)).unwrap_or_default()
    }

    pub(crate) fn decode(key: &MacKey, tenant: TenantId, text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (body, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC)?)?;
        let (version, entries) = body.split_first()?;
        let expected = mac_of(key, tenant, body);
        let ours = aws_lc_rs::constant_time::verify_slices_are_equal(&expected, mac).is_ok();
        if !ours || *version != VERSION || entries.len() % ENTRY != 0 || entries.len() > ENTRIES * ENTRY {
            return None;
        }
        let entries = entries
            .chunks_exact(ENTRY)
            .filter_map(|entry| {
                let (tag, since) = entry.split_at(8);
                Some((tag.try_into().ok()?, Micros::from_be_bytes(since.try_into().ok()?)))
            })
            .collect();
        Some(Self { entries })
    }

    /// When this browser logged in to that address; 0 if it never did.
    pub(crate) fn since(&self, key: &MacKey, tenant: TenantId, address: AddressKey) -> Micros {
        let tag = tag_of(key, tenant, address);
        self.entries.iter().find(|entry| entry.0 == tag).map_or(0, |entry| entry.1)
    }

    /// The cookie after a login to that address.
    pub(crate) fn with(
        mut self,
        key: &MacKey,
        tenant: TenantId,
        address: AddressKey,
        now_us: Micros,
    ) -> Self {
        let tag = tag_of(key, tenant, address);
        self.entries.retain(|entry| entry.0 != tag);
        self.entries.insert(0, (tag, now_us));
        self.entries.truncate(ENTRIES);
        self
    }

    pub(crate) fn encode(&self, key: &MacKey, tenant: TenantId) -> String {
        let mut bytes = vec![VERSION];
        for (tag, since) in &self.entries {
            bytes.extend(tag);
            bytes.extend(since.to_be_bytes());
        }
        let mac = mac_of(key, tenant, &bytes);
        bytes.extend(mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn mac_of(key: &MacKey, tenant: TenantId, body: &[u8]) -> [u8; MAC] {
    key.mac128(&[b"device", tenant.0.as_bytes(), body])
}

fn tag_of(key: &MacKey, tenant: TenantId, address: AddressKey) -> [u8; 8] {
    let mac = key.mac128(&[b"device address", tenant.0.as_bytes(), address.0.as_bytes()]);
    let mut tag = [0; 8];
    tag.copy_from_slice(&mac[..8]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use zeroize::Zeroizing;

    fn key(byte: u8) -> MacKey {
        MacKey::new(&Zeroizing::new(vec![byte; 32])).unwrap()
    }

    fn address(n: u128) -> AddressKey {
        AddressKey(Uuid::from_u128(n))
    }

    const T: TenantId = TenantId(Uuid::from_u128(7));

    fn sent(tenant: TenantId, value: &str) -> Vec<(String, String)> {
        vec![(tenant.cookie_tag(), value.to_owned())]
    }

    /// L1: a browser that has logged in at many tenants is known at each of them.
    #[test]
    fn other_tenants_cookies_are_in_nobodys_way() {
        let (key, tenants) = (key(1), (1..=40).map(|n| TenantId(Uuid::from_u128(n))));
        let cookie = |tenant| DeviceCookie::default().with(&key, tenant, address(1), 5).encode(&key, tenant);
        let all: Vec<_> = tenants.clone().flat_map(|tenant| sent(tenant, &cookie(tenant))).collect();
        for tenant in tenants {
            assert_eq!(DeviceCookie::read(&key, tenant, &all).since(&key, tenant, address(1)), 5);
        }
    }

    #[test]
    fn remembers_eight_addresses_newest_first() {
        let key = key(1);
        let cookie = (1..=9).fold(DeviceCookie::default(), |c, n| c.with(&key, T, address(n), n as i64));
        let read = DeviceCookie::read(&key, T, &sent(T, &cookie.encode(&key, T)));
        assert_eq!(read, cookie);
        assert_eq!((read.since(&key, T, address(1)), read.since(&key, T, address(9))), (0, 9));
        assert!(cookie.encode(&key, T).len() < 256, "F4");
    }

    /// L1: neither another tenant's cookie nor a made-up or changed one opens the lane.
    #[test]
    fn only_ours_counts() {
        let cookie = DeviceCookie::default().with(&key(1), T, address(1), 5).encode(&key(1), T);
        let since = |key: &MacKey, tenant, text: &str| {
            DeviceCookie::read(key, tenant, &sent(tenant, text)).since(key, tenant, address(1))
        };
        assert_eq!(since(&key(1), T, &cookie), 5);
        assert_eq!(since(&key(2), T, &cookie), 0);
        assert_eq!(since(&key(1), TenantId(Uuid::from_u128(8)), &cookie), 0);
        for at in 0..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(since(&key(1), T, &changed), 0, "position {at}");
        }
        assert_eq!(since(&key(1), T, ""), 0);
    }
}
