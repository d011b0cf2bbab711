//! What a webhook's receiver knows: derived, so that no secret of it is stored and a new one needs a number only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorcode_domain::MacKey;
use uuid::Uuid;
use zeroize::Zeroizing;

/// `whsec_…`, as Standard Webhooks has it: 32 bytes for each version of each webhook.
pub(crate) fn webhook_secret(key: &MacKey, webhook: Uuid, version: i32) -> Zeroizing<String> {
    let secret = key.mac256(&[webhook.as_bytes(), &version.to_be_bytes()]);
    Zeroizing::new(format!("whsec_{}", STANDARD.encode(&secret[..])))
}
