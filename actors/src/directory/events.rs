//! What happened, as administrators read it.

use super::{Directory, DirectoryError};
use crate::store::events::{EventPage, EventQuery, LOOK, page};
use crate::store::sql;

impl Directory {
    /// The next events that are older than 10 s.
    pub async fn events(&self, query: &EventQuery) -> Result<EventPage, DirectoryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql::READ_EVENTS).await?;
        Ok(page(&client.query(&statement, &[&query.after, &LOOK]).await?, query)?)
    }
}
