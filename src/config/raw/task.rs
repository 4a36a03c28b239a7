//! `task`, its conditions and inputs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::RawBuffer;
use crate::config::read::{Labelled, Many, Spanned, raw};
use crate::config::tree::Value;

raw! {
    /// `task`
    RawTask {
        name: String = "name",
        description: String = "description",
        enabled: bool = "enabled",
        module: String = "module",
        command: Value = "command",
        version: String = "version",
        providers: Vec<Spanned<String>> = "providers",
        condition: Many<Labelled> = "condition",
        module_input: Many<Labelled> = "module_input",
        variable_files: Vec<Spanned<String>> = "variable_files",
        variables: BTreeMap<String, Spanned<String>> = "variables",
        buffer_period: RawBuffer = "buffer_period",
        working_dir: String = "working_dir",
        grace: Duration = "grace",
        timeout: Duration = "timeout",
        policy: RawPolicy = "policy",
        approval: String = "approval",
        drift: RawDrift = "drift",
        sensitive_variables: Vec<Spanned<String>> = "sensitive_variables",
        run_env: RawRunEnv = "run_env",
        run_as: String = "run_as",
        no_new_privs: bool = "no_new_privs",
        limits: RawLimits = "limits",
        min_instances: u32 = "min_instances",
        max_change_percent: u8 = "max_change_percent",
        services: Vec<Spanned<String>> = "services",
        source: String = "source",
        source_input: Many<Labelled> = "source_input",
        terraform_version: String = "terraform_version",
        terraform_cloud_workspace: Value = "terraform_cloud_workspace",
    }
    /// `run_env`
    RawRunEnv {
        inherit: String = "inherit",
        names: Vec<Spanned<String>> = "names",
        set: BTreeMap<String, Spanned<String>> = "set",
    }
    /// `limits`
    RawLimits { memory: Value = "memory", cpu: Value = "cpu", pids: u32 = "pids" }
    /// `drift`
    RawDrift { every: Duration = "every", action: String = "action" }
    /// `policy`
    RawPolicy {
        retries: u32 = "retries",
        base: Duration = "base",
        cap: Duration = "cap",
        park_after: u32 = "park_after",
        park_base: Duration = "park_base",
        park_cap: Duration = "park_cap",
        command: Vec<Spanned<String>> = "command",
    }
    /// `condition "schedule"`
    RawSchedule { cron: String = "cron" }
    /// `condition "members"`
    RawMembers { use_as_module_input: bool = "use_as_module_input" }
    /// `services` as condition; as input without the last two.
    RawServices {
        names: Vec<Spanned<String>> = "names",
        regexp: String = "regexp",
        datacenter: String = "datacenter",
        namespace: String = "namespace",
        filter: String = "filter",
        cts_user_defined_meta: BTreeMap<String, Spanned<String>> = "cts_user_defined_meta",
        use_as_module_input: bool = "use_as_module_input",
        source_includes_var: bool = "source_includes_var",
    }
    /// `catalog-services`
    RawCatalogServices {
        regexp: String = "regexp",
        datacenter: String = "datacenter",
        namespace: String = "namespace",
        node_meta: BTreeMap<String, Spanned<String>> = "node_meta",
        use_as_module_input: bool = "use_as_module_input",
        source_includes_var: bool = "source_includes_var",
    }
    /// `consul-kv`
    RawConsulKv {
        path: String = "path",
        recurse: bool = "recurse",
        datacenter: String = "datacenter",
        namespace: String = "namespace",
        use_as_module_input: bool = "use_as_module_input",
        source_includes_var: bool = "source_includes_var",
    }
}
