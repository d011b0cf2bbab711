//! Minters: sign access tokens, each with the key pair that signs at the time of the token.

use crate::keys::{Keys, SigningKeyError};
use actor_runtime::{Actor, Admission, Context, Failure, Reply};
use arc_swap::ArcSwap;
use doorcode_domain::AccessClaims;
use std::sync::Arc;

pub(crate) enum MinterMessage {
    Sign(Box<AccessClaims>, Reply<Result<String, SigningKeyError>>),
}

pub(crate) struct Minter {
    pub(crate) keys: Arc<ArcSwap<Keys>>,
}

impl Actor for Minter {
    type Message = MinterMessage;
    type State = ();
    const MESSAGES: &'static [&'static str] = &["sign"];

    async fn start(&self, _: &Context<Self::Message>) -> Result<(), Failure> {
        Ok(())
    }

    async fn handle(
        &self,
        _: &Context<Self::Message>,
        MinterMessage::Sign(claims, reply): Self::Message,
        _: Option<Admission>,
        (): &mut (),
    ) -> Result<(), Failure> {
        if !reply.is_closed() {
            let keys = self.keys.load();
            let signer = keys.signer_at(claims.iat).ok_or(SigningKeyError::Library);
            let _ = reply.send(signer.and_then(|key| key.sign(&claims)));
        }
        Ok(())
    }
}
