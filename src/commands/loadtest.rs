//! `doorcode loadtest`

use super::CommandError;
use login_loadtest::{Hints, LoadArgs, Paths, Profile, Progress};
use std::io::Write;

/// What the driver needs to know about doorcode.
const PROFILE: Profile = Profile {
    paths: Paths {
        login: "/v1/customer-auth/login",
        verify: "/v1/customer-auth/verify",
        refresh: "/v1/customer-auth/refresh",
        logout: "/v1/customer-auth/logout",
        mailbox: "/dev/mailbox.json?to=",
    },
    hints: Hints {
        unreachable: "start the service (`doorcode dev`) or name it with --target",
        no_mail: "no mail came: is the address a customer's? its mails may be spent (5, then one per 4.8 h; none \
                  within a minute of an unused code): use another --email-start, or switch limits.address off for \
                  load runs",
        statuses: &[
            (429, "429 is a limit at work: switch limits.client and limits.tenant off for load runs"),
            (404, "404: the mailbox exists only in `doorcode dev`; is --target its public listener?"),
            (503, "503: the service sheds load; fewer --connections show what it serves"),
        ],
    },
};

pub(super) async fn run(args: LoadArgs, out: &mut dyn Write) -> Result<(), CommandError> {
    let json = args.json;
    let options = args.into_options(PROFILE).map_err(|error| CommandError::failed(error.to_string(), ""))?;
    // the driver has a runtime of its own
    let report = tokio::task::spawn_blocking(move || login_loadtest::run(options, Progress::stderr()))
        .await
        .map_err(|error| CommandError::failed(error.to_string(), ""))?
        .map_err(|error| CommandError::failed(error.to_string(), ""))?;
    if json {
        report.write_json(out)?
    } else {
        report.write_text(out)?
    }
    if report.ok { Ok(()) } else { Err(CommandError::failed("the run was not clean", "the report says why")) }
}
