//! Tenants, customers, sessions and keys as JSON: the same for commands and the admin API. Names that scripts rely on.

use doorcode_actors::directory::{
    AdminKeyEntry, Customer, ExternalId, Locale, Session, Signup, Suppression, Tenant, Webhook,
};
use doorcode_domain::Micros;
use jiff::Timestamp;
use serde_json::{Value, json};

/// `2026-11-23T02:00:00Z`: database time, whole seconds.
pub(crate) fn iso(us: Micros) -> String {
    match Timestamp::from_second(us.div_euclid(1_000_000)) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{us} µs"),
    }
}

pub(crate) fn customer(customer: &Customer) -> Value {
    json!({
        "customer_id": customer.customer_id,
        "external_id": customer.profile.external_id.as_ref().map(ExternalId::as_str),
        "email": customer.email,
        "locale": customer.profile.locale.as_ref().map(Locale::as_str),
        "claims": customer.profile.claims.members(),
        "disabled": customer.disabled,
        "created_at": iso(customer.created_us),
        "updated_at": iso(customer.updated_us),
    })
}

pub(crate) fn tenant(tenant: &Tenant) -> Value {
    json!({
        "tenant_id": tenant.tenant_id,
        "slug": tenant.slug,
        "name": tenant.name,
        "portal_host": tenant.portal_host,
        "step_up": tenant.step_up.as_str(),
        "disabled": tenant.disabled,
        "created_at": iso(tenant.created_us),
        "origins": tenant.origins,
        "return_urls": tenant.return_urls,
        "colour": tenant.colour,
        "token_claims": tenant.token_claims,
        "locale": tenant.locale,
        "reply_to": tenant.reply_to,
        "signup": match &tenant.signup {
            Signup::Domains(domains) => json!(domains),
            word => json!(word.to_string()),
        },
        "mail_providers": tenant.mail_providers,
        "new_device_notice": tenant.new_device_notice,
    })
}

pub(crate) fn suppression(suppression: &Suppression) -> Value {
    json!({
        "email": suppression.email,
        "customer_id": suppression.customer_id,
        "external_id": suppression.external_id,
        "reason": suppression.reason,
        "since": iso(suppression.since_us),
        "until": iso(suppression.until_us),
    })
}

pub(crate) fn session(session: &Session) -> Value {
    json!({
        "session_id": session.session.0,
        "customer_id": session.customer_id,
        "created_at": iso(session.created_us),
        "refreshed_at": iso(session.rotated_us),
        "idle_until": iso(session.idle_until_us),
        "expires_at": iso(session.expires_us),
        "refreshes": session.generation,
    })
}

pub(crate) fn admin_key(key: &AdminKeyEntry) -> Value {
    json!({
        "key_id": key.key_id,
        "name": key.name,
        "scopes": key.scopes,
        "tenant": key.tenant,
        "created_at": iso(key.created_us),
        "expires_at": key.expires_us.map(iso),
        "last_used_at": key.last_used_us.map(iso),
    })
}

/// Never its secret.
pub(crate) fn webhook(webhook: &Webhook) -> Value {
    json!({
        "webhook_id": webhook.webhook_id,
        "tenant": webhook.tenant,
        "url": webhook.url,
        "types": webhook.types,
        "disabled": webhook.disabled.is_some(),
        "disabled_reason": webhook.disabled,
        "created_at": iso(webhook.created_us),
        "last_event_id": webhook.after,
        "failed_tries": webhook.attempts,
        "failing_since": webhook.failing_us.map(iso),
        "last_error": webhook.last_error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso() {
        assert_eq!(iso(1_795_399_200_999_999), "2026-11-23T02:00:00Z");
        assert_eq!(iso(-1), "1969-12-31T23:59:59Z");
    }
}
