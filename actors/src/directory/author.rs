//! On whose behalf a verb is done: the actor and the context of its events.

use super::Directory;
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// Who does it, and from where.
#[derive(Clone, Debug)]
pub struct Author {
    /// JSON: `{"type", "id"}`.
    pub(super) actor: String,
    /// JSON: `{"ip", "user_agent", "request_id"}`; deleted long before its event.
    pub(super) context: Option<String>,
}

impl Author {
    /// Who has the database: a command, a start.
    pub fn command_line() -> Self {
        Self { actor: json!({ "type": "command_line", "id": null }).to_string(), context: None }
    }

    /// A mail provider that reports what became of a mail.
    pub(super) fn mail_provider(name: &str) -> Self {
        Self { actor: json!({ "type": "mail_provider", "id": name }).to_string(), context: None }
    }

    /// Who holds a key of the admin API.
    pub fn admin_key(id: &str, ip: IpAddr, user_agent: Option<&str>, request_id: Uuid) -> Self {
        let user_agent =
            user_agent.map(|text| text.chars().take(200).filter(|c| *c != '\0').collect::<String>());
        let request_id = request_id.simple().to_string();
        Self {
            actor: json!({ "type": "admin_key", "id": id }).to_string(),
            context: Some(
                json!({ "ip": ip, "user_agent": user_agent, "request_id": request_id }).to_string(),
            ),
        }
    }
}

impl Directory {
    /// The same, with this author in every event that it writes.
    pub fn on_behalf_of(&self, author: Author) -> Self {
        Self { author: Arc::new(author), ..self.clone() }
    }
}
