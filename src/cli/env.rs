//! The one place that reads the environment.
#![expect(clippy::disallowed_methods, reason = "this is the home of the environment")]

/// A variable, unless absent, empty or not text.
pub(super) fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What a configuration is read against.
#[derive(Debug)]
pub(super) struct World {
    /// Variables that are text.
    pub(super) env: std::collections::BTreeMap<String, String>,
    /// Of this machine; `localhost` when it has none.
    pub(super) hostname: String,
    /// Relative paths start here.
    pub(super) cwd: std::path::PathBuf,
}

impl World {
    /// As it is now.
    pub(super) fn read() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            env: std::env::vars_os().filter_map(text).collect(),
            hostname: if hostname.is_empty() { "localhost".to_owned() } else { hostname },
            cwd: std::env::current_dir().unwrap_or_default(),
        }
    }
}
