//! The portal's cookies: one set per tenant in a browser, bound to this very host, unreadable to scripts.
//!
//! `__Host-` makes the browser refuse them without `Secure` and `Path=/` or with `Domain`: no sister host can plant one.

use doorcode_actors::Login;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use warp::reply::Response;

const ACCESS: &str = "__Host-portal_access_";
const REFRESH: &str = "__Host-portal_refresh_";
const DEVICE: &str = "__Host-portal_device_";
/// As long as browsers allow at most, 400 days, less some (F5): whether it still counts is judged by the service.
const DEVICE_LIFE_S: i64 = 390 * 86_400;
/// Characters of a tenant's tag.
const TAG: usize = 10;

/// The portal cookies that came along.
#[derive(Clone, Debug, Default)]
pub struct PortalCookies {
    refresh: Vec<RefreshCookie>,
    /// Values of the device cookies, of whatever tenant.
    pub device: Vec<String>,
}

/// A refresh token and the tag of the tenant whose cookie it came in.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshCookie {
    /// See [`doorcode_domain::TenantId::cookie_tag`].
    pub tag: String,
    /// The token.
    pub token: zeroize::Zeroizing<String>,
}

impl std::fmt::Debug for RefreshCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RefreshCookie({}, redacted)", self.tag)
    }
}

impl PortalCookies {
    /// Reads the `Cookie` lines. What is not ours is skipped; the first of two cookies of one name counts.
    pub fn read(headers: &HeaderMap) -> Self {
        let mut cookies = Self::default();
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        for (name, value) in
            lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
        {
            if let Some(tag) = tag(name, REFRESH) {
                if cookies.of_tag(tag).is_none() && !value.is_empty() {
                    let token = zeroize::Zeroizing::new(value.to_owned());
                    cookies.refresh.push(RefreshCookie { tag: tag.to_owned(), token });
                }
            } else if tag(name, DEVICE).is_some() && !value.is_empty() {
                cookies.device.push(value.to_owned());
            }
        }
        cookies
    }

    /// The refresh cookie of a tenant.
    pub fn of_tag(&self, tag: &str) -> Option<&RefreshCookie> {
        self.refresh.iter().find(|cookie| cookie.tag == tag)
    }

    /// The refresh cookie, if there is exactly one.
    pub fn only(&self) -> Option<&RefreshCookie> {
        match self.refresh.as_slice() {
            [cookie] => Some(cookie),
            _ => None,
        }
    }

    /// The refresh cookie that holds this token.
    pub fn holding(&self, token: &str) -> Option<&RefreshCookie> {
        self.refresh.iter().find(|cookie| cookie.token.as_str() == token)
    }
}

fn tag<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    let tag = name.strip_prefix(prefix)?;
    (tag.len() == TAG && tag.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())).then_some(tag)
}

/// Sets the cookies of a login or refresh.
pub fn set(response: &mut Response, login: &Login) {
    let tag = login.tenant_id.cookie_tag();
    append(response, ACCESS, &tag, &login.access_token, login.expires_in_s, "Lax");
    append(response, REFRESH, &tag, &login.refresh_token, login.refresh_life_s, "Strict");
    if let Some(device) = &login.device_cookie {
        append(response, DEVICE, &tag, device, DEVICE_LIFE_S, "Strict");
    }
}

/// Clears a tenant's session cookies. The device cookie stays: it holds no session, and without it the next login from
/// this browser would stand in the strangers' queue.
pub fn clear(response: &mut Response, tag: &str) {
    append(response, ACCESS, tag, "", 0, "Lax");
    append(response, REFRESH, tag, "", 0, "Strict");
}

fn append(response: &mut Response, prefix: &str, tag: &str, value: &str, max_age_s: i64, same_site: &str) {
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
    use doorcode_domain::{CustomerId, TenantId};
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
        clear(&mut response, TAG_A);
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
        assert_eq!(cookies.of_tag(TAG_B).unwrap().token.as_str(), "two");
        assert_eq!(cookies.device, ["d1", "d2"]);
        assert!(cookies.only().is_none(), "two are not one");
        assert_eq!(read(&[&a]).only().unwrap().token.as_str(), "one");
        assert_eq!(cookies.holding("two").unwrap().tag, TAG_B);
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
            assert!(read(&[junk]).refresh.is_empty(), "{junk:?}");
        }
    }
}
