//! The environment of a Terraform process (`reference/cts.md` 3.9).
//!
//! It is the agent's own, less what would change what we asked for (a `TF_VAR_zone` or `TF_CLI_ARGS` that somebody
//! exported for their own shell must not reach a task), plus what the task's providers are given. CTS refuses to start
//! with such variables; leaving them out does what their owner meant.
//!
//! The plugin cache (`TF_PLUGIN_CACHE_DIR`), the CLI configuration file and registry tokens are the operator's and stay.

use std::collections::BTreeMap;
use std::path::Path;

use super::Settings;
use crate::task::spec::TerraformWork;

/// Exact names that never come from the agent's environment.
pub(super) const WITHHELD: [&str; 12] = [
    "TF_APPEND_USER_AGENT",
    "TF_DATA_DIR",
    "TF_DISABLE_PLUGIN_TLS",
    "TF_IN_AUTOMATION",
    "TF_INPUT",
    "TF_LOG",
    "TF_LOG_CORE",
    "TF_LOG_PATH",
    "TF_LOG_PROVIDER",
    "TF_REATTACH_PROVIDERS",
    "TF_SKIP_PROVIDER_VERIFY",
    "TF_WORKSPACE",
];

/// The trace log in the task's directory, with `persist_log`.
pub const LOG_FILE: &str = "terraform.log";

/// Whether a variable of the agent's own environment is kept from Terraform.
pub fn is_withheld(name: &str) -> bool {
    WITHHELD.contains(&name) || name.starts_with("TF_VAR_") || name.starts_with("TF_CLI_ARGS")
}

/// The whole environment of a task's steps, sorted by name. `base` is the agent's own; `dir` is the task's directory.
///
/// `state` is what the backend needs ([`super::backend::Chosen::env`]): it goes over the agent's own, because it names the
/// Consul that the agent itself was configured with. A provider's `task_env` goes over everything, as in CTS; of two providers the later in the task's list wins.
pub fn env_for(
    settings: &Settings,
    work: &TerraformWork,
    dir: &Path,
    state: &BTreeMap<String, String>,
    base: impl IntoIterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let mut env: BTreeMap<String, String> = base.into_iter().filter(|(name, _)| !is_withheld(name)).collect();
    let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
    set("TF_IN_AUTOMATION", "1");
    set("TF_INPUT", "0");
    set("TF_APPEND_USER_AGENT", concat!("quorate/", env!("CARGO_PKG_VERSION")));
    if settings.persist_log {
        set("TF_LOG", "TRACE");
        set("TF_LOG_PATH", &dir.join(LOG_FILE).to_string_lossy());
    }
    env.extend(state.clone());
    for provider in work.providers.iter().filter_map(|id| settings.provider(id)) {
        env.extend(provider.task_env.clone());
    }
    env.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::Provider;
    use super::*;

    #[test]
    fn what_would_change_the_run_is_left_out_and_the_rest_stays() {
        let base = [
            "TF_LOG",
            "TF_VAR_zone",
            "TF_CLI_ARGS_apply",
            "TF_WORKSPACE",
            "TF_DATA_DIR",
            "HOME",
            "TF_PLUGIN_CACHE_DIR",
            "CHECKPOINT_DISABLE",
        ];
        let env = env_of(&Settings::default(), &base);
        let names: Vec<&str> = env.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "CHECKPOINT_DISABLE",
            "HOME",
            "TF_APPEND_USER_AGENT",
            "TF_INPUT",
            "TF_IN_AUTOMATION",
            "TF_PLUGIN_CACHE_DIR",
        ];
        assert_eq!(names, expected);
        assert!(env.contains(&("TF_IN_AUTOMATION".to_owned(), "1".to_owned())));
    }

    #[test]
    fn persist_log_traces_into_the_task_directory() {
        let env = env_of(&Settings { persist_log: true, ..Settings::default() }, &["TF_LOG"]);
        assert!(env.contains(&("TF_LOG".to_owned(), "TRACE".to_owned())));
        assert!(env.contains(&("TF_LOG_PATH".to_owned(), "/tasks/edge/terraform.log".to_owned())));
    }

    #[test]
    fn only_the_tasks_own_providers_add_to_it() {
        let provider = |name: &str, alias: Option<&str>| Provider {
            name: name.to_owned(),
            alias: alias.map(ToOwned::to_owned),
            task_env: BTreeMap::from([("KEY".to_owned(), format!("{name}-{alias:?}"))]),
            ..Provider::default()
        };
        let providers = vec![provider("fw", None), provider("fw", Some("b")), provider("dns", None)];
        let env = env_of(&Settings { providers, ..Settings::default() }, &["KEY"]);
        assert!(env.contains(&("KEY".to_owned(), "fw-Some(\"b\")".to_owned())), "{env:?}");
    }

    fn env_of(settings: &Settings, base: &[&str]) -> Vec<(String, String)> {
        let work = TerraformWork {
            module: "/m".to_owned(),
            version: String::new(),
            providers: vec!["fw.b".to_owned(), "unknown".to_owned()],
            variables: BTreeMap::new(),
        };
        let base = base.iter().map(|name| ((*name).to_owned(), "from the agent".to_owned()));
        let state = BTreeMap::from([("CONSUL_HTTP_ADDR".to_owned(), "consul:8500".to_owned())]);
        let mut env = env_for(settings, &work, Path::new("/tasks/edge"), &state, base);
        env.retain(|(name, value)| name != "CONSUL_HTTP_ADDR" || value != "consul:8500");
        env
    }
}
