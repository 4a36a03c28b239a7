//! What happened before a model begins: a prefix of one behaviour, so that deep states need not be searched for.

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_proto::message::Body;

use crate::config::Clocks;
use crate::input::{Envelope, Input, Step};
use crate::world::{State, World};

/// One part of a prefix.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    /// Every message is delivered once, in order, and every write reaches its disk, until nothing is left to do.
    /// Messages from and to the agents in `but` (a bit for each) are lost.
    Settle { but: u8 },
    /// What is on its way between these two arrives; no write reaches a disk.
    Deliver { from: usize, to: usize },
    /// The writes that were lost between these two arrive after all.
    LateWrites { from: usize, to: usize },
    /// One input.
    Do(usize, Input),
    /// All clocks advance by a step.
    Pass,
}

/// Plays it, from `state` and what was sent so far.
pub(crate) fn play(world: &World, mut state: State, script: &[Play]) -> State {
    let mut sent: VecDeque<Arc<Envelope>> = state.net.iter().cloned().collect();
    let mut lost: Vec<Arc<Envelope>> = Vec::new();
    let take = |state: &mut State, sent: &mut VecDeque<Arc<Envelope>>, agent: usize, step: Option<Arc<Step>>| {
        let Some(step) = step else { return false };
        sent.extend(step.sent.iter().cloned());
        world.take(state, agent, &step);
        true
    };
    for part in script {
        match part {
            Play::Do(agent, input) => {
                let step = world.memo.step(&state.hosts[*agent], input, &world.config);
                assert!(take(&mut state, &mut sent, *agent, step), "{part:?} does nothing");
            }
            Play::Pass => {
                let lazy = match world.config.clocks {
                    Clocks::Bound { lazy } => lazy,
                    Clocks::Free { .. } => 0,
                };
                for agent in 0..state.hosts.len() {
                    let wakes = lazy >> agent & 1 == 0;
                    let step = world.memo.step(&state.hosts[agent], &Input::Pass { wakes }, &world.config);
                    take(&mut state, &mut sent, agent, step);
                }
            }
            Play::Deliver { from, to } | Play::LateWrites { from, to } => {
                let late = matches!(part, Play::LateWrites { .. });
                let way = |e: &Arc<Envelope>| {
                    let fits = !late || matches!(e.message.body, Body::Write { .. });
                    fits && e.to == *to && e.from == crate::config::address(*from)
                };
                let due: Vec<_> = if late {
                    lost.iter().filter(|e| way(e)).cloned().collect()
                } else {
                    sent.iter().filter(|e| way(e)).cloned().collect()
                };
                sent.retain(|e| late || !way(e));
                for envelope in due {
                    let step = world.memo.step(&state.hosts[*to], &Input::Message(envelope), &world.config);
                    take(&mut state, &mut sent, *to, step);
                }
            }
            Play::Settle { but } => loop {
                let busy = (0..state.hosts.len()).find(|agent| !state.hosts[*agent].pending.is_empty());
                if let Some(agent) = busy {
                    let step = world.memo.step(&state.hosts[agent], &Input::Persisted, &world.config);
                    take(&mut state, &mut sent, agent, step);
                    continue;
                }
                let Some(envelope) = sent.pop_front() else { break };
                let from = crate::config::agent_at(envelope.from).unwrap();
                if but >> envelope.to & 1 == 1 || but >> from & 1 == 1 {
                    lost.push(envelope);
                    continue;
                }
                let agent = envelope.to;
                let step = world.memo.step(&state.hosts[agent], &Input::Message(envelope), &world.config);
                take(&mut state, &mut sent, agent, step);
            },
        }
    }
    if !world.config.keeps_old {
        let mut net: Vec<_> = sent.into_iter().collect();
        net.sort_unstable_by_key(|envelope| envelope.hash);
        net.dedup_by_key(|envelope| envelope.hash);
        state.net = Arc::new(net);
    }
    state.spent = Default::default();
    state
}
