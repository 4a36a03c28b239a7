//! One run of a task, step by step: what to start next, and what an exit means.
//!
//! It starts nothing itself and knows no time. `next` says what to do, `handle_exit` takes what came of it; the two
//! alternate until `next` says [`Action::Done`].
//!
//! An inspection ends with `plan` in place of `apply`; a preparation ends before either. A reviewed run keeps its plan in a
//! file, has it shown as JSON and stops at [`Action::Review`]: whoever drives it says whether that plan is applied. A run of an
//! approved plan applies the file that is there; when Terraform refuses it because the world has changed since, nothing was
//! changed, and the run goes on as a reviewed one.
//!
//! Two detours leave the straight line `init`, `workspace new`, `workspace select`, `validate`, `apply`:
//!
//! - `init` refuses to start when the workspace that the directory remembers has no state any more (a lost state
//!   store, a new backend). Then the workspace is made, and `init` is tried once more.
//! - A run that skipped `init` is told by `apply` that it should not have. Nothing has been changed then, so the run
//!   begins again from `init`. (A provisioner that fails and prints `terraform init` looks the same; it gets one try
//!   more, which is what a retry would do.)

use super::Binary;
use super::diagnostics::{self, Verdict};
use super::events;
use super::steps::{self, Step, StepKind};

/// Longest text of Terraform's that is kept in an error, in bytes: its end, where the reason stands.
pub const ERROR_TEXT_MAX: usize = 16 * 1024;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What the runtime does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Run this and give its end to [`Run::handle_exit`].
    Exec(Step),
    /// Note that the directory is initialised ([`super::initialised::remember`]), then ask again. Failing to note it costs
    /// an `init` at the next run, nothing more.
    Remember,
    /// The plan is kept and shown: say [`Run::apply_plan`] or [`Run::leave_plan`], then ask again.
    Review,
    /// The run is over: well, or for this reason.
    Done(Result<(), String>),
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Apply,
    Plan,
    Prepare,
    Review,
    Approved,
    Drift,
}

/// What a run that only inspects has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Terraform's text for people, with its line `Plan: 2 to add, 0 to change, 0 to destroy.` if there is any change.
    pub text: String,
    /// Whether applying it would change anything.
    pub changes: bool,
}

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    At(StepKind),
    /// Makes the workspace that `init` misses.
    Rescue,
    Remember,
    Review,
    Over(Result<(), String>),
}

/// A run under way.
#[derive(Debug, Clone)]
pub struct Run {
    binary: Binary,
    task: String,
    stage: Stage,
    /// `init` ran, or runs, in this run.
    initialises: bool,
    /// The workspace was made for `init` already, after `init` failed like this.
    rescued: Option<String>,
    warnings: Vec<String>,
    goal: Goal,
    workspaces: bool,
    plan: Option<Plan>,
    /// Why the approved plan could not be applied any more.
    stale: Option<String>,
    /// A look for drift also asks what a run would change.
    asks_plan: bool,
    /// What a look for drift has found.
    drift: Option<String>,
}

impl Run {
    /// A run of `task`. With `init_needed` it starts at `init`, else it is `apply` alone.
    pub fn new(binary: Binary, task: &str, init_needed: bool) -> Self {
        let first = if init_needed { StepKind::Init } else { StepKind::Apply };
        Self {
            binary,
            task: task.to_owned(),
            stage: Stage::At(first),
            initialises: init_needed,
            rescued: None,
            warnings: Vec::new(),
            goal: Goal::Apply,
            workspaces: true,
            plan: None,
            stale: None,
            asks_plan: false,
            drift: None,
        }
    }

    /// The same, but it plans and changes nothing: [`Self::plan`] has what it found.
    #[must_use]
    pub fn inspecting(self) -> Self {
        self.aiming(Goal::Plan)
    }

    /// The same, but it stops at its plan, which is then applied or left.
    #[must_use]
    pub fn reviewed(self) -> Self {
        self.aiming(Goal::Review)
    }

    /// The same, but it applies the plan that is in [`super::steps::PLAN_FILE`].
    #[must_use]
    pub fn approved(self) -> Self {
        self.aiming(Goal::Approved)
    }

    /// The same, but it only looks for drift: whether anything differs from the state and, with `asks_plan`, from what the
    /// configuration wants. [`Self::drift`] has what it found.
    #[must_use]
    pub fn looking_for_drift(mut self, asks_plan: bool) -> Self {
        self.asks_plan = asks_plan || !self.tells_refresh();
        self.aiming(Goal::Drift)
    }

    /// `plan -refresh-only` came with Terraform 0.15.4; 1.0 is where we count on it.
    fn tells_refresh(&self) -> bool {
        self.binary.version.at_least(1, 0)
    }

    /// What a look for drift has found, for people; nothing: all is as it was made.
    pub fn drift(&self) -> Option<&str> {
        self.drift.as_deref()
    }

    /// The same, but it ends when everything is initialised and valid, as for a task that is disabled.
    #[must_use]
    pub fn preparing(self) -> Self {
        self.aiming(Goal::Prepare)
    }

    /// The same, for a backend that knows no workspaces ([`super::Chosen::has_workspaces`]).
    #[must_use]
    pub fn without_workspaces(mut self) -> Self {
        self.workspaces = false;
        self
    }

    fn aiming(mut self, goal: Goal) -> Self {
        self.goal = goal;
        if !self.initialises {
            self.stage = self.last();
        }
        self
    }

    /// The plan is applied.
    pub fn apply_plan(&mut self) {
        if self.stage == Stage::Review {
            self.stage = Stage::At(StepKind::ApplyPlan);
        }
    }

    /// The plan is not applied, at least not by this run.
    pub fn leave_plan(&mut self) {
        if self.stage == Stage::Review {
            self.stage = Stage::Over(Ok(()));
        }
    }

    /// Why the approved plan could not be applied any more, in Terraform's words; the run makes a new one then.
    pub fn stale(&self) -> Option<&str> {
        self.stale.as_deref()
    }

    /// What an inspection has found, or a reviewed run, after its plan is made.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// The stage after everything is prepared.
    fn last(&self) -> Stage {
        match self.goal {
            Goal::Apply => Stage::At(StepKind::Apply),
            Goal::Prepare => Stage::Over(Ok(())),
            Goal::Review => Stage::At(StepKind::SavePlan),
            Goal::Approved => Stage::At(StepKind::ApplyPlan),
            Goal::Drift if self.tells_refresh() => Stage::At(StepKind::PlanRefresh),
            Goal::Plan | Goal::Drift => Stage::At(StepKind::Plan),
        }
    }

    /// What to do now. Asking again before [`Self::handle_exit`] gives the same step.
    #[expect(clippy::should_implement_trait, reason = "no iterator: it alternates with handle_exit and never ends")]
    pub fn next(&mut self) -> Action {
        match &self.stage {
            Stage::At(kind) => Action::Exec(steps::step(&self.binary, &self.task, *kind)),
            Stage::Rescue => Action::Exec(steps::step(&self.binary, &self.task, StepKind::WorkspaceNew)),
            Stage::Remember => {
                self.stage = self.last();
                Action::Remember
            }
            Stage::Review => Action::Review,
            Stage::Over(result) => Action::Done(result.clone()),
        }
    }

    /// What `validate` warned about since the last call; for the log.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The step that [`Self::next`] gave has ended. After the end of the run this changes nothing.
    pub fn handle_exit(&mut self, exit: Exit, stdout: &[u8], stderr: &[u8]) {
        let (kind, rescue) = match self.stage {
            Stage::At(kind) => (kind, false),
            Stage::Rescue => (StepKind::WorkspaceNew, true),
            Stage::Remember | Stage::Review | Stage::Over(_) => return,
        };
        let step = steps::step(&self.binary, &self.task, kind);
        let printed = String::from_utf8_lossy(stdout);
        // The errors that events tell are what stands in the other steps' standard error.
        let told = if step.events { events::errors(&printed) } else { String::new() };
        let stderr = told + &String::from_utf8_lossy(stderr);
        let said = Said { stdout: &printed, stderr: &stderr };
        let ended_by_itself = matches!(exit, Exit::Code(_));
        let ok = matches!(exit, Exit::Code(code) if step.ok_exit_codes.contains(&code))
            || ended_by_itself && step.tolerated.iter().any(|text| said.contains(text));
        self.stage = match kind {
            _ if rescue && ok => Stage::At(StepKind::Init),
            // What was wrong before is the reason, not that it could not be helped.
            _ if rescue => Stage::Over(Err(self.rescued.take().unwrap_or_default())),
            StepKind::Init if ok && !self.workspaces => Stage::At(StepKind::Validate),
            StepKind::Init if ok => Stage::At(StepKind::WorkspaceNew),
            StepKind::Init
                if ended_by_itself && self.workspaces && self.rescued.is_none() && said.misses_workspace() =>
            {
                self.rescued = Some(self.failure(kind, exit, &said));
                Stage::Rescue
            }
            StepKind::WorkspaceNew if ok => Stage::At(StepKind::WorkspaceSelect),
            StepKind::WorkspaceSelect if ok => Stage::At(StepKind::Validate),
            StepKind::Validate if ended_by_itself => self.validated(exit, &said),
            StepKind::PlanRefresh if ok => {
                if exit == Exit::Code(2) {
                    self.drift = Some("objects have changed outside of Terraform".to_owned());
                }
                if self.asks_plan { Stage::At(StepKind::Plan) } else { Stage::Over(Ok(())) }
            }
            StepKind::Plan if ok && self.goal == Goal::Drift => {
                if exit == Exit::Code(2) {
                    let would = printed.lines().find(|line| line.starts_with("Plan: ")).unwrap_or("outputs differ");
                    let outside = self.drift.take().map_or_else(String::new, |text| format!("{text}; "));
                    self.drift = Some(format!("{outside}a run would change something: {}", would.trim()));
                }
                Stage::Over(Ok(()))
            }
            StepKind::Plan if ok => {
                self.plan = Some(Plan { text: printed.trim().to_owned(), changes: exit == Exit::Code(2) });
                Stage::Over(Ok(()))
            }
            StepKind::SavePlan if ok => {
                let changes = exit == Exit::Code(2);
                self.plan = Some(Plan { text: printed.trim().to_owned(), changes });
                if changes { Stage::At(StepKind::ShowPlan) } else { Stage::Over(Ok(())) }
            }
            StepKind::ShowPlan if ok => Stage::Review,
            StepKind::Apply | StepKind::ApplyPlan if ok => Stage::Over(Ok(())),
            StepKind::Apply | StepKind::ApplyPlan | StepKind::Plan | StepKind::PlanRefresh | StepKind::SavePlan
                if ended_by_itself && !self.initialises && said.wants_init() =>
            {
                self.initialises = true;
                Stage::At(StepKind::Init)
            }
            StepKind::ApplyPlan if ended_by_itself && self.goal == Goal::Approved && said.finds_plan_stale() => {
                self.stale = Some(tail(said.stderr));
                self.goal = Goal::Review;
                Stage::At(StepKind::SavePlan)
            }
            _ => Stage::Over(Err(self.failure(kind, exit, &said))),
        };
    }

    fn validated(&mut self, exit: Exit, said: &Said<'_>) -> Stage {
        match diagnostics::verdict(&self.task, said.stdout) {
            Some(Verdict::Valid { warnings }) => {
                self.warnings.extend(warnings);
                Stage::Remember
            }
            Some(Verdict::Invalid { friendly: Some(text), .. }) => Stage::Over(Err(text)),
            Some(Verdict::Invalid { friendly: None, text }) => {
                Stage::Over(Err(format!("error tf-validate for '{}': {}", self.task, tail(&text))))
            }
            None => Stage::Over(Err(self.failure(StepKind::Validate, exit, said))),
        }
    }

    fn failure(&self, kind: StepKind, exit: Exit, said: &Said<'_>) -> String {
        let how = match exit {
            Exit::Code(code) => format!("exit status {code}"),
            Exit::Signal(signal) => format!("ended by signal {signal}"),
        };
        let text = if said.stderr.trim().is_empty() { said.stdout } else { said.stderr };
        format!("error tf-{} for '{}': {how}\n\n{}", kind.as_str(), self.task, tail(text)).trim_end().to_owned()
    }
}

/// What a step printed.
struct Said<'a> {
    stdout: &'a str,
    stderr: &'a str,
}

impl Said<'_> {
    fn contains(&self, text: &str) -> bool {
        self.stderr.contains(text) || self.stdout.contains(text)
    }

    /// The texts of `init` when the remembered workspace is not in the backend.
    fn misses_workspace(&self) -> bool {
        let words = self.stderr.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        // The name stands between the two: other things do not exist either.
        let missing = |after: &str| {
            let near = after.char_indices().nth(80).map_or(after, |(end, _)| &after[..end]);
            near.contains("does not exist") || near.contains("doesn't exist")
        };
        words.contains("failed to select workspace") || words.split("workspace \"").skip(1).any(missing)
    }

    /// The texts of `apply` when a kept plan does not fit any more: the state has moved on, or it was made by another version
    /// or with other providers. Nothing was changed then.
    fn finds_plan_stale(&self) -> bool {
        let words = self.stderr.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let texts = ["saved plan", "plan file", "planfile", "inconsistent dependency lock file"];
        texts.iter().any(|text| words.contains(text))
    }

    /// Every message about a missing or outdated initialisation says which command to run.
    fn wants_init(&self) -> bool {
        let words = self.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        ["terraform init", "tofu init"].iter().any(|command| words.contains(command))
    }
}

/// The end of a text, at a line's start when there is one.
fn tail(text: &str) -> String {
    let text = text.trim();
    if text.len() <= ERROR_TEXT_MAX {
        return text.to_owned();
    }
    let mut start = text.len() - ERROR_TEXT_MAX;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let end = &text[start..];
    let whole_lines = end.split_once('\n').map_or(end, |(_, rest)| rest);
    format!("[{} bytes before this are left out]\n{whole_lines}", text.len() - whole_lines.len())
}

#[cfg(test)]
mod tests;
