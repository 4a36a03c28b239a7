//! Random histories of runs and people.

use proptest::prelude::*;

use super::*;

/// A step of a random history.
#[derive(Debug, Clone)]
enum Move {
    /// The journal: a new run, by the same or a later leader.
    Start {
        later: bool,
    },
    Finish,
    /// A request of a run: 0 is the newest ever, 1 the one before, ...
    Ask {
        back: usize,
        request: usize,
        id: u8,
        serial: u64,
    },
    Push {
        serial: u64,
        force: bool,
    },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        any::<bool>().prop_map(|later| Move::Start { later }),
        Just(Move::Finish),
        (0..4_usize, 0..6_usize, 0..3_u8, 0..12_u64).prop_map(|(back, request, id, serial)| Move::Ask {
            back,
            request,
            id,
            serial
        }),
        (0..12_u64, any::<bool>()).prop_map(|(serial, force)| Move::Push { serial, force }),
    ];
    prop::collection::vec(one, 1..60)
}

proptest! {
    /// No request of a run that is not the newest, or is over, changes anything; the fence never falls; what is kept
    /// stays readable; every request repeated is as done once.
    #[test]
    fn stale_requests_never_change_the_document(history in moves()) {
        let mut world = World::new();
        let mut runs = vec![token(1, 1)];
        for step in history {
            let before = world.registers.clone();
            let fence_before = world.document().fence.map_or(Epoch(0), |token| token.epoch);
            match step {
                Move::Start { later } => {
                    let last = *runs.last().unwrap();
                    let next = token(last.epoch.0 + u64::from(later), last.run[0].wrapping_add(1));
                    runs.push(next);
                    world.start(next);
                }
                Move::Finish => world.finish(),
                Move::Ask { back, request, id, serial } => {
                    let back = back.min(runs.len() - 1);
                    let token = runs[runs.len() - 1 - back];
                    let id = format!("l{id}");
                    let request = match request {
                        0 => Request::Get { version: None },
                        1 | 2 => Request::Put { lock_id: Some(id), content: state("a", serial, "") },
                        3 => Request::Delete { lock_id: Some(id) },
                        4 => Request::Lock { info: info(&id) },
                        _ => Request::Unlock { info: info(&id) },
                    };
                    let stale = back > 0 || world.fence.unwrap().finished;
                    let answer = world.run(token, request.clone());
                    prop_assert_eq!(stale, matches!(answer, StateAnswer::Fenced { .. }));
                    if !matches!(answer, StateAnswer::Done) {
                        prop_assert_eq!(&world.registers, &before);
                    }
                    let after = world.registers.clone();
                    prop_assert_eq!(world.run(token, request), answer);
                    prop_assert_eq!(&world.registers, &after);
                }
                Move::Push { serial, force } => {
                    let in_flight = !world.fence.unwrap().finished;
                    let answer = world.push(state("a", serial, "pushed"), force);
                    if in_flight {
                        prop_assert_eq!(&world.registers, &before);
                        prop_assert!(matches!(answer, StateAnswer::Conflict(_)));
                    }
                }
            }
            let document = world.document();
            prop_assert!(document.fence.map_or(Epoch(0), |token| token.epoch) >= fence_before);
            prop_assert!(document.versions.len() as u64 <= VERSIONS);
            let numbers: Vec<u64> = document.versions.iter().map(|version| version.number).collect();
            for number in numbers {
                let answer = world.ask(Caller::Operator, Request::Get { version: Some(number) });
                prop_assert!(matches!(answer, StateAnswer::Content { .. }), "version {}: {:?}", number, answer);
            }
        }
    }
}
