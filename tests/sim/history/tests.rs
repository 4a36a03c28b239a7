//! The checker finds what is broken, accepts what is not, and agrees with another implementation.

use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use super::{Answer, Call, LONGEST, Object, Op, check};
use crate::leadership::dice::Dice;

fn call(op: Op, asked: u64, answered: u64, answer: Answer) -> Call {
    Call { op, asked, answered: Some((answered, answer)) }
}

fn unknown(op: Op, asked: u64) -> Call {
    Call { op, asked, answered: None }
}

fn task(value: u64) -> Answer {
    Answer::Is(Object { exists: true, value, enabled: true, ..Object::default() })
}

const NOTHING: Answer = Answer::Is(Object { exists: false, value: 0, enabled: false, serial: 0, lock: None });

#[test]
fn what_really_happened_is_explained() {
    let created = call(Op::Create(1), 0, 10, Answer::Done);
    let history = [
        created.clone(),
        call(Op::Change(2), 20, 40, Answer::Done),
        // While the change is under way either may be seen.
        call(Op::Read, 25, 30, task(2)),
        call(Op::Read, 21, 24, task(1)),
        call(Op::Read, 50, 60, task(2)),
        call(Op::Delete, 61, 70, Answer::Done),
        call(Op::Read, 71, 80, NOTHING),
    ];
    assert_eq!(check(&history), Ok(()));
    // What was never answered may have happened, late, or not at all.
    let maybe = [created.clone(), unknown(Op::Change(2), 20), call(Op::Read, 30, 31, task(1))];
    assert_eq!(check(&maybe), Ok(()));
    let late = [&maybe[..], &[call(Op::Read, 40, 41, task(2))]].concat();
    assert_eq!(check(&late), Ok(()));
}

#[test]
fn a_lost_write_is_found() {
    let history = [
        call(Op::Create(1), 0, 10, Answer::Done),
        call(Op::Change(2), 20, 30, Answer::Done),
        call(Op::Read, 40, 50, task(1)),
    ];
    assert!(check(&history).is_err());
}

#[test]
fn a_delete_that_comes_back_is_found() {
    let history = [
        call(Op::Create(1), 0, 10, Answer::Done),
        call(Op::Delete, 20, 30, Answer::Done),
        call(Op::Read, 40, 50, task(1)),
    ];
    assert!(check(&history).is_err());
}

#[test]
fn a_stale_read_after_a_fresh_one_is_found() {
    let history = [
        call(Op::Create(1), 0, 10, Answer::Done),
        unknown(Op::Change(2), 20),
        call(Op::Read, 30, 40, task(2)),
        call(Op::Read, 50, 60, task(1)),
    ];
    assert!(check(&history).is_err());
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    assert!(check(&[call(Op::Read, 0, 1, task(9))]).is_err());
}

#[test]
fn two_writes_on_one_serial_and_two_holders_of_one_lock_are_found() {
    let store = |holder, value| Op::Store { holder, serial: 0, value };
    let locked = call(Op::Lock(1), 0, 10, Answer::Done);
    let stored = call(store(1, 5), 20, 30, Answer::Done);
    assert_eq!(check(&[locked.clone(), stored.clone()]), Ok(()));
    assert!(check(&[locked.clone(), stored.clone(), call(store(1, 6), 40, 50, Answer::Done)]).is_err());
    assert!(check(&[locked.clone(), call(Op::Lock(2), 40, 50, Answer::Done)]).is_err());
    assert_eq!(check(&[locked, call(Op::Lock(2), 40, 50, Answer::Locked)]), Ok(()));
}

/// The same rules for the other implementation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Other(Object);

impl SequentialSpec for Other {
    type Op = Op;
    type Ret = Answer;

    fn invoke(&mut self, op: &Op) -> Answer {
        let (answer, after) = op.apply(self.0);
        self.0 = after;
        answer
    }
}

/// What stateright makes of a history: every call is a thread of its own, in the order of the events.
fn by_stateright(history: &[Call]) -> bool {
    let mut events: Vec<(u64, bool, usize)> = Vec::new();
    for (i, call) in history.iter().enumerate() {
        events.push((call.asked, false, i));
        events.extend(call.answered.map(|(at, _)| (at, true, i)));
    }
    events.sort_unstable();
    let mut tester = LinearizabilityTester::new(Other::default());
    for (_, answered, i) in events {
        if let (true, Some((_, answer))) = (answered, history[i].answered) {
            tester.on_return(i, answer).unwrap();
        } else {
            tester.on_invoke(i, history[i].op).unwrap();
        }
    }
    tester.is_consistent()
}

fn any_op(dice: &mut Dice, value: u64) -> Op {
    let holder = u8::try_from(dice.range(0, 2)).unwrap();
    match dice.index(9) {
        0..=2 => Op::Read,
        3 => Op::Create(value),
        4 => Op::Change(value),
        5 => Op::Delete,
        6 => Op::Lock(holder),
        7 => Op::Unlock(holder),
        _ => Op::Store { holder, serial: u32::try_from(dice.range(0, 2)).unwrap(), value },
    }
}

/// Calls that overlap, of an object that behaves, except that now and then an answer is of another moment.
fn any_history(dice: &mut Dice) -> Vec<Call> {
    let mut object = Object::default();
    let mut history = Vec::new();
    let mut before = object;
    let broken = dice.percent(50);
    for value in 1..=dice.range(2, 7) {
        let op = any_op(dice, value);
        let stale = broken && dice.percent(60);
        let (answer, after) = op.apply(if stale { before } else { object });
        before = object;
        let happened = value * 100;
        let (asked, answered) = (happened - dice.range(1, 120).min(happened), happened + dice.range(1, 120));
        let never = dice.percent(15);
        if !(never && dice.percent(50)) {
            object = after;
        }
        // Distinct moments: who was first must not depend on the reader.
        let times = (asked * 16 + value, answered * 16 + value + 8);
        let answered = (!never).then_some((times.1, answer));
        history.push(Call { op, asked: times.0, answered });
    }
    history
}

#[test]
fn another_implementation_comes_to_the_same_verdicts() {
    let (mut fine, mut broken) = (0, 0);
    for seed in 0..4_000 {
        let history = any_history(&mut Dice::new(seed));
        let ours = check(&history).is_ok();
        assert_eq!(ours, by_stateright(&history), "seed {seed}: {history:#?}");
        if ours { fine += 1 } else { broken += 1 }
    }
    println!("{fine} histories explained, {broken} not");
    assert!(fine > 300 && broken > 150, "{fine} explained, {broken} not");
}

#[test]
fn a_long_history_with_many_unknown_outcomes_is_checked_in_time() {
    let mut dice = Dice::new(1);
    let mut history = vec![call(Op::Create(1), 0, 1, Answer::Done)];
    let mut value = 1;
    for i in 1..LONGEST as u64 {
        let at = i * 10;
        if i % 16 == 0 {
            history.push(unknown(Op::Change(1_000 + i), at));
        } else if dice.percent(50) {
            value = i + 1;
            history.push(call(Op::Change(value), at, at + 9, Answer::Done));
        } else {
            history.push(call(Op::Read, at, at + 9, task(value)));
        }
    }
    assert_eq!(check(&history), Ok(()));
    let last = history.len() - 1;
    history[last] = call(Op::Read, 5_000, 5_001, task(7_777));
    assert!(check(&history).is_err());
}
