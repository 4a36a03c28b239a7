//! The rules of the configuration, and what a caller has by them and by the table of tokens.

use std::collections::BTreeSet;

use super::grant::{Grant, Grants, Role, Tasks};
use super::identity::{Identity, TokenIdentity};
use super::pattern::matches;
use super::token_table::TokenTable;

/// Paths that may be left open by name.
pub const OPENABLE: [&str; 6] = ["/livez", "/readyz", "/leader", "/metrics", "/v1/health", "/openapi.json"];
/// Those that are open when nothing is said: what orchestrators, load balancers and the check of a service in Consul ask.
pub const OPEN_BY_DEFAULT: [&str; 4] = ["/livez", "/readyz", "/leader", "/v1/health"];

/// What anonymous callers may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing.
    Deny,
    /// What the role `read` may.
    Read,
    /// Everything but tokens: for the time in which clients get theirs.
    Write,
}

impl Anonymous {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A role for whoever shows a certificate with such a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRule {
    /// Of its common name or one of its alternative names.
    pub pattern: String,
    /// What for.
    pub grant: Grant,
}

/// The `access` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// For callers that show nothing.
    pub default: Anonymous,
    /// Paths that anybody may ask.
    pub open: BTreeSet<String>,
    /// By certificate: every one that fits counts.
    pub certificates: Vec<CertificateRule>,
}

/// A token was shown that is not known: never made, revoked, or over. Which of them is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not known: it was never made, or it was revoked, or it has expired")]
pub struct Unknown;

impl Rules {
    /// Who this is, as far as this agent knows, and what it may do. `now`: seconds since 1970.
    pub fn admit(&self, identity: &Identity, tokens: &TokenTable, now: i64) -> Result<(Identity, Grants), Unknown> {
        let anybody = match self.default {
            Anonymous::Deny => Vec::new(),
            Anonymous::Read => vec![Grant::all(Role::Read)],
            Anonymous::Write => vec![Grant::all(Role::Admin)],
        };
        let with = |own: Vec<Grant>| Grants { anybody: anybody.clone(), own };
        match identity {
            Identity::Anonymous => Ok((Identity::Anonymous, with(Vec::new()))),
            Identity::Token(TokenIdentity { hash, .. }) => {
                let (accessor, record) = tokens.find(*hash, now).ok_or(Unknown)?;
                let known = TokenIdentity {
                    hash: *hash,
                    accessor: accessor.to_owned(),
                    description: record.description.clone(),
                };
                Ok((Identity::Token(known), with(vec![record.grant()])))
            }
            Identity::Certificate(names) => {
                let fits = |rule: &&CertificateRule| names.iter().any(|name| matches(&rule.pattern, name));
                let own = self.certificates.iter().filter(fits).map(|rule| rule.grant.clone()).collect();
                Ok((identity.clone(), with(own)))
            }
            Identity::Socket { admin: true, .. } => Ok((identity.clone(), with(vec![Grant::all(Role::Admin)]))),
            Identity::Socket { admin: false, .. } => Ok((identity.clone(), with(Vec::new()))),
            // An agent asks for itself on paths of its own; as a client it would be nobody, whatever anybody may.
            Identity::Member => Ok((Identity::Member, Grants::default())),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self { default: Anonymous::Deny, open: OPEN_BY_DEFAULT.map(str::to_owned).into(), certificates: Vec::new() }
    }
}

impl CertificateRule {
    /// A role for certificates, limited to tasks by these patterns; none: all.
    pub fn new(pattern: String, role: Role, tasks: Vec<String>) -> Self {
        Self { pattern, grant: Grant { role, tasks: Tasks::new(tasks) } }
    }
}

#[cfg(test)]
mod tests {
    use super::super::grant::{Need, Scope};
    use super::super::record::Record;
    use super::super::record::tests::record;
    use super::super::token::Secret;
    use super::*;

    const NOW: i64 = 1000;

    fn tokens() -> TokenTable {
        let mut tokens = TokenTable::default();
        let some = [
            ("ro", record(1, Role::Read)),
            ("op", Record { tasks: vec!["web-*".to_owned()], ..record(2, Role::Operate) }),
            ("root", Record { description: "the first".to_owned(), ..record(3, Role::Admin) }),
            ("over", Record { expires: Some(NOW), ..record(4, Role::Admin) }),
        ];
        for (accessor, record) in some {
            tokens.put(accessor.to_owned(), Some(record));
        }
        tokens
    }

    fn rules(default: Anonymous) -> Rules {
        let certificates = vec![
            CertificateRule::new("*.ops.example".to_owned(), Role::Admin, Vec::new()),
            CertificateRule::new("ci-*".to_owned(), Role::Operate, vec!["web-*".to_owned()]),
        ];
        Rules { default, certificates, ..Rules::default() }
    }

    fn token(byte: u8) -> Identity {
        let hash = Secret::new([byte; 32]).hash();
        // What was claimed on the way is not believed.
        Identity::Token(TokenIdentity { hash, accessor: "root".to_owned(), description: "me".to_owned() })
    }

    fn certificate(names: &[&str]) -> Identity {
        Identity::Certificate(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn socket(admin: bool) -> Identity {
        Identity::Socket { uid: 0, user: None, admin }
    }

    /// Every kind of caller, with what it has of its own: the most it may do on a task of the pattern, on another one, and
    /// on what is about no task.
    fn callers() -> Vec<(Identity, [Option<Role>; 3])> {
        let (read, operate, admin) = (Some(Role::Read), Some(Role::Operate), Some(Role::Admin));
        vec![
            (Identity::Anonymous, [None; 3]),
            (token(1), [read; 3]),
            (token(2), [operate, None, None]),
            (token(3), [admin; 3]),
            (certificate(&["a.ops.example"]), [admin; 3]),
            (certificate(&["someone", "ci-7"]), [operate, None, None]),
            (certificate(&["a.ops.example.evil", "xci-7"]), [None; 3]),
            (certificate(&[]), [None; 3]),
            (certificate(&["ci-7", "b.ops.example"]), [admin; 3]),
            (socket(true), [admin; 3]),
            (socket(false), [None; 3]),
        ]
    }

    #[test]
    fn the_whole_matrix_of_callers_defaults_and_needs() {
        let scopes = [Scope::Task("web-1".to_owned()), Scope::Task("db".to_owned()), Scope::Whole];
        for (default, anybody) in
            [(Anonymous::Deny, None), (Anonymous::Read, Some(Role::Read)), (Anonymous::Write, Some(Role::Admin))]
        {
            for (identity, own) in callers() {
                let (_, grants) = rules(default).admit(&identity, &tokens(), NOW).unwrap();
                for (scope, own) in scopes.iter().zip(own) {
                    for role in [Role::Read, Role::Operate, Role::Admin] {
                        let need = Need::new(role, scope.clone());
                        let what = format!("{identity} by default {} against {need:?}", default.as_str());
                        assert_eq!(grants.allow(&need), own.max(anybody) >= Some(role), "{what}");
                        assert_eq!(grants.allow(&need.named()), own >= Some(role), "{what}, with a name");
                    }
                }
            }
        }
    }

    #[test]
    fn a_token_is_who_the_book_says() {
        let (identity, _) = rules(Anonymous::Deny).admit(&token(3), &tokens(), NOW).unwrap();
        assert_eq!(identity.to_string(), "token root (the first)");
        let (identity, _) = rules(Anonymous::Deny).admit(&token(1), &tokens(), NOW).unwrap();
        assert_eq!(identity.to_string(), "token ro");
    }

    #[test]
    fn unknown_and_expired_tokens_are_told_alike_whatever_anybody_may() {
        for default in [Anonymous::Deny, Anonymous::Read, Anonymous::Write] {
            assert_eq!(rules(default).admit(&token(9), &tokens(), NOW), Err(Unknown));
            assert_eq!(rules(default).admit(&token(4), &tokens(), NOW), Err(Unknown));
            assert!(rules(default).admit(&token(4), &tokens(), NOW - 1).is_ok());
        }
        assert_eq!(tokens().expired(NOW), ["over"]);
    }

    #[test]
    fn an_agent_is_no_client() {
        for default in [Anonymous::Deny, Anonymous::Write] {
            let (_, grants) = rules(default).admit(&Identity::Member, &tokens(), NOW).unwrap();
            assert!(!grants.allow(&Need::new(Role::Read, Scope::Any)));
        }
    }
}
