//! Fixed codes for addresses whose mail nobody reads: app reviewers, end-to-end tests.

use super::{Directory, DirectoryError, sql};
use doorcode_domain::{Alphabet, ChallengeId, LoginCode, Micros};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The longest life of a test code, in days.
pub const TEST_CODE_DAYS_MAX: u32 = 90;
const DAY_US: i64 = 86_400_000_000;

/// A test code, to be shown once.
pub struct TestCode {
    /// Six characters of base32.
    pub code: Zeroizing<String>,
    /// When it ends, database time.
    pub expires_us: Micros,
}

impl Directory {
    /// Makes the test code of a customer's address, in place of one that it has. From then on the address gets no mail, and
    /// this code instead of those that would be mailed: for 10 minutes after each `/login`, under the same budgets.
    pub async fn make_test_code(
        &self,
        slug: &str,
        email: &str,
        days: u32,
    ) -> Result<TestCode, DirectoryError> {
        if !(1..=TEST_CODE_DAYS_MAX).contains(&days) {
            return Err(DirectoryError::BadTestCodeLife);
        }
        self.customer(slug, email).await?;
        let parsed = Self::parse_email(email)?;
        let mut client = self.client().await?;
        let tenant = self.tenant_id(&client, slug).await?;
        let address = self.key_of(tenant, &parsed);
        let code =
            LoginCode::derive(&self.keys.code_derivation, ChallengeId(Uuid::new_v4()), Alphabet::Base32);
        let mac = code.mac(&self.keys.code_mac, tenant, address, Alphabet::Base32);
        let transaction = client.transaction().await?;
        for statement in [sql::TEST_CODES_LOCK, sql::TEST_CODES_SWEEP] {
            transaction.execute(&transaction.prepare_cached(statement).await?, &[&tenant.0]).await?;
        }
        let add = transaction.prepare_cached(sql::TEST_CODES_ADD).await?;
        let life_us = i64::from(days) * DAY_US;
        let made = transaction.query_opt(&add, &[&tenant.0, &address.0, &mac.0, &life_us]).await?;
        let expires_us = made.ok_or(DirectoryError::TooManyTestCodes)?.try_get(0)?;
        transaction.commit().await?;
        Ok(TestCode { code: code.reveal(), expires_us })
    }

    /// Takes it away: the address gets mail again. Says whether there was one.
    pub async fn remove_test_code(&self, slug: &str, email: &str) -> Result<bool, DirectoryError> {
        let parsed = Self::parse_email(email)?;
        let client = self.client().await?;
        let tenant = self.tenant_id(&client, slug).await?;
        let remove = client.prepare_cached(sql::TEST_CODES_REMOVE).await?;
        Ok(client.execute(&remove, &[&tenant.0, &self.key_of(tenant, &parsed).0]).await? == 1)
    }
}
