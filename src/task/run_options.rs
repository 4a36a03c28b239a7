//! How a task's runs are made, beside what they run: what their processes see, as whom, within which bounds, and who looks at
//! a plan before it is applied.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::drift::Drift;
use super::review::Review;

/// Where a secret would stand, for people.
pub const HIDDEN: &str = "(sensitive value)";

/// Options of a task's runs. The default is what a task without any of them has, and is not stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOptions {
    /// Which variables of the environment its runs see; `None`: as the agent says for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<RunEnv>,
    /// Whose rights its runs have; `None`: the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_as: Option<RunAs>,
    /// Its runs can gain no rights: set-user-id programs, sudo and file capabilities have no effect.
    #[serde(skip_serializing_if = "is_false")]
    pub no_new_privs: bool,
    /// What its runs may use.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Names of variables whose values are shown to nobody.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub sensitive: BTreeSet<String>,
    /// Who looks at its plan before it is applied.
    #[serde(skip_serializing_if = "Review::is_off")]
    pub review: Review,
    /// How it is looked whether what it made is still so; `None`: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl RunOptions {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which variables of the agent's environment a run inherits, and what is set besides.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunEnv {
    /// `None`: as the agent says for all, else everything for a module and the listed for a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherit: Option<Inherit>,
    /// Names that pass, `NAME` or `PREFIX*`; needed only with [`Inherit::Listed`] and for what the agent keeps to itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Variables with values of their own; a value may be a template, which is filled in when a run starts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
}

impl fmt::Debug for RunEnv {
    /// Without values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<&String> = self.set.keys().collect();
        let mut shown = f.debug_struct("RunEnv");
        shown.field("inherit", &self.inherit).field("names", &self.names).field("set", &set).finish()
    }
}

impl RunEnv {
    /// What holds for a task that says this, under an agent that says `global` for all.
    #[must_use]
    pub fn under(&self, global: &Self) -> Self {
        let mut names = global.names.clone();
        names.extend(self.names.iter().filter(|name| !global.names.contains(name)).cloned());
        let mut set = global.set.clone();
        set.extend(self.set.clone());
        Self { inherit: self.inherit.or(global.inherit), names, set }
    }
}

/// How much of the environment passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inherit {
    /// All but what is withheld, as CTS.
    All,
    /// PATH, HOME, the locale and the like, and what is named.
    Listed,
}

/// Another user, as it is configured: names or numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// The user.
    pub user: String,
    /// The group; `None`: the user's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{}:{group}", self.user),
            None => f.write_str(&self.user),
        }
    }
}

/// What the processes of one run may use, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory; beyond it the kernel kills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Percent of one core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_is_not_stored() {
        assert_eq!(serde_json::to_string(&RunOptions::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<RunOptions>("{}").unwrap(), RunOptions::default());
    }

    #[test]
    fn a_task_adds_to_what_the_agent_says_and_its_own_word_counts() {
        let env = |inherit, names: &[&str], set: &[(&str, &str)]| RunEnv {
            inherit,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            set: set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let global = env(Some(Inherit::Listed), &["A", "B"], &[("X", "1"), ("Y", "1")]);
        let task = env(None, &["B", "C"], &[("Y", "2")]);
        let both = env(Some(Inherit::Listed), &["A", "B", "C"], &[("X", "1"), ("Y", "2")]);
        assert_eq!(task.under(&global), both);
        assert_eq!(env(Some(Inherit::All), &[], &[]).under(&global).inherit, Some(Inherit::All));
    }

    #[test]
    fn values_are_not_printed() {
        let set = BTreeMap::from([("DB".to_owned(), "hunter2".to_owned())]);
        let shown = format!("{:?}", RunEnv { set, ..RunEnv::default() });
        assert!(shown.contains("DB") && !shown.contains("hunter2"), "{shown}");
    }
}
