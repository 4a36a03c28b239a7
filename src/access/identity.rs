//! Who a caller is, as far as it showed it.

use std::fmt;

use quorate_proto::bincode_derive::{Decode, Encode};

use super::token::TokenHash;

/// Names of a certificate that are looked at.
pub const NAMES_MAX: usize = 16;
/// Longest of them, in bytes; a longer one is left out.
pub const NAME_MAX: usize = 256;

/// Who a caller is. Between agents it is evidence, which whoever answers looks up again, never a role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub enum Identity {
    /// Nobody knows.
    #[default]
    Anonymous,
    /// It showed a token.
    Token(TokenIdentity),
    /// Its certificate was signed by an authority that the agent trusts: common name first if there is one, then the
    /// alternative names.
    Certificate(Vec<String>),
    /// It came over a Unix socket of the agent, which the kernel vouches for.
    Socket {
        /// Of the process that connected.
        uid: u32,
        /// Its name, when the machine knows it.
        user: Option<String>,
        /// Over `admin.sock` in the data directory: the local administrator.
        admin: bool,
    },
    /// Another agent, for itself. Never a client.
    Member,
}

/// A token as it was shown.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct TokenIdentity {
    /// What is kept of it: by this it is looked up.
    pub hash: TokenHash,
    /// Whose it is; empty when this agent does not know the token.
    pub accessor: String,
    /// What it is for, likewise.
    pub description: String,
}

impl Identity {
    /// Whether nobody knows who it is.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous)
    }

    /// One word for what kind it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Token(_) => "token",
            Self::Certificate(_) => "certificate",
            Self::Socket { .. } => "socket",
            Self::Member => "agent",
        }
    }
}

/// For people: in logs, events and answers. No secret is in it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Token(TokenIdentity { accessor, .. }) if accessor.is_empty() => f.write_str("an unknown token"),
            Self::Token(TokenIdentity { accessor, description, .. }) if description.is_empty() => {
                write!(f, "token {accessor}")
            }
            Self::Token(TokenIdentity { accessor, description, .. }) => write!(f, "token {accessor} ({description})"),
            Self::Certificate(names) => {
                write!(f, "certificate {}", names.first().map_or("without a name", String::as_str))
            }
            Self::Socket { uid, user: Some(user), .. } => write!(f, "local user {user} (uid {uid})"),
            Self::Socket { uid, user: None, .. } => write!(f, "local user with uid {uid}"),
            Self::Member => f.write_str("another agent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::Secret;
    use super::*;

    #[test]
    fn people_are_told_who_it_was_and_no_secret() {
        let secret = Secret::new([0xab; 32]);
        let token = |accessor: &str, description: &str| {
            Identity::Token(TokenIdentity {
                hash: secret.hash(),
                accessor: accessor.to_owned(),
                description: description.to_owned(),
            })
        };
        let socket = |user: Option<&str>| Identity::Socket { uid: 7, user: user.map(str::to_owned), admin: true };
        for (identity, shown) in [
            (Identity::Anonymous, "anonymous"),
            (token("", ""), "an unknown token"),
            (token("1f2e", ""), "token 1f2e"),
            (token("1f2e", "deploy"), "token 1f2e (deploy)"),
            (Identity::Certificate(vec!["ops".to_owned(), "x".to_owned()]), "certificate ops"),
            (socket(Some("root")), "local user root (uid 7)"),
            (socket(None), "local user with uid 7"),
        ] {
            assert_eq!(identity.to_string(), shown);
            let debug = format!("{identity:?}");
            assert!(!debug.contains("abab") && !debug.contains(&secret.hash().to_hex()), "{debug}");
        }
    }
}
