//! A tenant moves between cells: frozen in the old one, written out as lines of JSON, put into the new one in one transaction.

use super::{Directory, DirectoryError, sql, tenants};
use crate::keys::KeyMarks;
use crate::store::Object;
use doorcode_domain::{Micros, TenantId};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io::{BufRead, Read, Write};
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// An administrator's verb that found the tenant before it was frozen has begun to write by then.
const GRACE: Duration = Duration::from_secs(1);
/// Longest wait for those who write: a customer import, at worst. Meanwhile callers get 503.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lines of one statement.
const BATCH: usize = 2_000;
/// Longest line, in bytes; rows have about 700.
const LINE_MAX: u64 = 1 << 20;
/// Bytes after which a statement takes no other line: a file of long ones costs no more memory, whoever wrote it.
const BATCH_BYTES: usize = 4 << 20;
/// How far this cell's clock may be behind the other's: budgets are points in time.
const SKEW_US: i64 = 1_000_000;

/// The first line of a tenant's file. No key is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// The form of the file: 1.
    doorcode_tenant: u32,
    /// Both cells must have had the same migrations: rows go as they are.
    schema: i32,
    slug: String,
    tenant_id: TenantId,
    /// Names the tenant's tokens, so it is the same in all cells.
    issuer: String,
    exported_us: Micros,
    keys: KeyMarks,
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct Tail {
    rows: u64,
}

/// What of this cell a move depends on.
pub struct Cell {
    /// `public_url`.
    pub issuer: String,
    /// The keys that there are.
    pub keys: KeyMarks,
}

struct Here {
    now_us: Micros,
    schema: i32,
    /// Its id, and whether it is frozen.
    tenant: Option<(TenantId, bool)>,
}

impl Directory {
    /// From now on nothing of the tenant is written (`true`), or it is again. Returns whether that was another state.
    pub async fn freeze_tenant(&self, slug: &str, frozen: bool) -> Result<bool, DirectoryError> {
        let client = self.client().await?;
        let slug = tenants::find(&**client, slug).await?.slug;
        let statement = client.prepare_cached(sql::TENANTS_FREEZE).await?;
        let (actor, context) = self.author();
        let row = client.query_one(&statement, &[&slug, &frozen, &actor, &context]).await?;
        Ok(row.try_get::<_, i64>(0)? > 0)
    }

    /// Freezes the tenant and writes all that belongs to it; returns how many rows that were. It stays frozen, also after an
    /// error, but for one: if writers do not come to an end, nothing has happened.
    pub async fn export_tenant(
        &self,
        slug: &str,
        cell: &Cell,
        out: &mut dyn Write,
    ) -> Result<u64, DirectoryError> {
        let anew = self.freeze_tenant(slug, true).await?;
        let mut client = self.client().await?;
        if let Err(error) = written_out(&client).await {
            if anew {
                self.freeze_tenant(slug, false).await?;
            }
            return Err(error);
        }
        let here = here(&client, slug).await?;
        let (id, _) = here.tenant.ok_or_else(|| DirectoryError::NoSuchTenant { slug: slug.to_owned() })?;
        let head = Head {
            doorcode_tenant: 1,
            schema: here.schema,
            slug: slug.to_owned(),
            tenant_id: id,
            issuer: cell.issuer.clone(),
            exported_us: here.now_us,
            keys: cell.keys.clone(),
        };
        write_line(out, &head)?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(sql::TENANTS_EXPORT_PATIENCE).await?;
        let id: &(dyn ToSql + Sync) = &id.0;
        let mut rows = pin!(transaction.query_raw(sql::TENANTS_EXPORT, [id]).await?);
        let mut count = 0;
        while let Some(row) = rows.try_next().await? {
            out.write_all(row.try_get::<_, &str>(0)?.as_bytes())
                .and_then(|()| out.write_all(b"\n"))
                .map_err(unwritten)?;
            count += 1;
        }
        write_line(out, &Tail { rows: count })?;
        out.flush().map_err(unwritten)?;
        Ok(count)
    }

    /// Takes a tenant that another cell has exported, all of it or nothing; returns its slug and how many rows that were, or
    /// `None` if it was here already.
    pub async fn import_tenant(
        &self,
        cell: &Cell,
        mut file: impl BufRead,
    ) -> Result<(String, Option<u64>), DirectoryError> {
        let head: Head = serde_json::from_str(&line(&mut file)?)
            .ok()
            .filter(|head: &Head| head.doorcode_tenant == 1)
            .ok_or_else(|| bad("the file does not begin as `doorcode tenant export` writes it"))?;
        let mut client = self.client().await?;
        let here = here(&client, &head.slug).await?;
        match here.tenant {
            Some((id, false)) if id == head.tenant_id => {
                return Ok((head.slug, None));
            }
            Some((id, true)) if id == head.tenant_id => {
                return Err(bad(&format!(
                    "it was here before, frozen: `doorcode tenant delete {}` first",
                    head.slug
                )));
            }
            Some(_) => return Err(DirectoryError::TenantExists { slug: head.slug }),
            None => fits(&head, cell, &here)?,
        }
        let transaction = client.transaction().await?;
        transaction.batch_execute(sql::TENANTS_EXPORT_PATIENCE).await?;
        let put = transaction.prepare_cached(sql::TENANTS_IMPORT).await?;
        let mut count = 0;
        let tail = loop {
            let (lines, tail) = batch(&mut file)?;
            let taken: i64 = transaction.query_one(&put, &[&lines, &head.tenant_id.0]).await?.try_get(0)?;
            if taken.unsigned_abs() != lines.len() as u64 {
                return Err(bad("the file has rows of another tenant or of tables that are not known here"));
            }
            count += lines.len() as u64;
            if let Some(tail) = tail {
                break tail;
            }
        };
        if tail.rows != count {
            return Err(bad(&format!("the file has {count} rows, and its last line says {}", tail.rows)));
        }
        if tenants::find(&*transaction, &head.slug).await.is_err() {
            return Err(bad("the file has no row of the tenant that its first line names"));
        }
        let (actor, context) = self.author();
        let rows = i64::try_from(count).unwrap_or(i64::MAX);
        transaction.query(sql::TENANTS_IMPORT_NOTE, &[&head.tenant_id.0, &rows, &actor, &context]).await?;
        transaction.commit().await?;
        Ok((head.slug, Some(count)))
    }

    /// Deletes a frozen tenant with all that belongs to it.
    pub async fn delete_frozen_tenant(&self, slug: &str) -> Result<(), DirectoryError> {
        let mut client = self.client().await?;
        tenants::find(&**client, slug).await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(sql::TENANTS_EXPORT_PATIENCE).await?;
        let (actor, context) = self.author();
        let row = transaction.query_one(sql::TENANTS_DELETE, &[&slug, &actor, &context]).await?;
        if row.try_get::<_, i64>(0)? == 0 {
            return Err(DirectoryError::NotFrozen { slug: slug.to_owned() });
        }
        Ok(transaction.commit().await?)
    }
}

/// Returns when nobody writes any more who may have begun before the tenant was frozen. Those who begin now see that it is: a
/// statement has the locks of its tables before it looks at them.
async fn written_out(client: &Object) -> Result<(), DirectoryError> {
    sleep(GRACE).await;
    let statement = client.prepare_cached(sql::TENANTS_WRITERS).await?;
    let until = Instant::now() + PATIENCE;
    let mut waited_for: Option<HashSet<String>> = None;
    loop {
        let rows = client.query(&statement, &[]).await?;
        let now: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let left: HashSet<String> = match waited_for {
            Some(before) => before.intersection(&now).cloned().collect(),
            None => now,
        };
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(bad(
                "somebody has been writing for 30 s: is there a customer import? Nothing was done, it is not frozen",
            ));
        }
        waited_for = Some(left);
        sleep(Duration::from_millis(20)).await;
    }
}

async fn here(client: &Object, slug: &str) -> Result<Here, DirectoryError> {
    let statement = client.prepare_cached(sql::TENANTS_MOVE_HEAD).await?;
    let row = client.query_one(&statement, &[&slug]).await?;
    let frozen = row.try_get::<_, Option<Micros>>("frozen_us")?.is_some();
    let tenant = row.try_get::<_, Option<Uuid>>("tenant_id")?.map(|id| (TenantId(id), frozen));
    Ok(Here { now_us: row.try_get("now_us")?, schema: row.try_get("schema")?, tenant })
}

/// Whether the tenant's rows and tokens mean the same here.
fn fits(head: &Head, cell: &Cell, here: &Here) -> Result<(), DirectoryError> {
    if head.schema != here.schema {
        return Err(bad(&format!(
            "its cell has the schema of migration {}, this one of {}: run the same version and `doorcode migrate` in both",
            head.schema, here.schema
        )));
    }
    if head.issuer != cell.issuer {
        return Err(bad(&format!(
            "its tokens name the issuer {}, and public_url is {} here: all cells have the same",
            head.issuer, cell.issuer
        )));
    }
    if let Some(key) = cell.keys.lacks(&head.keys) {
        return Err(bad(&format!(
            "this cell lacks {key}, of the other one: `doorcode keys export` there, `doorcode keys import` here"
        )));
    }
    if head.exported_us > here.now_us + SKEW_US {
        return Err(bad("this cell's clock is behind the other one's: budgets would be longer"));
    }
    Ok(())
}

fn bad(reason: &str) -> DirectoryError {
    DirectoryError::BadMove { reason: reason.to_owned() }
}

fn unwritten(error: std::io::Error) -> DirectoryError {
    bad(&format!(
        "the file cannot be written: {error}. The tenant stays frozen; export it again, or unfreeze it"
    ))
}

fn write_line(out: &mut dyn Write, value: &impl Serialize) -> Result<(), DirectoryError> {
    let text = serde_json::to_string(value).map_err(|error| unwritten(error.into()))?;
    writeln!(out, "{text}").map_err(unwritten)
}

/// The lines of the next statement; with the last line of the file, if they are its last.
fn batch(file: &mut impl BufRead) -> Result<(Vec<String>, Option<Tail>), DirectoryError> {
    let (mut lines, mut bytes) = (Vec::new(), 0);
    while lines.len() < BATCH && bytes < BATCH_BYTES {
        let next = line(file)?;
        if next.starts_with("{\"rows\"") {
            return Ok((lines, Some(read_tail(&next)?)));
        }
        bytes += next.len();
        lines.push(next);
    }
    Ok((lines, None))
}

fn read_tail(text: &str) -> Result<Tail, DirectoryError> {
    serde_json::from_str(text).map_err(|_| bad("the file's last line cannot be read"))
}

/// The next line; there must be one, since the last one ends the file.
fn line(file: &mut impl BufRead) -> Result<String, DirectoryError> {
    let mut text = String::new();
    file.by_ref()
        .take(LINE_MAX)
        .read_line(&mut text)
        .map_err(|error| bad(&format!("the file cannot be read: {error}")))?;
    match text.pop() {
        Some('\n') => Ok(text),
        _ => Err(bad("the file breaks off: was the export finished?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_s_lines_are_bounded_in_number_and_bytes() {
        let long = format!("{{\"row\":\"{}\"}}\n", "x".repeat(1_000_000));
        let short = "{\"row\":1}\n";
        for (line, of) in [(long.as_str(), 5), (short, 2_000)] {
            let text = line.repeat(of + 1) + "{\"rows\":3}\n";
            let mut file = text.as_bytes();
            let (lines, tail) = batch(&mut file).unwrap();
            assert!(lines.len() == of && tail.is_none(), "{}", lines.len());
            let (lines, tail) = batch(&mut file).unwrap();
            assert_eq!((lines.len(), tail.map(|tail| tail.rows)), (1, Some(3)));
        }
        let endless = "x".repeat(3 << 20);
        assert!(batch(&mut endless.as_bytes()).is_err());
    }
}
