//! Who looks at the plan of a module before it is applied: a person, a program, or both.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a task says of it. The default is that nobody does, and is not stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Review {
    /// When a person must approve.
    #[serde(skip_serializing_if = "Approval::is_never")]
    pub approval: Approval,
    /// A program that is given the plan as JSON and may refuse it; empty: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<String>,
}

impl Review {
    /// Whether a run stops at its plan at all.
    pub fn is_on(&self) -> bool {
        *self != Self::default()
    }

    /// Whether nobody looks.
    pub fn is_off(&self) -> bool {
        !self.is_on()
    }
}

/// When a person must approve a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// At no time.
    #[default]
    Never,
    /// When it destroys something; a replacement does.
    Destroy,
    /// Whenever it changes something.
    Always,
}

impl Approval {
    /// The words of the configuration.
    pub const ALL: [Self; 3] = [Self::Never, Self::Destroy, Self::Always];

    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Destroy => "destroy",
            Self::Always => "always",
        }
    }

    /// Whether a plan that destroys so many resources waits.
    pub fn holds(self, destroys: u64) -> bool {
        match self {
            Self::Never => false,
            Self::Destroy => destroys > 0,
            Self::Always => true,
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_waits_as_the_task_says() {
        let holds = |destroys| Approval::ALL.map(|approval| approval.holds(destroys));
        assert_eq!((holds(0), holds(1)), ([false, false, true], [false, true, true]));
    }

    #[test]
    fn what_says_nothing_is_not_stored() {
        assert_eq!(serde_json::to_string(&Review::default()).unwrap(), "{}");
        let review: Review = serde_json::from_str(r#"{"approval":"destroy"}"#).unwrap();
        assert!(review.is_on() && review.approval == Approval::Destroy && review.policy.is_empty());
    }
}
