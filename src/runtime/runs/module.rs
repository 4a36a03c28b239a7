//! A task that runs a Terraform module: the workspace is written, then one step follows another.

use std::collections::BTreeMap;
use std::path::Path;

use tracing::{debug, info, warn};

use super::Done;
use super::Runner;
use super::exec::{Ended, Prints, Stopped};
use super::progress::Listener;
use super::review::Verdict;
use crate::guardian::{Cause, Exit, RunKey, Spawn};
use crate::runtime::journal;
use crate::state::{self, Caller, Grant, SetAside, StateAnswer, StateCall, StateService, Token};
use crate::task::Start;
use crate::task::spec::TerraformWork;
use crate::terraform::{self, Chosen, DefaultBackend, backend, backend_http, binary, initialised, install, workspace};

/// What the steps are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// Make it so.
    Apply,
    /// Say what would change.
    Inspect,
    /// Say whether what was made is still so.
    Drift,
    /// Initialise and validate.
    Prepare,
}

impl Aim {
    /// The word of the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "running",
            Self::Inspect => "inspecting",
            Self::Drift => "looking for drift of",
            Self::Prepare => "preparing",
        }
    }
}

/// A workspace that is written, and what its steps need.
pub(super) struct Ready {
    state: Chosen,
    /// The cluster keeps the state, and the run has a credential for it.
    kept: bool,
    binary: terraform::Binary,
    pub(super) env: Vec<(String, String)>,
    handlers: Vec<terraform::handler::Handler>,
    is_initialised: bool,
}

impl Runner {
    /// Writes the workspace.
    pub(super) async fn prepare_module(&self, start: &Start, work: &TerraformWork) -> Result<Ready, Stopped> {
        let (state, kept) = self.leashed(start, self.backend(start)).await?;
        let ready = self.write_workspace(start, work, state, kept).await;
        if ready.is_err() && kept {
            self.state.credentials.close(start.run.0.into_bytes());
        }
        ready
    }

    async fn write_workspace(
        &self,
        start: &Start,
        work: &TerraformWork,
        state: Chosen,
        kept: bool,
    ) -> Result<Ready, Stopped> {
        let fail = |error: &dyn std::fmt::Display| Stopped::Failed(error.to_string());
        let binary = self.leashed(start, self.terraform_binary()).await?;
        let secrets = self.secrets(start).await?;
        let (settings, work) = (secrets.settings.clone(), secrets.work(work));
        let mut state = state;
        state.env.extend(workspace::by_env(&secrets.spec, work, &settings).map_err(|e| fail(&e))?);
        let dir = start.spec.working_dir.clone();
        let inputs = Self::inputs(start);
        let written = {
            let (spec, work, binary, dir) = (secrets.spec.clone(), work.clone(), binary.clone(), dir.clone());
            let (state, shared) = (state.clone(), secrets.clone());
            let write = move || {
                let workspace = state.has_workspaces().then_some(spec.name.as_str());
                workspace::write(&dir, &spec, &work, &inputs, &binary, &settings, &state)
                    .map(|_| initialised::is_initialised(&dir, workspace, &binary))
                    .map(|is| shared.give().map(|()| is))
            };
            let _together = self.workspaces.read().await;
            tokio::task::spawn_blocking(write).await.map_err(|e| fail(&e))?
        };
        let is_initialised = written.map_err(|e| fail(&e))?.map_err(Stopped::Failed)?;
        // Providers take credentials from the environment of the agent, as with CTS; what would change the run is withheld.
        let base = self.base(&start.spec, &secrets).into_iter();
        let base = base.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let mut env = terraform::env::env_for(&secrets.settings, work, &dir, &state.env, base);
        // What the operator sets for runs counts, even what would not be inherited.
        env.retain(|(name, _)| !secrets.set.contains_key(name));
        env.extend(secrets.set.clone());
        let own = self.environment.iter().filter_map(|(k, v)| Some((k.to_str()?.to_owned(), v.to_str()?.to_owned())));
        let handlers =
            terraform::handler::for_task(&secrets.settings, work, &own.collect()).map_err(Stopped::Failed)?;
        Ok(Ready { state, kept, binary, env, handlers, is_initialised })
    }

    /// Runs the steps. An inspection returns its plan.
    pub(super) async fn module(&self, start: &Start, ready: Ready, aim: Aim) -> Result<Done, Stopped> {
        let is_reviewed = aim == Aim::Apply && start.spec.run.review.is_on();
        let outcome = if is_reviewed {
            let outcome = Box::pin(self.reviewed_steps(start, &ready)).await;
            self.remove_plan(start).await;
            outcome
        } else {
            self.steps(start, &ready, aim, None).await
        };
        if ready.kept {
            self.set_aside(start).await;
        }
        self.close(start, &ready);
        outcome
    }

    /// The run asks for its state no more.
    pub(super) fn close(&self, start: &Start, ready: &Ready) {
        if ready.kept {
            self.state.credentials.close(start.run.0.into_bytes());
        }
    }

    /// The steps of a task whose plan is looked at before it is applied.
    async fn reviewed_steps(&self, start: &Start, ready: &Ready) -> Result<Done, Stopped> {
        let approved = self.approved_plan(start).await?;
        if let Some(record) = &approved {
            self.put_plan(start, record).await?;
        }
        let outcome = self.steps(start, ready, Aim::Apply, Some(approved.is_some())).await;
        // Whatever waited before is of a time that is over, unless nobody knows what this run did.
        match &outcome {
            Ok(Done { waits: Some(_), .. }) | Err(Stopped::Interrupted(_) | Stopped::Lost(_)) => {}
            Ok(_) | Err(_) => self.forget_plan(start).await,
        }
        outcome
    }

    /// `reviewed`: it stops at its plan; with `true` it has an approved one.
    async fn steps(&self, start: &Start, ready: &Ready, aim: Aim, reviewed: Option<bool>) -> Result<Done, Stopped> {
        let Ready { state, binary, env, handlers, is_initialised, .. } = ready;
        let dir = &start.spec.working_dir;
        let mut steps = terraform::Run::new(binary.clone(), &start.task, !is_initialised);
        steps = match aim {
            Aim::Apply => match reviewed {
                None => steps,
                Some(false) => steps.reviewed(),
                Some(true) => steps.approved(),
            },
            Aim::Inspect => steps.inspecting(),
            // What follows from other inputs than those of the newest run is no drift.
            Aim::Drift => {
                let now = self.leashed(start, async { Ok(self.fingerprint(start).await) }).await?;
                steps.looking_for_drift(now.is_some() && now == start.unless)
            }
            Aim::Prepare => steps.preparing(),
        };
        if !state.has_workspaces() {
            steps = steps.without_workspaces();
        }
        let (mut json, mut waits) = (Vec::new(), None);
        loop {
            match steps.next() {
                terraform::Action::Done(Ok(())) => break,
                terraform::Action::Done(Err(error)) => return Err(Stopped::Failed(error)),
                terraform::Action::Remember => {
                    if let Err(error) = initialised::remember(dir, binary) {
                        debug!(task = start.task, %error, "the next run will initialise again");
                    }
                }
                terraform::Action::Review => {
                    match self.review(start, ready, steps.plan(), std::mem::take(&mut json)).await? {
                        Verdict::Apply => steps.apply_plan(),
                        Verdict::Waits(text) => {
                            waits = Some(text);
                            steps.leave_plan();
                        }
                    }
                }
                terraform::Action::Exec(step) => {
                    let ended = self.step(start, dir, step, env, &mut json).await?;
                    let exit = match ended.exit {
                        Exit::Code(code) => terraform::Exit::Code(code),
                        Exit::Signal(signal) => terraform::Exit::Signal(signal),
                    };
                    let was_stale = steps.stale().is_some();
                    steps.handle_exit(exit, &ended.stdout, &ended.stderr);
                    if let Some(why) = steps.stale().filter(|_| !was_stale) {
                        let why = why.lines().next().unwrap_or_default();
                        warn!(
                            task = start.task,
                            why, "the approved plan cannot be applied any more: a new one is made"
                        );
                    }
                }
            }
        }
        for handler in handlers.iter().filter(|_| aim == Aim::Apply && waits.is_none()) {
            self.lease(start.epoch)?;
            let call = async { handler.run(&self.called).await.map_err(Stopped::Failed) };
            self.leashed(start, call).await?;
        }
        for warning in steps.take_warnings() {
            warn!(task = start.task, warning, "terraform warns");
        }
        Ok(Done { plan: steps.plan().cloned(), waits, drift: steps.drift().map(str::to_owned) })
    }

    /// The data of the run, as modules are given it.
    pub(super) fn inputs(start: &Start) -> terraform::Inputs {
        let members = start.inputs.members.as_ref().and_then(|members| members.as_object()).cloned();
        terraform::Inputs { members: members.unwrap_or_default(), data: start.inputs.data.clone() }
    }

    /// One step, to its own end.
    async fn step(
        &self,
        start: &Start,
        dir: &Path,
        step: terraform::Step,
        env: &[(String, String)],
        json: &mut Vec<u8>,
    ) -> Result<Ended, Stopped> {
        debug!(task = start.task, step = step.kind.as_str(), "terraform");
        if let Some(live) = self.logs.of(start.run) {
            live.note(step.kind.as_str());
        }
        let (kind, events) = (step.kind, step.events);
        let mut spawn = Spawn::new(RunKey::new(start.task.as_str(), start.run.0), step.argv, dir);
        spawn.env = env.iter().map(|(k, v)| (k.into(), v.into())).collect();
        spawn.launch = self.secrets(start).await?.launch();
        spawn.grace = start.spec.grace;
        // Another task's init may hang in the cache that they share.
        let turn = match kind {
            terraform::StepKind::Init => self.leashed(start, async { Ok(self.caches.turn(env).await) }).await?,
            _ => None,
        };
        let is_data = kind == terraform::StepKind::ShowPlan;
        let listener = Listener::new(&start.task, kind, events, self.terraform.log && !is_data, &self.progress);
        let mut listener = listener.hiding(self.mask(start.run));
        let ended = if is_data {
            let (ended, printed) = self.show_plan(start, spawn).await?;
            *json = printed;
            ended
        } else {
            let prints = if events { Prints::Events } else { Prints::Text };
            self.exec(spawn, start, prints, &mut |stream, bytes, lost| listener.handle(stream, bytes, lost)).await?
        };
        listener.end();
        drop(turn);
        if ended.by == Cause::Itself { Ok(ended) } else { Err(Stopped::Interrupted(ended.by.to_string())) }
    }

    /// Where the task's state is; `true`: the cluster keeps it and the run has a credential of its own.
    async fn backend(&self, start: &Start) -> Result<(Chosen, bool), Stopped> {
        let secrets = self.secrets(start).await?;
        let configured = secrets.settings.backend.as_ref();
        let kept = configured.is_none() && self.state.kept;
        let default = if kept {
            // Terraform would only tell that the answer was an error.
            self.state.desk.can_be_read(&start.task).await.map_err(Stopped::Failed)?;
            let mut address = self.state.address.clone();
            let address = address.wait_for(Option::is_some).await.ok().and_then(|address| *address);
            let Some(address) = address else {
                return Err(Stopped::Interrupted("the listener for Terraform state is gone".to_owned()));
            };
            let token = Token { epoch: start.epoch, run: start.run.0.into_bytes() };
            let grant = Grant { task: start.task.clone(), token, patience: journal::wait(start.spec.grace) };
            let credential = self.state.credentials.open(grant, secret());
            let (user, password) = (&credential.username, &credential.password);
            let env = backend_http::env_for_run(Vec::new(), address, &start.task, user, password);
            DefaultBackend::Cluster(Chosen { backend: backend_http::backend(), env: BTreeMap::from_iter(env) })
        } else if let Some(access) = self.state.consul.clone() {
            DefaultBackend::Consul(access)
        } else {
            DefaultBackend::Local
        };
        Ok((backend::choose(configured, self.state.consul.as_ref(), &default), kept))
    }

    /// What the run could not write is kept beside, and the cluster told: nobody shall lose a resource silently.
    async fn set_aside(&self, start: &Start) {
        let (dir, run) = (start.spec.working_dir.clone(), quorate_proto::hex(&start.run.0.into_bytes()));
        let found = tokio::task::spawn_blocking(move || backend_http::pick_up_errored(&dir, &run)).await;
        let errored = match found {
            Ok(Ok(Some(errored))) => errored,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return warn!(task = start.task, %error, "a state that was not written cannot be read"),
            Err(error) => return warn!(task = start.task, %error, "a state that was not written cannot be read"),
        };
        let path = errored.path.display().to_string();
        let content = match state::Content::of(&errored.content) {
            Ok(content) => content,
            Err(error) => return warn!(task = start.task, path, %error, "a state that was not written makes no sense"),
        };
        let token = Token { epoch: start.epoch, run: start.run.0.into_bytes() };
        let aside = SetAside::of(&content, token, self.me.clone(), path.clone(), crate::runtime::state::now_ms());
        warn!(task = start.task, path, "a run could not write its state: {}", aside.text(&start.task));
        let (task, caller) = (start.task.clone(), Caller::Agent(self.me.clone()));
        let call = StateCall { task, caller, request: state::Request::SetAside(aside) };
        let answer = self.state.desk.handle(call).await;
        if !matches!(answer, StateAnswer::Done) {
            warn!(task = start.task, path, ?answer, "the cluster could not be told of the state that was set aside");
        }
    }

    pub(super) async fn terraform_binary(&self) -> Result<terraform::Binary, Stopped> {
        let find = || async {
            let settings = self.terraform.clone();
            let path = self.environment.iter().find(|(name, _)| name == "PATH");
            let path = path.map_or_else(std::ffi::OsString::new, |(_, value)| value.clone());
            let mirror = self.environment.iter().find(|(name, _)| name == install::RELEASES_VARIABLE);
            let releases = mirror.and_then(|(_, value)| value.to_str()).unwrap_or(install::RELEASES);
            let found = binary::find_or_install(&settings, &path.to_string_lossy(), releases).await;
            let found = found.map_err(|e| Stopped::Failed(e.to_string()))?;
            info!(program = %found.path.display(), version = %found.version, "found {}", found.kind);
            if let Some(warning) = binary::version_warning(&self.terraform, &found) {
                warn!("{warning}");
            }
            Ok(found)
        };
        self.binary.get_or_try_init(find).await.cloned()
    }
}

/// 128 random bits.
fn secret() -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for _ in 0..2 {
        hasher.update(uuid::Uuid::new_v4().as_bytes());
    }
    let mut secret = [0; 16];
    secret.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    secret
}
