//! The models, each small and named. What each leaves out is in its text; what all leave out is in `main.rs`.

mod core;
mod founding;
mod lease;
mod runs;
mod voters;

use quorate_proto::message::Body;

pub(crate) use self::core::{
    contention, core, disks, given_up, hand_over, minority, network, restarts, stale, succession, unseen,
};
pub(crate) use self::founding::{founding, founding_loss, founding_split, founding_twice};
pub(crate) use self::lease::{lease, pauses, renewed, slow_election, take_over};
pub(crate) use self::runs::{
    rivals, runs, runs_handed_over, runs_late, runs_orphaned, runs_paused, runs_start, runs_told,
};
pub(crate) use self::voters::{growth, growth_in_time, removal, window};
use crate::config::Config;
use crate::input::Input;
use crate::script::Play;

/// No renewals: without a bound on clocks they change nothing but the number of states.
fn no_renewals(body: &Body) -> bool {
    !matches!(body, Body::Renew { .. } | Body::Renewed { .. })
}

/// Only what carries promises and data: refusals, releases and renewals are always lost.
fn only_data(body: &Body) -> bool {
    use Body::{Ack, Claim, Grant, Pull, Values, Write};
    matches!(body, Claim { .. } | Grant { .. } | Pull { .. } | Values { .. } | Write { .. } | Ack { .. })
}

fn claims(body: &Body) -> bool {
    only_data(body) || matches!(body, Body::Refuse { .. } | Body::Release { .. })
}

fn leases(body: &Body) -> bool {
    only_data(body) || matches!(body, Body::Renew { .. } | Body::Renewed { .. })
}

const N1: u8 = 1;
const N2: u8 = 2;
const N3: u8 = 4;

/// Everything sent so far arrives, but for these agents.
fn settled(but: u8) -> Play {
    Play::Settle { but }
}

fn advise(agent: usize, sees: u8, agents: usize) -> Play {
    Play::Do(agent, Input::Advise { sees, instances: vec![0; agents] })
}

pub(crate) fn all() -> Vec<Config> {
    vec![
        core(),
        contention(),
        given_up(),
        network(),
        disks(),
        succession(),
        stale(),
        unseen(),
        minority(),
        hand_over(),
        lease(),
        take_over(),
        slow_election(),
        renewed(),
        pauses(),
        founding(),
        founding_split(),
        founding_twice(),
        founding_loss(),
        removal(),
        growth(),
        growth_in_time(),
        restarts(),
        runs(),
        runs_orphaned(),
        runs_told(),
        runs_start(),
        runs_handed_over(),
        runs_paused(),
        runs_late(),
        rivals(),
    ]
}
