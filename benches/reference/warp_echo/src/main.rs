//! Answers `POST /v1/customer-auth/login` with `{}` once the body has been read as JSON: what warp alone costs.
//!
//! `warp-echo PORT`, on loopback.

use serde::{Deserialize, Serialize};
use warp::Filter;

#[derive(Deserialize)]
struct Login {
    #[serde(rename = "email")]
    _email: String,
    #[serde(rename = "tenant_slug")]
    _tenant_slug: String,
}

#[derive(Serialize)]
struct Empty {}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: warp-echo PORT")?.parse()?;
    let login = warp::post()
        .and(warp::path!("v1" / "customer-auth" / "login"))
        .and(warp::body::content_length_limit(8 * 1024))
        .and(warp::body::json())
        .map(|_: Login| warp::reply::json(&Empty {}));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(warp::serve(login).run(([127, 0, 0, 1], port)));
    Ok(())
}
