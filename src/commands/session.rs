//! `doorcode session`

use super::CommandError;
use super::table::{Table, count, iso, write_json};
use crate::cli::SessionCommand;
use crate::views;
use doorcode_actors::Directory;
use doorcode_actors::directory::Session;
use doorcode_domain::SessionKey;
use std::io::{self, Write};
use uuid::Uuid;

pub(super) async fn run(
    directory: &Directory,
    command: SessionCommand,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    match command {
        SessionCommand::List { tenant, email, json } => {
            write_list(&directory.sessions(&tenant, &email).await?, json, out)?;
        }
        SessionCommand::Revoke { tenant, whom } => match Uuid::try_parse(&whom) {
            Ok(id) => {
                directory.revoke_session(&tenant, SessionKey(id)).await?;
                writeln!(out, "ended session {id}")?;
            }
            Err(_) => {
                let ended = directory.revoke_sessions(&tenant, &whom).await?;
                let sessions = count(ended.sessions.unsigned_abs(), "session");
                writeln!(out, "ended {sessions} of {whom}; its devices are no longer known")?;
            }
        },
    }
    Ok(())
}

fn write_list(sessions: &[Session], json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        return write_json(&sessions.iter().map(views::session).collect(), out);
    }
    let mut table =
        Table::new(["SESSION ID", "CREATED", "LAST REFRESH", "IDLE UNTIL", "EXPIRES", "REFRESHES"]);
    for session in sessions {
        table.row([
            session.session.0.to_string(),
            iso(session.created_us),
            iso(session.rotated_us),
            iso(session.idle_until_us),
            iso(session.expires_us),
            session.generation.to_string(),
        ]);
    }
    table.write("no live sessions", out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorcode_domain::CustomerId;
    use serde_json::{Value, json};

    #[test]
    fn a_listing_is_a_table_or_an_array() {
        let session = Session {
            session: SessionKey(Uuid::from_u128(5)),
            customer_id: CustomerId(Uuid::from_u128(1)),
            created_us: 1_795_399_200_000_000,
            rotated_us: 1_795_399_260_000_000,
            idle_until_us: 1_795_399_320_000_000,
            expires_us: 1_795_399_380_000_000,
            generation: 4,
        };
        let mut out = Vec::new();
        write_list(std::slice::from_ref(&session), false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("2026-11-23T02:01:00Z  2026-11-23T02:02:00Z  2026-11-23T02:03:00Z  4\n"),
            "{text}"
        );
        let mut out = Vec::new();
        write_list(&[session], true, &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            (&value[0]["refreshes"], &value[0]["expires_at"]),
            (&json!(4), &json!("2026-11-23T02:03:00Z"))
        );
    }
}
