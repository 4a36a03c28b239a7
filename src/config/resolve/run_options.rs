//! How the runs of a task are made: `run_env`, `run_as`, `no_new_privs`, `limits`, `sensitive_variables`, `approval`, `drift`,
//! `command` of `policy`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::duration::show;
use crate::config::raw::task::{RawLimits, RawRunEnv, RawTask};
use crate::config::read::{Spanned, nearest};
use crate::config::span::Span;
use crate::config::tree::{Kind, Value};
use crate::task::spec::{Approval, Drift, Inherit, Limits, Review, RunAs, RunEnv, RunOptions, Work};
use crate::terraform::dynamic::is_template;

/// Less memory than this kills a program before it has begun.
const MEMORY_MIN: u64 = 8 << 20;
/// A look for drift more often than this would keep providers busy.
const DRIFT_MIN: Duration = Duration::from_secs(10);
/// Variables that every run gets from the agent itself.
const OURS: [&str; 4] = ["QUORATE_RUN_ID", "QUORATE_TASK", "QUORATE_EPOCH", "QUORATE_INPUT"];

/// What a task says; `work` is what it runs.
pub(super) fn task(task: &RawTask, work: &Work, problems: &mut Problems) -> RunOptions {
    RunOptions {
        env: run_env(task.run_env.as_ref(), problems),
        run_as: task.run_as.as_ref().and_then(|raw| run_as(raw, problems)),
        no_new_privs: task.no_new_privs.as_ref().is_some_and(|it| it.value),
        limits: task.limits.as_ref().map(|raw| limits(&raw.value, problems)).unwrap_or_default(),
        sensitive: sensitive(task, work, problems),
        review: review(task, work, problems),
        drift: drift(task, work, problems),
    }
}

/// `drift`. Only a module can say whether what it made is still so.
fn drift(task: &RawTask, work: &Work, problems: &mut Problems) -> Option<Drift> {
    let raw = task.drift.as_ref()?;
    if let Work::Command { .. } = work {
        let message = "`drift` needs a task with a `module`: a command cannot be asked what it would change";
        problems.add(Diagnostic::error(message).at(&raw.key, "nothing could be looked for").help("remove it"));
        return None;
    }
    let Some(every) = &raw.value.every else {
        let diagnostic = Diagnostic::error("`drift` needs `every`").at(&raw.key, "how often is not said");
        problems.add(diagnostic.help("for example every = \"1h\""));
        return None;
    };
    if every.value < DRIFT_MIN {
        let message = format!("`every` of `drift` is at least {}", show(DRIFT_MIN));
        let diagnostic = Diagnostic::error(message).at(&every.span, "too often");
        problems.add(diagnostic.help("each look is a plan of Terraform, which asks the provider for every resource"));
    }
    let corrects = raw.value.action.as_ref().is_some_and(|action| match action.value.as_str() {
        "report" => false,
        "correct" => true,
        other => {
            let diagnostic = Diagnostic::error(format!("`action` of `drift` has no {other:?}"));
            let help = "\"report\" tells it and changes nothing; \"correct\" runs the task";
            problems.add(diagnostic.at(&action.span, "expected \"report\" or \"correct\"").help(help));
            false
        }
    });
    Some(Drift { every: every.value, corrects })
}

/// `approval`, and `command` of `policy`. Only a module has a plan.
fn review(task: &RawTask, work: &Work, problems: &mut Problems) -> Review {
    let command = task.policy.as_ref().and_then(|policy| policy.value.command.as_ref());
    if let Work::Command { .. } = work {
        for (name, key) in
            [("approval", task.approval.as_ref().map(|it| &it.key)), ("command", command.map(|it| &it.key))]
        {
            if let Some(key) = key {
                let message = format!("`{name}` needs a task with a `module`: a command has no plan");
                problems.add(Diagnostic::error(message).at(key, "nothing could be looked at").help("remove it"));
            }
        }
        return Review::default();
    }
    let approval = task.approval.as_ref().map_or(Approval::Never, |raw| {
        let found = Approval::ALL.into_iter().find(|approval| approval.as_str() == raw.value);
        found.unwrap_or_else(|| {
            let diagnostic = Diagnostic::error(format!("`approval` has no {:?}", raw.value));
            let help = "\"always\": a plan that changes anything waits for `quorate task approve`; \"destroy\": one that \
                        destroys something does";
            problems.add(diagnostic.at(&raw.span, "expected \"never\", \"destroy\" or \"always\"").help(help));
            Approval::Never
        })
    });
    let policy: Vec<String> = command.iter().flat_map(|it| &it.value).map(|word| word.value.clone()).collect();
    if let Some(command) = command.filter(|_| policy.first().is_none_or(String::is_empty)) {
        let diagnostic = Diagnostic::error("`command` of `policy` names no program").at(&command.span, "empty");
        problems.add(diagnostic.help("for example command = [\"conftest\", \"test\", \"-\"]"));
    }
    Review { approval, policy }
}

/// `run_env`, of a task or for all.
pub(super) fn run_env(raw: Option<&Spanned<RawRunEnv>>, problems: &mut Problems) -> Option<RunEnv> {
    let raw = &raw?.value;
    let inherit = raw.inherit.as_ref().and_then(|inherit| match inherit.value.as_str() {
        "all" => Some(Inherit::All),
        "listed" => Some(Inherit::Listed),
        other => {
            let message = format!("`inherit` has no {other:?}");
            let help = "\"all\" is the agent's environment less what is its own; \"listed\" is PATH, HOME, the locale and \
                        the like, and what `names` names";
            problems.add(Diagnostic::error(message).at(&inherit.span, "expected \"all\" or \"listed\"").help(help));
            None
        }
    });
    let mut names = Vec::new();
    for name in raw.names.iter().flat_map(|names| &names.value) {
        let plain = name.value.strip_suffix('*').unwrap_or(&name.value);
        let star_alone = plain.is_empty();
        if star_alone || plain.contains(['=', '*', '\0']) || plain.contains(char::is_whitespace) {
            let message = format!("{:?} names no variable of an environment", name.value);
            let help = if star_alone { "for everything write inherit = \"all\"" } else { "for example \"AWS_*\"" };
            problems.add(Diagnostic::error(message).at(&name.span, "expected NAME or PREFIX*").help(help));
        } else {
            names.push(name.value.clone());
        }
    }
    let set = raw.set.iter().flat_map(|set| &set.value);
    for (name, value) in set.clone() {
        let plain = !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace);
        if OURS.contains(&name.as_str()) {
            let message = format!("{name} is set by the agent itself");
            problems.add(Diagnostic::error(message).at(&value.key, "not to be set").help("remove it"));
        } else if !plain || value.value.contains('\0') {
            let message = format!("{name:?} cannot be set in an environment");
            problems.add(Diagnostic::error(message).at(&value.key, "expected NAME = \"value\""));
        }
    }
    let set = set.map(|(name, value)| (name.clone(), value.value.clone())).collect();
    Some(RunEnv { inherit, names, set })
}

/// `user` or `user:group`; numbers are as good as names.
fn run_as(raw: &Spanned<String>, problems: &mut Problems) -> Option<RunAs> {
    let (user, group) =
        raw.value.split_once(':').map_or((raw.value.as_str(), None), |(user, group)| (user, Some(group)));
    let good = |name: &str| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == ':' || c == '\0');
    if !good(user) || !group.is_none_or(good) {
        let message = format!("`run_as` {:?} is not a user", raw.value);
        let diagnostic = Diagnostic::error(message).at(&raw.span, "expected \"user\" or \"user:group\"");
        problems.add(diagnostic.help("for example run_as = \"deploy\"; numbers are good too: \"1000:1000\""));
        return None;
    }
    Some(RunAs { user: user.to_owned(), group: group.map(ToOwned::to_owned) })
}

fn limits(raw: &RawLimits, problems: &mut Problems) -> Limits {
    let mut limits = Limits { memory: None, cpu_percent: None, pids: raw.pids.as_ref().map(|it| it.value) };
    if let Some(memory) = &raw.memory {
        match text(&memory.value).as_deref().and_then(bytes) {
            Some(bytes) if bytes >= MEMORY_MIN => limits.memory = Some(bytes),
            Some(_) => {
                let message = format!("`memory` is at least {} MiB", MEMORY_MIN >> 20);
                problems.add(Diagnostic::error(message).at(&memory.span, "no program begins with less"));
            }
            None => wrong("memory", &memory.span, "an amount of memory like \"512MiB\" or \"2GiB\"", problems),
        }
    }
    if let Some(cpu) = &raw.cpu {
        match text(&cpu.value).as_deref().and_then(percent) {
            Some(percent) => limits.cpu_percent = Some(percent),
            None => {
                wrong("cpu", &cpu.span, "a share of one core like \"50%\", or a number of cores like 1.5", problems);
            }
        }
    }
    if let Some(pids) = raw.pids.as_ref().filter(|pids| pids.value == 0) {
        problems.add(Diagnostic::error("`pids` is 1 or more").at(&pids.span, "nothing could be started"));
    }
    limits
}

fn wrong(key: &str, span: &Span, expected: &str, problems: &mut Problems) {
    problems.add(Diagnostic::error(format!("`{key}` must be {expected}")).at(span, "not understood"));
}

pub(super) fn text(value: &Value) -> Option<String> {
    match &value.kind {
        Kind::Text(text) | Kind::Number(text) => Some(text.trim().to_owned()),
        Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Object(_) => None,
    }
}

/// A whole number with a unit of 1024s; without one it counts bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `50%` or `1.5` cores, from 1% to 100,000%.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the bounds that are looked at")]
fn percent(text: &str) -> Option<u32> {
    let percent = match text.strip_suffix('%') {
        Some(number) => number.trim().parse::<f64>().ok()?,
        None => text.parse::<f64>().ok()? * 100.0,
    };
    (1.0..=100_000.0).contains(&percent).then(|| percent.round() as u32)
}

/// Names of variables to hide; those whose value is a template are hidden anyway.
fn sensitive(task: &RawTask, work: &Work, problems: &mut Problems) -> BTreeSet<String> {
    let Work::Terraform(work) = work else {
        if let Some(key) = task.sensitive_variables.as_ref().map(|it| &it.key) {
            let message = "`sensitive_variables` has no effect on a task with a `command`";
            let help = "what `run_env` sets by a template is hidden by itself";
            problems.add(Diagnostic::warning(message).at(key, "only for a `module`").help(help));
        }
        return BTreeSet::new();
    };
    let mut found: BTreeSet<String> = BTreeSet::new();
    let known: Vec<&str> = work.variables.keys().map(String::as_str).collect();
    for name in task.sensitive_variables.iter().flat_map(|names| &names.value) {
        if work.variables.contains_key(&name.value) {
            found.insert(name.value.clone());
            continue;
        }
        let message = format!("the task has no variable {:?}", name.value);
        let diagnostic = Diagnostic::error(message).at(&name.span, "named as sensitive");
        problems.add(diagnostic.help(match nearest(&name.value, &known) {
            Some(near) => format!("did you mean {near:?}?"),
            None => "name variables of `variables` or of `variable_files`".to_owned(),
        }));
    }
    found.extend(work.variables.iter().filter(|(_, text)| is_template(text)).map(|(name, _)| name.clone()));
    found
}
