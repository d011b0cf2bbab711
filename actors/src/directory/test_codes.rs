//! Codes that are not mailed: fixed ones for addresses whose mail nobody reads, and fresh ones for whoever asks for them.

use super::{Directory, DirectoryError, ExternalId, Whom, sql, tenants};
use crate::store::micros;
use doorcode_domain::{Alphabet, ChallengeId, LoginCode, Micros};
use std::time::Duration;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The longest life of a test code, in days.
pub const TEST_CODE_DAYS_MAX: u32 = 90;
const DAY_US: i64 = 86_400_000_000;

/// A code, to be shown once.
pub struct ShownCode {
    /// Six characters: base32, or digits where the tenant takes no others and the code is no test code.
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
    ) -> Result<ShownCode, DirectoryError> {
        if !(1..=TEST_CODE_DAYS_MAX).contains(&days) {
            return Err(DirectoryError::BadTestCodeLife);
        }
        self.customer(slug, email).await?;
        let parsed = self.parse_email(email)?;
        let mut client = self.client().await?;
        let tenant = self.open_tenant_id(&client, slug).await?;
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
        Ok(ShownCode { code: code.reveal(), expires_us })
    }

    /// A fresh code for a customer, as `/login` would have mailed it: for end-to-end tests, a support desk, a channel of the
    /// tenant's own. It takes the place of the live one.
    pub async fn issue_code(
        &self,
        slug: &str,
        customer: &ExternalId,
        life: Duration,
    ) -> Result<ShownCode, DirectoryError> {
        let tenant = tenants::find_open(&**self.client().await?, slug).await?;
        let customer = self.customer(slug, Whom::ExternalId(customer)).await?;
        if tenant.disabled || customer.disabled {
            return Err(DirectoryError::Disabled);
        }
        let client = self.client().await?;
        let tenant = tenant.tenant_id;
        let address = self.key_of(tenant, &self.parse_email(&customer.email)?);
        let challenge = ChallengeId(Uuid::new_v4());
        let code = |alphabet| LoginCode::derive(&self.keys.code_derivation, challenge, alphabet);
        let mac = |alphabet| code(alphabet).mac(&self.keys.code_mac, tenant, address, alphabet).0;
        let (digits, base32) = (mac(Alphabet::Digits), mac(Alphabet::Base32));
        let (actor, context) = self.author();
        let external_id = customer.profile.external_id.as_ref().map(ExternalId::as_str);
        let life_us = micros(life);
        let issue = client.prepare_cached(sql::CHALLENGES_ISSUE).await?;
        let row = client
            .query_opt(
                &issue,
                &[
                    &tenant.0,
                    &address.0,
                    &challenge.0,
                    &digits,
                    &base32,
                    &life_us,
                    &customer.customer_id.0,
                    &external_id,
                    &actor,
                    &context,
                ],
            )
            .await?
            .ok_or(DirectoryError::HasTestCode)?;
        let alphabet = Alphabet::from_sql(row.try_get(0)?);
        Ok(ShownCode { code: code(alphabet).reveal(), expires_us: row.try_get(1)? })
    }

    /// Takes it away: the address gets mail again. Says whether there was one.
    pub async fn remove_test_code(&self, slug: &str, email: &str) -> Result<bool, DirectoryError> {
        let parsed = self.parse_email(email)?;
        let client = self.client().await?;
        let tenant = self.open_tenant_id(&client, slug).await?;
        let remove = client.prepare_cached(sql::TEST_CODES_REMOVE).await?;
        Ok(client.execute(&remove, &[&tenant.0, &self.key_of(tenant, &parsed).0]).await? == 1)
    }
}
