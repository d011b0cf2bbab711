//! The portal's cookies: one set per tenant in a browser, bound to this very host, unreadable to scripts.
//!
//! `__Host-` makes the browser refuse them without `Secure` and `Path=/` or with `Domain`: no sister host can plant one.

use doorcode_actors::Login;
use doorcode_domain::{RefreshToken, TenantId};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use std::fmt::{self, Write};
use warp::reply::Response;
use zeroize::Zeroizing;

const ACCESS: &str = "__Host-portal_access_";
const REFRESH: &str = "__Host-portal_refresh_";
const DEVICE: &str = "__Host-portal_device_";
/// As long as browsers allow at most, 400 days, less some (F5): whether it still counts is judged by the service.
const DEVICE_LIFE_S: i64 = 390 * 86_400;
/// The first half of a cookie's name says what it is, this one whose; see [`TenantId::cookie_tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag([u8; TAG]);

/// Characters of a tag.
const TAG: usize = 10;

impl Tag {
    /// A tenant's.
    pub(crate) fn of(tenant: TenantId) -> Self {
        Self::read(&tenant.cookie_tag()).unwrap_or(Self([b'0'; TAG]))
    }

    fn read(text: &str) -> Option<Self> {
        let bytes: [u8; TAG] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).then_some(Self(bytes))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| f.write_char(char::from(*byte)))
    }
}

/// The portal cookies that came along.
#[derive(Clone, Default)]
pub(crate) struct PortalCookies {
    /// Access tokens.
    pub access: TaggedCookies,
    /// Refresh tokens.
    pub refresh: TaggedCookies,
    /// The device cookies of whatever tenants: tag, value.
    pub device: Vec<(String, String)>,
}

impl fmt::Debug for PortalCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access, refresh, device } = self;
        write!(f, "PortalCookies({access:?}, {refresh:?}, {} devices)", device.len())
    }
}

/// The cookies of one kind, each of another tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaggedCookies(Vec<TaggedCookie>);

/// A token and the tag of the tenant whose cookie it came in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TaggedCookie {
    /// Whose.
    pub tag: Tag,
    /// The token.
    pub token: Zeroizing<String>,
}

impl fmt::Debug for TaggedCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaggedCookie({}, redacted)", self.tag)
    }
}

impl PortalCookies {
    /// Reads the `Cookie` lines. What is not ours is skipped; the first of two cookies of one name counts.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut cookies = Self::default();
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        for (name, value) in
            lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
        {
            if value.is_empty() {
            } else if let Some(tag) = tag(name, REFRESH) {
                // a token in another tenant's cookie is nobody's
                if RefreshToken::claimed_tenant(value).is_none_or(|tenant| Tag::of(tenant) == tag) {
                    cookies.refresh.add(tag, value);
                }
            } else if let Some(tag) = tag(name, ACCESS) {
                cookies.access.add(tag, value);
            } else if let Some(tag) = tag(name, DEVICE) {
                cookies.device.push((tag.to_string(), value.to_owned()));
            }
        }
        cookies
    }
}

impl TaggedCookies {
    fn add(&mut self, tag: Tag, value: &str) {
        if self.of_tag(tag).is_none() {
            self.0.push(TaggedCookie { tag, token: Zeroizing::new(value.to_owned()) });
        }
    }

    /// A tenant's.
    pub(crate) fn of_tag(&self, tag: Tag) -> Option<&TaggedCookie> {
        self.0.iter().find(|cookie| cookie.tag == tag)
    }

    /// The one, if there is exactly one.
    pub(crate) fn only(&self) -> Option<&TaggedCookie> {
        match self.0.as_slice() {
            [cookie] => Some(cookie),
            _ => None,
        }
    }

    /// The one that holds this token.
    pub(crate) fn holding(&self, token: &str) -> Option<&TaggedCookie> {
        self.0.iter().find(|cookie| cookie.token.as_str() == token)
    }
}

fn tag(name: &str, prefix: &str) -> Option<Tag> {
    Tag::read(name.strip_prefix(prefix)?)
}

/// Sets the cookies of a login or refresh.
pub(crate) fn set(response: &mut Response, login: &Login) {
    let tag = Tag::of(login.tenant_id);
    append(response, ACCESS, tag, &login.access_token, login.expires_in_s, "Lax");
    append(response, REFRESH, tag, &login.refresh_token, login.refresh_life_s, "Strict");
    if let Some(device) = &login.device_cookie {
        set_device(response, login.tenant_id, device);
    }
}

/// Sets the device cookie alone: of a login whose session is another host's.
pub(crate) fn set_device(response: &mut Response, tenant: TenantId, device: &str) {
    append(response, DEVICE, Tag::of(tenant), device, DEVICE_LIFE_S, "Strict");
}

/// Clears a tenant's session cookies. The device cookie stays: it holds no session, and without it the next login from
/// this browser would stand in the strangers' queue.
pub(crate) fn clear(response: &mut Response, tag: Tag) {
    append(response, ACCESS, tag, "", 0, "Lax");
    append(response, REFRESH, tag, "", 0, "Strict");
}

fn append(response: &mut Response, prefix: &str, tag: Tag, value: &str, max_age_s: i64, same_site: &str) {
    let max_age = max_age_s.max(0);
    let line =
        format!("{prefix}{tag}={value}; Max-Age={max_age}; Path=/; Secure; HttpOnly; SameSite={same_site}");
    match HeaderValue::from_str(&line) {
        Ok(mut line) => {
            line.set_sensitive(true);
            response.headers_mut().append(SET_COOKIE, line);
        }
        Err(_) => tracing::error!(cookie = prefix, "a token of ours does not fit a cookie"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorcode_domain::CustomerId;
    use uuid::Uuid;

    const TAG_A: &str = "0123456789";
    const TAG_B: &str = "abcdefabcd";

    fn read(lines: &[&str]) -> PortalCookies {
        let lines = lines.iter().map(|line| (COOKIE, HeaderValue::from_str(line).unwrap()));
        PortalCookies::read(&lines.collect())
    }

    fn login(access: &str) -> Login {
        Login {
            access_token: access.to_owned(),
            refresh_token: zeroize::Zeroizing::new("dcr_x".to_owned()),
            customer_id: CustomerId(Uuid::from_u128(1)),
            tenant_id: TenantId(Uuid::from_u128(2)),
            expires_in_s: 3_600,
            refresh_life_s: 604_800,
            device_cookie: Some("device".to_owned()),
        }
    }

    fn set_cookies(response: &Response) -> Vec<&str> {
        response.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
    }

    /// A token that somebody logs by accident is not in the log.
    #[test]
    fn no_token_is_shown() {
        let cookies = read(&[&format!("__Host-portal_refresh_{TAG_A}=dcr_secret")]);
        let shown = format!("{:?} {:?}", cookies.refresh, cookies.refresh.only());
        assert!(shown.contains(TAG_A) && !shown.contains("dcr_secret"), "{shown}");
    }

    /// F2, F3, F5: exact attributes; nothing is for another host or a script.
    #[test]
    fn attributes() {
        let mut response = Response::default();
        set(&mut response, &login("jwt"));
        let tag = TenantId(Uuid::from_u128(2)).cookie_tag();
        assert_eq!(
            set_cookies(&response),
            [
                format!(
                    "__Host-portal_access_{tag}=jwt; Max-Age=3600; Path=/; Secure; HttpOnly; SameSite=Lax"
                ),
                format!(
                    "__Host-portal_refresh_{tag}=dcr_x; Max-Age=604800; Path=/; Secure; HttpOnly; SameSite=Strict"
                ),
                format!(
                    "__Host-portal_device_{tag}=device; Max-Age=33696000; Path=/; Secure; HttpOnly; SameSite=Strict"
                ),
            ]
        );
    }

    /// F5: cleared by the same name, path and attributes.
    #[test]
    fn clearing_matches_setting() {
        let mut response = Response::default();
        clear(&mut response, Tag::read(TAG_A).unwrap());
        assert_eq!(
            set_cookies(&response),
            [
                "__Host-portal_access_0123456789=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax",
                "__Host-portal_refresh_0123456789=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict",
            ]
        );
    }

    /// F4: name and value stay within what browsers keep, also with a large token (RSA signs 512 bytes at most).
    #[test]
    fn cookies_fit() {
        let mut response = Response::default();
        set(&mut response, &login(&"x".repeat(1_800)));
        assert!(set_cookies(&response).iter().all(|line| line.split(';').next().unwrap().len() <= 4_096));
    }

    /// E6: several tenants' cookies in one browser stay apart.
    #[test]
    fn several_tenants() {
        let a = format!("__Host-portal_refresh_{TAG_A}=one; other=x; __Host-portal_device_{TAG_A}=d1");
        let b = format!("__Host-portal_refresh_{TAG_B}=two;__Host-portal_device_{TAG_B}=d2");
        let cookies = read(&[&a, &b]);
        assert_eq!(cookies.refresh.of_tag(Tag::read(TAG_B).unwrap()).unwrap().token.as_str(), "two");
        let device = [(TAG_A, "d1"), (TAG_B, "d2")].map(|(tag, value)| (tag.to_owned(), value.to_owned()));
        assert_eq!(cookies.device, device);
        assert!(cookies.refresh.only().is_none(), "two are not one");
        assert_eq!(read(&[&a]).refresh.only().unwrap().token.as_str(), "one");
        assert_eq!(cookies.refresh.holding("two").unwrap().tag.to_string(), TAG_B);
    }

    /// A11: what a log might print of a request's cookies holds no token.
    #[test]
    fn debug_is_redacted() {
        let line = format!(
            "__Host-portal_refresh_{TAG_A}=dcr_secret; __Host-portal_access_{TAG_A}=jwt_secret; \
             __Host-portal_device_{TAG_A}=device_secret"
        );
        let told = format!("{:?}", read(&[&line]));
        assert!(told.contains(TAG_A) && !told.contains("secret"), "{told}");
    }

    #[test]
    fn junk_is_skipped() {
        for junk in [
            "",
            ";;;",
            "__Host-portal_refresh_=x",
            "__Host-portal_refresh_01234=x",
            "__Host-portal_refresh_0123456789",
            "__Host-portal_refresh_0123456789=",
            "__host-portal_refresh_0123456789=x",
            "portal_refresh_0123456789=x",
            "__Host-portal_refresh_ABCDEFABCD=x",
        ] {
            assert!(read(&[junk]).refresh.0.is_empty(), "{junk:?}");
        }
    }
}
