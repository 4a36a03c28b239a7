//! Where the token comes from (`reference/cts.md` 2.4): the agent's file, the configuration, the environment, the home.

use std::io;
use std::path::Path;

/// The first of the sources that has one; empty: none has. Only a configured agent token file must be readable.
///
/// `configured` is `token`, `env` is `VAULT_TOKEN`, `home` the user's directory with `.vault-token`.
pub fn token(
    agent_file: Option<&Path>,
    configured: &str,
    env: Option<&str>,
    home: Option<&Path>,
) -> io::Result<String> {
    if let Some(file) = agent_file {
        return std::fs::read_to_string(file).map(|text| text.trim().to_owned());
    }
    let given = [configured, env.unwrap_or_default()].into_iter().map(str::trim).find(|token| !token.is_empty());
    if let Some(token) = given {
        return Ok(token.to_owned());
    }
    let kept = home.and_then(|home| std::fs::read_to_string(home.join(".vault-token")).ok());
    Ok(kept.map(|text| text.trim().to_owned()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_are_asked_in_their_order() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(".vault-token"), "home\n").unwrap();
        let file = home.path().join("agent");
        std::fs::write(&file, "agent\n").unwrap();
        let at = Some(home.path());
        assert_eq!(token(Some(&file), "own", Some("env"), at).unwrap(), "agent");
        assert_eq!(token(None, "own", Some("env"), at).unwrap(), "own");
        assert_eq!(token(None, "", Some("env"), at).unwrap(), "env");
        assert_eq!(token(None, "", None, at).unwrap(), "home");
        assert_eq!(token(None, "", None, None).unwrap(), "");
        assert!(token(Some(Path::new("/no/such")), "own", None, None).is_err());
    }
}
