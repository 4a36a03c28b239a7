//! Roles, what they are limited to, what a request needs, and whether the one is enough for the other.

use std::fmt;

use super::pattern::matches;

/// What a caller may do. Each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See the cluster, the tasks and their events, without what runs printed.
    Read,
    /// Run, enable, disable and cancel tasks, see what they printed, make the leader step down.
    Operate,
    /// Everything: make and delete tasks, Terraform state, tokens, keys, take agents out.
    Admin,
}

impl Role {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }

    /// By its word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Operate, Self::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which tasks a role is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tasks {
    /// Every one, and what is not about tasks.
    All,
    /// Those whose name fits one of these patterns.
    Matching(Vec<String>),
}

impl Tasks {
    /// Of a list of patterns; none means all tasks.
    pub fn new(patterns: Vec<String>) -> Self {
        if patterns.is_empty() { Self::All } else { Self::Matching(patterns) }
    }

    /// The patterns; empty for all tasks.
    pub fn patterns(&self) -> &[String] {
        match self {
            Self::All => &[],
            Self::Matching(patterns) => patterns,
        }
    }

    fn include(&self, task: &str) -> bool {
        match self {
            Self::All => true,
            Self::Matching(patterns) => patterns.iter().any(|pattern| matches(pattern, task)),
        }
    }
}

/// A role for some tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What.
    pub role: Role,
    /// On what.
    pub tasks: Tasks,
}

impl Grant {
    /// A role for everything.
    pub fn all(role: Role) -> Self {
        Self { role, tasks: Tasks::All }
    }

    fn covers(&self, need: &Need) -> bool {
        let reaches = match &need.scope {
            Scope::Any => true,
            Scope::Task(task) => self.tasks.include(task),
            Scope::Whole => self.tasks == Tasks::All,
        };
        self.role >= need.role && reaches
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tasks {
            Tasks::All => write!(f, "the role {}", self.role),
            Tasks::Matching(patterns) => write!(f, "the role {} for the tasks {}", self.role, patterns.join(", ")),
        }
    }
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// No task, or a list that shows each caller its own tasks: a limited role will do.
    Any,
    /// This task.
    Task(String),
    /// More than any task: a limited role will not do.
    Whole,
}

/// What a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// At least this role.
    pub role: Role,
    /// For this.
    pub scope: Scope,
    /// The caller must be somebody: what anonymous callers may do does not count.
    pub named: bool,
}

impl Need {
    /// A role for a scope, whoever has it.
    pub fn new(role: Role, scope: Scope) -> Self {
        Self { role, scope, named: false }
    }

    /// The same for callers with a name.
    #[must_use]
    pub fn named(self) -> Self {
        Self { named: true, ..self }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Any => write!(f, "the role {}", self.role),
            Scope::Task(task) => write!(f, "the role {} for the task {task}", self.role),
            Scope::Whole => write!(f, "the role {}, not limited to some tasks", self.role),
        }
    }
}

/// All that a caller has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// What anonymous callers have too.
    pub(super) anybody: Vec<Grant>,
    /// What this one has for its own sake.
    pub(super) own: Vec<Grant>,
}

impl Grants {
    /// Everything, for whoever asks where nothing is asked for.
    pub fn everything() -> Self {
        Self { anybody: vec![Grant::all(Role::Admin)], own: vec![Grant::all(Role::Admin)] }
    }

    /// What this caller has for its own sake.
    pub fn own(&self) -> &[Grant] {
        &self.own
    }

    fn each(&self) -> impl Iterator<Item = &Grant> {
        self.anybody.iter().chain(&self.own)
    }

    /// Whether that is enough.
    pub fn allow(&self, need: &Need) -> bool {
        if need.named { self.own.iter().any(|grant| grant.covers(need)) } else { self.each().any(|g| g.covers(need)) }
    }

    /// Whether a role for this task is among them.
    pub fn allow_task(&self, role: Role, task: &str) -> bool {
        self.each().any(|grant| grant.role >= role && grant.tasks.include(task))
    }

    /// Whether nothing is hidden from this caller.
    pub fn see_all(&self) -> bool {
        self.each().any(|grant| grant.role >= Role::Operate && grant.tasks == Tasks::All)
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all: Vec<String> = self.each().map(ToString::to_string).collect();
        all.dedup();
        if all.is_empty() { f.write_str("no role") } else { f.write_str(&all.join(" and ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 3] = [Role::Read, Role::Operate, Role::Admin];

    fn grants(own: &[(Role, &[&str])]) -> Grants {
        let grant = |(role, tasks): &(Role, &[&str])| Grant {
            role: *role,
            tasks: Tasks::new(tasks.iter().map(|task| (*task).to_owned()).collect()),
        };
        Grants { anybody: Vec::new(), own: own.iter().map(grant).collect() }
    }

    /// Every role, limited or not, against every need.
    #[test]
    fn the_whole_matrix() {
        let scopes = [Scope::Any, Scope::Task("web-1".to_owned()), Scope::Task("db".to_owned()), Scope::Whole];
        for has in ROLES {
            for (limit, reaches) in [(&[][..], [true; 4]), (&["web-*"][..], [true, true, false, false])] {
                for needs in ROLES {
                    for (scope, reaches) in scopes.iter().zip(reaches) {
                        for named in [false, true] {
                            let need = Need { role: needs, scope: scope.clone(), named };
                            let allowed = grants(&[(has, limit)]).allow(&need);
                            assert_eq!(allowed, has >= needs && reaches, "{has} for {limit:?} against {need:?}");
                        }
                    }
                }
            }
        }
        for need in [Need::new(Role::Read, Scope::Any), Need::new(Role::Read, Scope::Any).named()] {
            assert!(!Grants::default().allow(&need) && Grants::everything().allow(&need));
        }
    }

    #[test]
    fn roles_do_not_mix_over_tasks() {
        let mixed = grants(&[(Role::Read, &[]), (Role::Operate, &["web-*"])]);
        let task = |role, task: &str| mixed.allow(&Need::new(role, Scope::Task(task.to_owned())));
        assert!(task(Role::Operate, "web-1") && task(Role::Read, "db") && !task(Role::Operate, "db"));
        assert!(!mixed.allow(&Need::new(Role::Operate, Scope::Whole)));
        assert!(mixed.allow(&Need::new(Role::Read, Scope::Whole)));
        assert!(!mixed.see_all() && grants(&[(Role::Operate, &[])]).see_all());
        assert!(mixed.allow_task(Role::Operate, "web-1") && !mixed.allow_task(Role::Operate, "db"));
    }

    #[test]
    fn what_anybody_has_does_not_count_where_a_name_is_needed() {
        let anybody = Grants { anybody: vec![Grant::all(Role::Admin)], own: vec![Grant::all(Role::Read)] };
        let need = Need::new(Role::Admin, Scope::Whole);
        assert!(anybody.allow(&need) && !anybody.allow(&need.named()));
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(
            Need::new(Role::Operate, Scope::Task("web".to_owned())).to_string(),
            "the role operate for the task web"
        );
        assert_eq!(Need::new(Role::Admin, Scope::Whole).to_string(), "the role admin, not limited to some tasks");
        assert_eq!(grants(&[(Role::Read, &["a", "b-*"])]).to_string(), "the role read for the tasks a, b-*");
        assert_eq!(Grants::default().to_string(), "no role");
        assert_eq!(ROLES.map(|role| Role::parse(role.as_str())), ROLES.map(Some));
    }
}
