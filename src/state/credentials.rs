//! Which run asks: a secret per run, known to that run and, hashed, to the agent that started it.
//!
//! Basic auth: the user is the run's id in hex, the password its secret. The token never comes from a request.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::call::Token;
use quorate_proto::hex;

/// What a run is given, in its environment.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The run's id, 32 hex digits.
    pub username: String,
    /// 128 random bits, 32 hex digits.
    pub password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, ..)", self.username)
    }
}

/// What a credential stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose state.
    pub task: String,
    /// Of the run.
    pub token: Token,
    /// How long its requests are tried again while nobody leads: W of protocol-safety 7 is enough.
    pub patience: Duration,
}

/// Why a request has no grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No run of this agent, or another password.
    #[error("no run of this agent has this user and password")]
    Unknown,
    /// The run has its own task.
    #[error("this run may not touch the state of that task")]
    OtherTask,
}

/// The runs of this agent that may ask.
#[derive(Debug, Default)]
pub struct Credentials {
    runs: BTreeMap<String, (blake3::Hash, Grant)>,
}

impl Credentials {
    /// Lets a run in. `secret`: 128 random bits, new for each run.
    pub fn open(&mut self, grant: Grant, secret: [u8; 16]) -> Credential {
        let credential = Credential { username: hex(&grant.token.run), password: hex(&secret) };
        self.runs.insert(credential.username.clone(), (blake3::hash(credential.password.as_bytes()), grant));
        credential
    }

    /// The run is over, and everything it started too.
    pub fn close(&mut self, run: [u8; 16]) {
        self.runs.remove(&hex(&run));
    }

    /// Who is it? Takes as long for a wrong password as for a right one: hashes are compared, in constant time
    /// (`blake3::Hash`).
    pub fn check(&self, username: &str, password: &str, task: &str) -> Result<Grant, Denied> {
        let given = blake3::hash(password.as_bytes());
        match self.runs.get(username) {
            Some((hash, grant)) if *hash == given => {
                if grant.task == task {
                    Ok(grant.clone())
                } else {
                    Err(Denied::OtherTask)
                }
            }
            _ => Err(Denied::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::Epoch;

    use super::*;

    #[test]
    fn only_the_run_itself_gets_in_and_only_while_it_lives() {
        let mut credentials = Credentials::default();
        let grant = Grant {
            task: "fw".to_owned(),
            token: Token { epoch: Epoch(6), run: [7; 16] },
            patience: Duration::from_secs(1),
        };
        let mine = credentials.open(grant.clone(), [9; 16]);
        assert_eq!(mine.password.len(), 32);
        assert!(!format!("{mine:?} {credentials:?}").contains(&mine.password));
        assert_eq!(credentials.check(&mine.username, &mine.password, "fw"), Ok(grant));
        assert_eq!(credentials.check(&mine.username, &mine.password, "db"), Err(Denied::OtherTask));
        for (user, password) in [(mine.username.as_str(), ""), (&mine.username, "09"), ("", &mine.password)] {
            assert_eq!(credentials.check(user, password, "fw"), Err(Denied::Unknown), "{user}");
        }
        credentials.close([7; 16]);
        assert_eq!(credentials.check(&mine.username, &mine.password, "fw"), Err(Denied::Unknown));
    }
}
