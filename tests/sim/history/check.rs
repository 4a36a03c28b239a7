//! The search for an order that explains a history: Wing and Gong's, with Lowe's memory of what was tried.
//!
//! At each step one of the calls that were asked before the first answer among those left may be next. A set of calls
//! already placed together with the object they lead to is tried once. Unanswered calls may be placed, or be left over.

use std::collections::BTreeSet;

use super::{Call, Object};

/// So many calls fit one history.
pub(crate) const LONGEST: usize = 128;

/// Whether an order of effects explains all answers; otherwise the longest explained part, for people.
pub(crate) fn check(history: &[Call]) -> Result<(), String> {
    assert!(history.len() <= LONGEST, "a history of {} calls is too long", history.len());
    let mut calls: Vec<&Call> = history.iter().collect();
    calls.sort_by_key(|call| call.asked);
    let owed: u128 = bits(calls.iter().map(|call| call.answered.is_some()));
    let mut tried: BTreeSet<(u128, Object)> = BTreeSet::new();
    let mut open = vec![(0_u128, Object::default())];
    let (mut best, mut best_object) = (0_u128, Object::default());
    while let Some((placed, object)) = open.pop() {
        if placed & owed == owed {
            return Ok(());
        }
        if !tried.insert((placed, object)) {
            continue;
        }
        if (placed & owed).count_ones() > (best & owed).count_ones() {
            (best, best_object) = (placed, object);
        }
        let left = |i: &usize| placed & (1 << i) == 0;
        let first_answer = (0..calls.len()).filter(left).filter_map(|i| Some(calls[i].answered?.0)).min();
        // Unanswered calls are pushed first, so that they are tried last.
        let mut next: Vec<usize> =
            (0..calls.len()).filter(left).filter(|i| first_answer.is_none_or(|at| calls[*i].asked <= at)).collect();
        next.sort_by_key(|i| (calls[*i].answered.is_some(), std::cmp::Reverse(*i)));
        for i in next {
            let (answer, after) = calls[i].op.apply(object);
            match calls[i].answered {
                Some((_, told)) if told != answer => {}
                // What changes nothing and was never answered explains nothing.
                None if after == object => {}
                _ => open.push((placed | (1 << i), after)),
            }
        }
    }
    let stuck: Vec<String> = (0..calls.len())
        .filter(|i| best & (1 << i) == 0 && calls[*i].answered.is_some())
        .take(4)
        .map(|i| format!("{:?}", calls[i]))
        .collect();
    Err(format!("no order explains the answers: at best the object is {best_object:?} before {}", stuck.join(" or ")))
}

fn bits(which: impl Iterator<Item = bool>) -> u128 {
    which.enumerate().filter(|(_, set)| *set).fold(0, |all, (i, _)| all | (1 << i))
}
