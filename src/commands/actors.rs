//! `doorcode actors` and `doorcode fault`: what runs, what restarts and why; and what then happens, on demand.

use super::CommandError;
use super::ops_client::{base, json, post};
use super::table::{Table, count, write_json};
use crate::cli::{ActorsArgs, FaultArgs};
use crate::config::Config;
use http::StatusCode;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

/// Between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(args: ActorsArgs, config: &Config, out: &mut dyn Write) -> Result<(), CommandError> {
    let url = format!("{}/actors/rows?limit={}", base(args.url, config), args.limit);
    loop {
        let page = json(&url).await?;
        if args.watch {
            // the cursor to the top, and nothing left of the last look
            write!(out, "\x1b[H\x1b[2J")?;
        }
        if args.json {
            write_json(&page, out)?;
        } else {
            show(&page, out)?;
        }
        out.flush()?;
        if !args.watch {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn show(page: &Value, out: &mut dyn Write) -> Result<(), CommandError> {
    let rows = page["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let heading = [
        "ID",
        "ACTOR",
        "STATE",
        "FOR",
        "AT",
        "ALIVE",
        "CHILDREN",
        "DEPTH",
        "PERMITS",
        "HANDLED",
        "RESTARTS",
        "LAST FAILURE",
    ];
    let mut table = Table::new(heading);
    for row in rows {
        table.row(cells(row));
    }
    table.write("no actors", out)?;
    let total = page["total"].as_u64().unwrap_or(0);
    if total > rows.len() as u64 {
        writeln!(out, "the first {} of {}", rows.len(), count(total, "actor"))?;
    }
    Ok(())
}

fn cells(row: &Value) -> [String; 12] {
    let number = |name: &str| row[name].as_u64().unwrap_or(0);
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let kind = text(&row["kind"]);
    let state = text(&row["state"]);
    let lasting = match state.as_str() {
        "busy" => brief(number("busy_ms")),
        "backing_off" => brief(number("backoff_ms")),
        _ => String::new(),
    };
    let alive = match number("alive_ms") {
        0 => String::new(),
        ms => brief(ms),
    };
    let some = |n: u64| if n == 0 { String::new() } else { n.to_string() };
    let failure = &row["last_failure"];
    let last = match failure["at_s"].as_i64() {
        Some(at) => {
            let (when, reason) = (super::table::iso(at * 1_000_000), text(&failure["reason"]));
            format!("{when} {reason}: {} ({} in a row)", text(&failure["why"]), number("failed_in_row"))
        }
        None => String::new(),
    };
    [
        number("id").to_string(),
        row["slug"].as_str().or(row["tenant"].as_str()).map_or(kind.clone(), |whom| format!("{kind}/{whom}")),
        state,
        lasting,
        text(&row["message"]),
        alive,
        some(number("children")),
        number("depth").to_string(),
        match number("permits") {
            0 => String::new(),
            all => format!("{} of {all}", number("permits_in_use")),
        },
        number("handled").to_string(),
        number("restarts").to_string(),
        last,
    ]
}

/// `12 ms`, `3 s`, `4 min`, `5 h`.
fn brief(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

pub(super) async fn fault(args: FaultArgs, config: &Config, out: &mut dyn Write) -> Result<(), CommandError> {
    let url = format!("{}/v1/admin/faults", base(args.url, config));
    let told = json!({ "actor": args.actor, "fault": args.fault, "ms": args.ms });
    match post(&url, &told).await {
        Ok((StatusCode::OK, _)) => Ok(writeln!(out, "{}: {}", args.actor, args.fault)?),
        Ok((StatusCode::NOT_FOUND, _)) => Err(CommandError::failed(
            "this service takes no faults".to_owned(),
            "`doorcode dev` does, and `doorcode serve --allow-faults`",
        )),
        Ok((_, body)) => {
            let why = serde_json::from_str::<Value>(&body).ok();
            let why = why.as_ref().and_then(|body| body["detail"].as_str()).unwrap_or(&body);
            Err(CommandError::failed(why.to_owned(), "`doorcode actors` shows who is there"))
        }
        Err(why) => {
            Err(CommandError::failed(format!("{url}: {why}"), "does it run? --url asks another place"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_an_actor_does_and_how_it_last_failed() {
        let page = json!({ "total": 2, "rows": [{
            "id": 7, "kind": "issuer", "tenant": "6f1c2a9e", "slug": "acme", "state": "backing_off", "backoff_ms": 1500, "depth": 3,
            "permits_in_use": 9, "permits": 4096, "handled": 40, "restarts": 2, "failed_in_row": 2,
            "last_failure": { "at_s": 1_795_399_200, "reason": "panic", "why": "injected" },
        }] });
        let mut out = Vec::new();
        show(&page, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row[..4], ["7", "issuer/acme", "backing_off", "1"]);
        assert!(text.contains(" 9 of 4096 "), "{text}");
        assert!(text.contains("2026-11-23T02:00:00Z panic: injected (2 in a row)"), "{text}");
        assert!(text.ends_with("the first 1 of 2 actors\n"), "{text}");
        assert_eq!(
            [brief(999), brief(119_000), brief(7_199_000), brief(7_200_000)],
            ["999 ms", "119 s", "119 min", "2 h"]
        );
    }
}
