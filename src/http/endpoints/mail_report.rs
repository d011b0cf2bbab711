//! `POST /hooks/mail/{provider}`: a provider reports that an address cannot be reached, or that its owner complained. 204 whether
//! or not it is a customer's.

use crate::http::filters::{Call, answered, call};
use crate::http::public::Public;
use crate::http::request::fields::MailReportBody;
use crate::http::response::detail::Detail;
use crate::http::response::reply::{self, Problem};
use crate::http::routes::MAIL_REPORT;
use doorcode_actors::Refusal;
use doorcode_actors::directory::DirectoryError;
use http::header::AUTHORIZATION;
use std::sync::Arc;
use tokio::time::timeout;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::reply::Response;

pub(crate) fn route(edge: &Arc<Public>) -> BoxedFilter<(Response,)> {
    warp::path::full()
        .and(call(edge, &MAIL_REPORT))
        .then(async |path: FullPath, call| answered(report(path.as_str(), call).await))
        .boxed()
}

async fn report(path: &str, call: Call) -> Result<Response, Problem> {
    let provider = MAIL_REPORT.placeholder(path).unwrap_or_default();
    let shown = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let reports = call.edge.mail_reports.as_ref().filter(|reports| reports.may_report(provider, secret));
    let reports = reports.ok_or(Problem::WrongAccessToken)?;
    let MailReportBody { reason, email, tenant } =
        MailReportBody::read(&call.payload, call.edge.special_use)?;
    let tenant = tenant.as_ref().map(|slug| slug.as_str());
    let noted = reports.directory.suppress(provider, tenant, &email, reason, reports.suppression);
    match timeout(call.edge.deadline, noted).await {
        Ok(Ok(customers)) => {
            tracing::info!(provider, reason = reason.as_str(), customers, "a provider reports an address");
            Ok(reply::no_content())
        }
        Ok(Err(DirectoryError::NoSuchTenant { .. })) => {
            Err(Problem::Invalid(vec![Detail::not_valid("tenant_slug", "the slug of a tenant")]))
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, provider, "a provider's report cannot be noted");
            Err(Problem::Refused(Refusal::Unavailable))
        }
        Err(_) => Err(Problem::Refused(Refusal::Late)),
    }
}
