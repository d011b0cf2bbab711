//! Why a mail did not go out, and what that means for the next try.

use std::fmt;

use super::breaker::Verdict;
use super::message::Unsendable;
use std::time::Duration;

/// How far the talk with the mail server came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Name lookup and TCP.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Greeting and EHLO.
    Hello,
    /// AUTH.
    Login,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA, before the content.
    Content,
    /// The content is on its way: whether the mail was taken is known by the answer only. Of a hook: the whole request.
    Handover,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "on connecting",
            Self::Tls => "in the TLS handshake",
            Self::Hello => "at the greeting",
            Self::Login => "at the login",
            Self::Sender => "at MAIL FROM",
            Self::Recipient => "at RCPT TO",
            Self::Content => "at DATA",
            Self::Handover => "after the content",
        })
    }
}

/// Why a mail did not go out. Server replies appear by their numbers only: their text may quote an address or
/// a subject with its code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No usable connection: refused, closed, garbled or too slow. Says nothing about the mail. At
    /// `Stage::Handover` the mail may have been delivered all the same.
    #[error("no working connection to the mail server {stage}: {what}")]
    Unreachable {
        /// Where it broke.
        stage: Stage,
        /// What happened.
        what: String,
    },
    /// TLS is required and cannot be had; nothing was sent (STANDARDS H18). Somebody may be in between.
    #[error("TLS is required, but {what}; no mail goes out until the mail server's TLS works")]
    TlsRefused {
        /// What happened.
        what: String,
    },
    /// The server refuses doorcode itself: its login or its sender address.
    #[error(
        "the mail server refuses doorcode {stage} ({reply}); check user, password and sender of the mail settings"
    )]
    SenderRefused {
        /// At the login or at MAIL FROM.
        stage: Stage,
        /// The reply's numbers.
        reply: String,
    },
    /// "Not now" (4xx).
    #[error("the mail server defers the mail {stage} ({reply})")]
    Transient {
        /// Where it said so.
        stage: Stage,
        /// The reply's numbers.
        reply: String,
    },
    /// "Never" (5xx), about this recipient or this mail.
    #[error("the mail server refuses the mail {stage} ({reply})")]
    Permanent {
        /// Where it said so.
        stage: Stage,
        /// The reply's numbers.
        reply: String,
    },
    /// A hook wants no mail now (429, 503).
    #[error("the hook is busy")]
    Busy {
        /// For how long, if it said so.
        retry_after: Option<Duration>,
    },
    /// A hook wants no mail ever again (410).
    #[error("the hook is gone (HTTP 410)")]
    Gone,
    /// A hook did not hand the mail over, by its own fault.
    #[error("the hook failed ({reply})")]
    HookFailed {
        /// The status.
        reply: String,
    },
    /// Every provider is left alone for a while, or has enough to do.
    #[error("no mail provider takes mail now")]
    NoProvider,
    /// The mail cannot be put on this wire at all.
    #[error(transparent)]
    Unsendable(#[from] Unsendable),
}

impl SendError {
    /// Whether another try is pointless.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Permanent { .. } | Self::Unsendable(_))
    }

    /// Whether a relay says that there is no such mailbox, by an enhanced code of RFC 3463: bad mailbox (5.1.1), bad domain (5.1.2), bad
    /// syntax (5.1.3), moved without a forward (5.1.6), no mail host (5.1.10, RFC 7505). A refusal without one, or for a policy (5.7.x),
    /// says nothing of the address.
    pub(super) fn denies_mailbox(&self) -> bool {
        let Self::Permanent { stage: Stage::Recipient, reply } = self else { return false };
        let enhanced = reply.split_once(' ').map_or("", |(_, enhanced)| enhanced);
        matches!(enhanced, "5.1.1" | "5.1.2" | "5.1.3" | "5.1.6" | "5.1.10")
    }

    /// Whether the provider is at fault rather than the mail: what a breaker counts and a failover acts on.
    /// What strangers can bring about by the choice of an address must stay out of it.
    pub fn blames_provider(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TlsRefused { .. }
            | Self::SenderRefused { .. }
            | Self::Busy { .. }
            | Self::Gone
            | Self::HookFailed { .. } => true,
            Self::Transient { stage, .. } => {
                !matches!(stage, Stage::Recipient | Stage::Content | Stage::Handover)
            }
            Self::Permanent { .. } | Self::Unsendable(_) | Self::NoProvider => false,
        }
    }

    /// Whether the mail was certainly not taken, so that another provider may try.
    pub(super) fn is_definite(&self) -> bool {
        !matches!(self, Self::Unreachable { stage: Stage::Handover, .. })
    }

    /// What it means for the provider.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::Busy { retry_after: Some(time) } => Verdict::Wait(*time),
            Self::Gone => Verdict::Stop,
            other if other.blames_provider() => Verdict::Fault,
            _ => Verdict::Answered,
        }
    }

    /// A short fixed name, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::TlsRefused { .. } => "tls_refused",
            Self::SenderRefused { .. } => "sender_refused",
            Self::Busy { .. } => "busy",
            Self::Gone => "gone",
            Self::HookFailed { .. } => "hook_failed",
            Self::NoProvider => "no_provider",
            Self::Transient { .. } => "transient",
            Self::Permanent { .. } => "permanent",
            Self::Unsendable(_) => "unsendable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_speaks_of_the_mailbox_denies_it() {
        let says =
            |stage, reply: &str| SendError::Permanent { stage, reply: reply.to_owned() }.denies_mailbox();
        for reply in ["550 5.1.1", "550 5.1.2", "501 5.1.3", "551 5.1.6", "556 5.1.10"] {
            assert!(says(Stage::Recipient, reply), "{reply}");
            assert!(!says(Stage::Handover, reply) && !says(Stage::Sender, reply), "{reply}");
        }
        for reply in [
            "550",
            "550 5.7.1",
            "554 5.7.606",
            "550 5.2.1",
            "552 5.2.2",
            "550 5.1.8",
            "550 5.1.100",
            "550 5.1.0",
        ] {
            assert!(!says(Stage::Recipient, reply), "{reply}");
        }
        assert!(
            !SendError::Transient { stage: Stage::Recipient, reply: "450 5.1.1".to_owned() }.denies_mailbox()
        );
    }
}
