//! The one table of the admin API. Routing, scopes, metrics and the documentation's tests read it.

use doorcode_actors::directory::Scope;
use http::Method;

/// One method of one path.
#[derive(Debug)]
pub struct AdminRoute {
    /// Nothing else is answered by it, not even `HEAD`.
    pub method: Method,
    /// `{name}` stands for one segment, which is percent-decoded (RFC 3986).
    pub path: &'static str,
    /// Label of metrics and logs.
    pub name: &'static str,
    /// What a key must be allowed to.
    pub scope: Scope,
    /// What it does.
    pub(super) action: Action,
}

/// What can be done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Action {
    ListTenants,
    AddTenant,
    ShowTenant,
    ChangeTenant,
    ListCustomers,
    ShowCustomer,
    PutCustomer,
    ChangeCustomer,
    DeleteCustomer,
    PutCustomers,
    ExportCustomer,
    IssueCode,
    ListSessions,
    RevokeSessions,
    RevokeSession,
    ListSuppressions,
    LiftSuppression,
    ListKeys,
    ListEvents,
    ListWebhooks,
    AddWebhook,
    ShowWebhook,
    ChangeWebhook,
    DeleteWebhook,
    ReplaceWebhookSecret,
    ReplayWebhook,
}

const fn route(
    method: Method,
    path: &'static str,
    name: &'static str,
    scope: Scope,
    action: Action,
) -> AdminRoute {
    AdminRoute { method, path, name, scope, action }
}

const TENANTS: &str = "/v1/admin/tenants";
const TENANT: &str = "/v1/admin/tenants/{slug}";
const CUSTOMERS: &str = "/v1/admin/tenants/{slug}/customers";
const CUSTOMER: &str = "/v1/admin/tenants/{slug}/customers/{external_id}";
const BATCH: &str = "/v1/admin/tenants/{slug}/customers:batch";
const EXPORT: &str = "/v1/admin/tenants/{slug}/customers/{external_id}/export";
const CODES: &str = "/v1/admin/tenants/{slug}/customers/{external_id}/codes";
const SESSIONS: &str = "/v1/admin/tenants/{slug}/customers/{external_id}/sessions";
const SUPPRESSIONS: &str = "/v1/admin/tenants/{slug}/suppressions";
const SUPPRESSION: &str = "/v1/admin/tenants/{slug}/suppressions/{email}";
const SESSION: &str = "/v1/admin/tenants/{slug}/sessions/{session_id}";
const WEBHOOKS: &str = "/v1/admin/webhooks";
const WEBHOOK: &str = "/v1/admin/webhooks/{webhook_id}";
const WEBHOOK_SECRET: &str = "/v1/admin/webhooks/{webhook_id}/secret";
const WEBHOOK_REPLAY: &str = "/v1/admin/webhooks/{webhook_id}/replay";

/// All of it.
pub static ADMIN: [AdminRoute; 26] = [
    route(Method::GET, TENANTS, "admin_list_tenants", Scope::Read, Action::ListTenants),
    route(Method::POST, TENANTS, "admin_add_tenant", Scope::Write, Action::AddTenant),
    route(Method::GET, TENANT, "admin_show_tenant", Scope::Read, Action::ShowTenant),
    route(Method::PATCH, TENANT, "admin_change_tenant", Scope::Write, Action::ChangeTenant),
    route(Method::GET, CUSTOMERS, "admin_list_customers", Scope::Read, Action::ListCustomers),
    route(Method::GET, CUSTOMER, "admin_show_customer", Scope::Read, Action::ShowCustomer),
    route(Method::PUT, CUSTOMER, "admin_put_customer", Scope::Write, Action::PutCustomer),
    route(Method::PATCH, CUSTOMER, "admin_change_customer", Scope::Write, Action::ChangeCustomer),
    route(Method::DELETE, CUSTOMER, "admin_delete_customer", Scope::Write, Action::DeleteCustomer),
    route(Method::POST, BATCH, "admin_put_customers", Scope::Write, Action::PutCustomers),
    route(Method::GET, EXPORT, "admin_export_customer", Scope::Read, Action::ExportCustomer),
    route(Method::POST, CODES, "admin_issue_code", Scope::IssueCodes, Action::IssueCode),
    route(Method::GET, SESSIONS, "admin_list_sessions", Scope::Read, Action::ListSessions),
    route(Method::DELETE, SESSIONS, "admin_revoke_sessions", Scope::Write, Action::RevokeSessions),
    route(Method::DELETE, SESSION, "admin_revoke_session", Scope::Write, Action::RevokeSession),
    route(Method::GET, SUPPRESSIONS, "admin_list_suppressions", Scope::Read, Action::ListSuppressions),
    route(Method::DELETE, SUPPRESSION, "admin_lift_suppression", Scope::Write, Action::LiftSuppression),
    route(Method::GET, "/v1/admin/keys", "admin_list_keys", Scope::Read, Action::ListKeys),
    route(Method::GET, "/v1/admin/events", "admin_list_events", Scope::Read, Action::ListEvents),
    route(Method::GET, WEBHOOKS, "admin_list_webhooks", Scope::Read, Action::ListWebhooks),
    route(Method::POST, WEBHOOKS, "admin_add_webhook", Scope::Write, Action::AddWebhook),
    route(Method::GET, WEBHOOK, "admin_show_webhook", Scope::Read, Action::ShowWebhook),
    route(Method::PATCH, WEBHOOK, "admin_change_webhook", Scope::Write, Action::ChangeWebhook),
    route(Method::DELETE, WEBHOOK, "admin_delete_webhook", Scope::Write, Action::DeleteWebhook),
    route(
        Method::POST,
        WEBHOOK_SECRET,
        "admin_replace_webhook_secret",
        Scope::Write,
        Action::ReplaceWebhookSecret,
    ),
    route(Method::POST, WEBHOOK_REPLAY, "admin_replay_webhook", Scope::Write, Action::ReplayWebhook),
];

/// What a path and a method come to.
pub(super) enum Found {
    /// The route, and what stands for its names, in their order.
    Route(&'static AdminRoute, Vec<String>),
    /// The path has these methods only.
    Methods(Vec<&'static str>),
    Nothing,
}

pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut methods = Vec::new();
    for route in &ADMIN {
        let Some(names) = names(route.path, path) else { continue };
        if route.method == *method {
            return Found::Route(route, names);
        }
        methods.push(route.method.as_str());
    }
    if methods.is_empty() { Found::Nothing } else { Found::Methods(methods) }
}

fn names(template: &str, path: &str) -> Option<Vec<String>> {
    let (wanted, given) = (template.split('/'), path.split('/'));
    if wanted.clone().count() != given.clone().count() {
        return None;
    }
    let mut names = Vec::new();
    for (wanted, given) in wanted.zip(given) {
        if wanted.starts_with('{') {
            let name = percent_encoding::percent_decode_str(given).decode_utf8().ok()?;
            names.push(Some(name.into_owned()).filter(|name| !name.is_empty())?);
        } else if wanted != given {
            return None;
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: Method, path: &str) -> Option<(&'static str, Vec<String>)> {
        match find(&method, path) {
            Found::Route(route, names) => Some((route.name, names)),
            _ => None,
        }
    }

    #[test]
    fn segments_are_decoded_and_paths_are_exact() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            found(Method::PUT, "/v1/admin/tenants/acme/customers/auth0%7Ca%2Fb"),
            Some(("admin_put_customer", names(&["acme", "auth0|a/b"])))
        );
        assert_eq!(
            found(Method::POST, "/v1/admin/tenants/acme/customers:batch"),
            Some(("admin_put_customers", names(&["acme"])))
        );
        for path in
            ["/v1/admin/tenants/", "/v1/admin/tenants//customers", "/v1/admin/tenants/a/customers/%ff"]
        {
            assert!(found(Method::GET, path).is_none(), "{path}");
        }
        let Found::Methods(methods) = find(&Method::POST, "/v1/admin/tenants/a") else { panic!() };
        assert_eq!(methods, ["GET", "PATCH"]);
    }

    #[test]
    fn routes_are_unique() {
        let all = || ADMIN.iter().map(|route| (route.method.as_str(), route.path));
        assert_eq!(all().collect::<std::collections::HashSet<_>>().len(), ADMIN.len());
    }
}
