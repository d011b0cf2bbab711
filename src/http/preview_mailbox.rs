//! The mails that `dev` keeps in memory, as the edge sees them.

use crate::http::request::hosts::HostAllowlist;
use serde_json::Value;
use std::sync::Arc;

type ListMails = dyn Fn(Option<&str>) -> Vec<Value> + Send + Sync;

/// Where the page finds its mails.
#[derive(Clone)]
pub(crate) struct PreviewMailbox {
    pub(crate) list: Arc<ListMails>,
    pub(crate) hosts: HostAllowlist,
}

impl PreviewMailbox {
    /// `list` gives the mails, newest first, all or those to one address. Other hosts than `hosts` get nothing.
    pub(crate) fn new(
        list: impl Fn(Option<&str>) -> Vec<Value> + Send + Sync + 'static,
        hosts: HostAllowlist,
    ) -> Self {
        Self { list: Arc::new(list), hosts }
    }
}
