//! What the keeper of a state answers, request by request.

mod histories;

use std::collections::BTreeMap;

use quorate_proto::Epoch;

use super::super::document::index_key;
use super::super::{SET_ASIDE_MAX, VERSIONS};
use super::*;

/// A task's registers, and a hand that asks.
#[derive(Debug, Clone)]
struct World {
    registers: BTreeMap<String, Vec<u8>>,
    fence: Option<Fence>,
}

impl World {
    fn new() -> Self {
        Self { registers: BTreeMap::new(), fence: Some(Fence { token: token(1, 1), finished: false }) }
    }

    fn document(&self) -> Document {
        Document::decode(self.registers.get(&index_key("fw")).map(Vec::as_slice)).unwrap()
    }

    fn ask(&mut self, caller: Caller, request: Request) -> StateAnswer {
        let call = StateCall { task: "fw".to_owned(), caller, request };
        let document = self.document();
        let content = needs(&call, &document).and_then(|key| self.registers.get(&key).cloned());
        let leadership = Leadership { leader: agent("a9"), epoch: Epoch(9) };
        let Decision { answer, writes } = decide(call, document, content, self.fence, &leadership, 1000);
        for Entry { key, value } in writes {
            self.registers.insert(key, value.unwrap());
        }
        answer
    }

    fn run(&mut self, token: Token, request: Request) -> StateAnswer {
        self.ask(Caller::Run { token, agent: agent("a1") }, request)
    }

    fn start(&mut self, token: Token) {
        self.fence = Some(Fence { token, finished: false });
    }

    fn finish(&mut self) {
        self.fence.as_mut().unwrap().finished = true;
    }

    fn lock(&mut self, token: Token, id: &str) -> StateAnswer {
        self.run(token, Request::Lock { info: info(id) })
    }

    fn put(&mut self, token: Token, id: &str, content: Vec<u8>) -> StateAnswer {
        self.run(token, Request::Put { lock_id: Some(id.to_owned()), content })
    }

    fn push(&mut self, content: Vec<u8>, force: bool) -> StateAnswer {
        self.ask(Caller::Operator, Request::Push { content, force })
    }

    fn get(&mut self, token: Token) -> StateAnswer {
        self.run(token, Request::Get { version: None })
    }

    fn current(&mut self) -> Option<Vec<u8>> {
        match self.ask(Caller::Operator, Request::Get { version: None }) {
            StateAnswer::Content { content, .. } => Some(content),
            StateAnswer::Nothing => None,
            other => panic!("{other:?}"),
        }
    }
}

fn agent(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

fn token(epoch: u64, run: u8) -> Token {
    Token { epoch: Epoch(epoch), run: [run; 16] }
}

fn info(id: &str) -> Vec<u8> {
    format!(r#"{{"ID":"{id}","Operation":"OperationTypeApply"}}"#).into_bytes()
}

fn state(lineage: &str, serial: u64, text: &str) -> Vec<u8> {
    format!(r#"{{"version":4,"serial":{serial},"lineage":"{lineage}","text":"{text}"}}"#).into_bytes()
}

/// A world with a lock `l` of run 1 in epoch 1 and one version, serial 5.
fn locked() -> World {
    let mut world = World::new();
    assert_eq!(world.lock(token(1, 1), "l"), StateAnswer::Done);
    assert_eq!(world.put(token(1, 1), "l", state("a", 5, "")), StateAnswer::Done);
    world
}

#[test]
fn what_was_put_is_got() {
    let mut world = World::new();
    assert_eq!(world.get(token(1, 1)), StateAnswer::Nothing);
    let mut world = locked();
    let content = state("a", 5, "");
    let md5 = super::super::content::md5(&content);
    assert_eq!(world.get(token(1, 1)), StateAnswer::Content { md5, content });
    let document = world.document();
    assert_eq!((document.newest, document.versions[0].serial, document.versions[0].token), (1, 5, Some(token(1, 1))));
}

#[test]
fn lineage_and_serial_decide_what_fits() {
    for (content, expected) in [
        (state("a", 6, ""), None),
        (state("a", 9, ""), None),
        (state("a", 5, ""), None), // The very same: a repeated request.
        (state("a", 5, "x"), Some("serial 5 already")),
        (state("a", 4, ""), Some("older serial")),
        (state("b", 6, ""), Some("another lineage")),
        (b"{}".to_vec(), Some("not a Terraform state")),
    ] {
        let mut by_run = locked();
        let mut by_person = locked();
        by_person.finish();
        for answer in [by_run.put(token(1, 1), "l", content.clone()), by_person.push(content.clone(), false)] {
            match (expected, answer) {
                (None, StateAnswer::Done) => {}
                (Some(text), StateAnswer::Conflict(why) | StateAnswer::Invalid(why)) => {
                    assert!(why.contains(text), "{why}");
                }
                (_, answer) => panic!("{}: {answer:?}", String::from_utf8_lossy(&content)),
            }
        }
        let now = if expected.is_none() { content } else { state("a", 5, "") };
        assert_eq!((by_run.current(), by_person.current()), (Some(now.clone()), Some(now)));
    }
}

#[test]
fn force_puts_anything_that_is_a_state() {
    let mut world = locked();
    world.finish();
    for content in [state("a", 4, ""), state("b", 1, ""), state("b", 1, "x")] {
        assert_eq!(world.push(content.clone(), true), StateAnswer::Done);
        assert_eq!(world.current(), Some(content));
    }
    assert!(matches!(world.push(b"nonsense".to_vec(), true), StateAnswer::Invalid(_)));
}

#[test]
fn a_state_without_lineage_is_named_when_a_person_pushes_it() {
    let nameless = state("", 0, "x");
    let mut world = World::new();
    world.lock(token(1, 1), "l");
    assert!(matches!(world.put(token(1, 1), "l", nameless.clone()), StateAnswer::Invalid(_)));
    let aside = SetAside::of(&Content::of(&nameless).unwrap(), token(1, 1), agent("a1"), "/e".to_owned(), 0);
    world.ask(Caller::Agent(agent("a1")), Request::SetAside(aside));
    world.finish();
    for _ in 0..2 {
        assert_eq!(world.push(nameless.clone(), false), StateAnswer::Done, "repeated it is the same");
    }
    let document = world.document();
    let version = &document.versions[0];
    assert_eq!((document.versions.len(), version.serial, version.lineage.len()), (1, 1, 36));
    assert!(document.set_aside.is_empty());

    // Over another state only by force, and as its next version.
    let mut world = locked();
    world.finish();
    assert!(matches!(world.push(nameless.clone(), false), StateAnswer::Conflict(why) if why.contains("lineage")));
    assert_eq!(world.push(nameless, true), StateAnswer::Done);
    let document = world.document();
    let version = document.version(None).unwrap();
    assert_eq!((version.lineage.as_str(), version.serial), ("a", 6));
}

#[test]
fn a_repeated_write_makes_no_second_version() {
    let mut world = locked();
    assert_eq!(world.put(token(1, 1), "l", state("a", 5, "")), StateAnswer::Done);
    assert_eq!(world.document().versions.len(), 1);
}

#[test]
fn ten_versions_are_kept_and_the_oldest_gives_way() {
    let mut world = locked();
    for serial in 6..=20 {
        assert_eq!(world.put(token(1, 1), "l", state("a", serial, "")), StateAnswer::Done);
    }
    let numbers: Vec<u64> = world.document().versions.iter().map(|version| version.number).collect();
    assert_eq!(numbers, (7..=16).collect::<Vec<_>>());
    assert_eq!(world.registers.len() as u64, 1 + VERSIONS);
    for number in numbers {
        let answer = world.ask(Caller::Operator, Request::Get { version: Some(number) });
        assert!(matches!(answer, StateAnswer::Content { content, .. } if content == state("a", number + 4, "")));
    }
    assert_eq!(world.ask(Caller::Operator, Request::Get { version: Some(6) }), StateAnswer::Nothing);
}

#[test]
fn an_old_version_comes_back_as_a_new_one() {
    let mut world = locked();
    for serial in 6..=15 {
        world.put(token(1, 1), "l", state("a", serial, ""));
    }
    let restore = Request::Restore { version: 2 };
    assert!(matches!(world.ask(Caller::Operator, restore.clone()), StateAnswer::Conflict(_)), "a run is in flight");
    world.finish();
    // Version 2 lies in the very slot that the next version would not take: 12 % 10 == 2 does.
    assert_eq!(world.ask(Caller::Operator, restore), StateAnswer::Done);
    assert_eq!(world.current(), Some(state("a", 6, "")));
    assert_eq!(world.document().current, Some(12));
    let answer = world.ask(Caller::Operator, Request::Restore { version: 99 });
    assert!(matches!(answer, StateAnswer::Invalid(why) if why.ends_with("there are: 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")));
    // What already is the current content is not written again.
    assert_eq!(world.ask(Caller::Operator, Request::Restore { version: 12 }), StateAnswer::Done);
    assert_eq!(world.document().newest, 12);
}

#[test]
fn deleted_state_can_be_restored() {
    let mut world = locked();
    assert_eq!(world.run(token(1, 1), Request::Delete { lock_id: None }), StateAnswer::Done);
    assert_eq!(world.current(), None);
    assert_eq!(world.run(token(1, 1), Request::Delete { lock_id: Some("l".to_owned()) }), StateAnswer::Done);
    assert_eq!(world.put(token(1, 1), "l", state("b", 1, "")), StateAnswer::Done, "a new life");
    world.finish();
    assert_eq!(world.ask(Caller::Operator, Request::Restore { version: 1 }), StateAnswer::Done);
    assert_eq!(world.current(), Some(state("a", 5, "")));
}

#[test]
fn the_lock_has_one_holder() {
    let mut world = locked();
    let one = token(1, 1);
    assert_eq!(world.lock(one, "l"), StateAnswer::Done, "repeated");
    let refused = StateAnswer::Locked { info: info("l") };
    assert_eq!(world.lock(one, "m"), refused);
    assert_eq!(world.put(one, "m", state("a", 6, "")), refused);
    assert_eq!(world.run(one, Request::Put { lock_id: None, content: state("a", 6, "") }), refused);
    assert_eq!(world.run(one, Request::Delete { lock_id: Some("m".to_owned()) }), refused);
    assert_eq!(world.run(one, Request::Unlock { info: info("m") }), refused);
    assert_eq!(world.run(one, Request::Unlock { info: info("l") }), StateAnswer::Done);
    assert_eq!(world.run(one, Request::Unlock { info: info("l") }), StateAnswer::Done, "repeated");
    assert!(matches!(world.put(one, "l", state("a", 6, "")), StateAnswer::Conflict(_)), "without the lock");
    assert_eq!(world.lock(one, "m"), StateAnswer::Done);
}

#[test]
fn a_dead_runs_lock_is_taken_over_by_the_next_run() {
    // A higher epoch, and a later run of the same one.
    for next in [token(2, 2), token(1, 2)] {
        let mut world = locked();
        world.start(next);
        assert!(matches!(world.put(next, "l", state("a", 6, "")), StateAnswer::Conflict(_)), "not its lock");
        assert_eq!(world.run(next, Request::Unlock { info: info("l") }), StateAnswer::Locked { info: info("l") });
        assert_eq!(world.lock(next, "m"), StateAnswer::Done);
        assert_eq!(world.put(next, "m", state("a", 6, "")), StateAnswer::Done);
        let lock = world.document().lock.unwrap();
        assert_eq!((lock.id.as_str(), lock.token), ("m", next));
        for request in every_request("l") {
            assert!(matches!(world.run(token(1, 1), request), StateAnswer::Fenced { .. }));
        }
    }
}

#[test]
fn a_draining_run_saves_through_the_new_leader_until_the_fence_moves_on() {
    // `World` answers as a9 in epoch 9; the run is of epoch 1.
    let mut world = locked();
    assert_eq!(world.put(token(1, 1), "l", state("a", 6, "")), StateAnswer::Done);
    world.start(token(9, 2));
    let StateAnswer::Fenced { leader, epoch, why } = world.put(token(1, 1), "l", state("a", 7, "")) else {
        panic!("not refused")
    };
    assert_eq!((leader, epoch), (agent("a9"), Epoch(9)));
    assert_eq!(
        why,
        "this run of epoch 1 may not touch the state of task \"fw\" any more: its newest run was started in epoch 9; a9 \
         leads with epoch 9"
    );
}

#[test]
fn a_run_that_is_over_or_unknown_is_refused() {
    let mut over = locked();
    over.finish();
    let mut unknown = locked();
    unknown.fence = None;
    for world in [&mut over, &mut unknown] {
        for request in every_request("l") {
            assert!(matches!(world.run(token(1, 1), request), StateAnswer::Fenced { .. }));
        }
    }
}

#[test]
fn the_document_itself_remembers_the_fence() {
    let mut world = locked();
    world.start(token(5, 5));
    world.lock(token(5, 5), "m");
    // The journal was lost, or its task made anew: an old run is still an old run.
    world.start(token(1, 1));
    assert!(
        matches!(world.lock(token(1, 1), "l"), StateAnswer::Fenced { why, .. } if why.contains("a run of epoch 5"))
    );
}

#[test]
fn people_wait_for_runs_and_clear_their_locks() {
    let mut world = locked();
    let StateAnswer::Conflict(why) = world.push(state("a", 6, ""), true) else { panic!("not refused") };
    assert!(why.contains("in flight"), "{why}");
    world.finish();
    assert_eq!(world.push(state("a", 6, ""), false), StateAnswer::Done);
    let document = world.document();
    assert_eq!((document.lock, document.versions.last().unwrap().token), (None, None));
}

#[test]
fn what_was_set_aside_is_shown_until_it_is_pushed_or_dismissed() {
    let mut world = locked();
    let aside = |serial: u64, path: &str| {
        let content = Content::of(&state("a", serial, "")).unwrap();
        Request::SetAside(SetAside::of(&content, token(1, 1), agent("a1"), path.to_owned(), 7))
    };
    let report = |world: &mut World, request| world.ask(Caller::Agent(agent("a1")), request);
    assert_eq!(report(&mut world, aside(5, "/e")), StateAnswer::Done, "it was saved after all");
    assert!(world.document().set_aside.is_empty());
    for serial in [6, 7, 6] {
        assert_eq!(report(&mut world, aside(serial, "/w/errored.tfstate")), StateAnswer::Done);
    }
    assert_eq!(world.document().set_aside.len(), 2);
    let StateAnswer::Shown(summary) = world.ask(Caller::Operator, Request::Show) else { panic!("not shown") };
    assert_eq!(
        summary.errored[1].text,
        "task fw: a run of a1 (epoch 1) could not save its state (lineage a, serial 6); look at it, then on a1 run: \
         quorate state push fw /w/errored.tfstate"
    );
    world.finish();
    assert_eq!(world.push(state("a", 6, ""), false), StateAnswer::Done);
    assert_eq!(world.document().set_aside.len(), 1);
    for serial in 100..120 {
        report(&mut world, aside(serial, "/w/errored.tfstate"));
    }
    assert_eq!(world.document().set_aside.len(), SET_ASIDE_MAX);
    assert_eq!(world.ask(Caller::Operator, Request::Dismiss), StateAnswer::Done);
    assert!(world.document().set_aside.is_empty());
    assert_eq!(world.current(), Some(state("a", 6, "")), "nothing is pushed by itself");
}

#[test]
fn nobody_asks_for_what_is_not_theirs() {
    let mut world = locked();
    let run = Caller::Run { token: token(1, 1), agent: agent("a1") };
    let push = Request::Push { content: state("a", 9, ""), force: true };
    for (caller, request) in [
        (run.clone(), push.clone()),
        (run.clone(), Request::Restore { version: 1 }),
        (run.clone(), Request::Dismiss),
        (run, Request::Get { version: Some(1) }),
        (Caller::Agent(agent("a1")), push),
        (Caller::Operator, Request::Put { lock_id: Some("l".to_owned()), content: state("a", 9, "") }),
        (Caller::Operator, Request::Lock { info: info("x") }),
    ] {
        let before = world.registers.clone();
        assert!(matches!(world.ask(caller, request), StateAnswer::Invalid(_)));
        assert_eq!(world.registers, before);
    }
}

#[test]
fn lock_info_is_bounded() {
    let mut world = World::new();
    for bad in [&b""[..], b"{}", b"[]", br#"{"ID":""}"#, &vec![b' '; LOCK_INFO_MAX + 1], &info(&"x".repeat(129))] {
        assert!(matches!(world.run(token(1, 1), Request::Lock { info: bad.to_vec() }), StateAnswer::Invalid(_)));
    }
    assert!(world.registers.is_empty());
}

#[test]
fn names_that_are_no_names_become_no_keys() {
    for (name, good) in [("fw", true), ("_a-9", true), ("", false), ("a/1", false), ("9a", false), ("a b", false)] {
        assert_eq!(is_task_name(name), good, "{name}");
    }
    assert!(is_task_name(&"x".repeat(64)) && !is_task_name(&"x".repeat(65)));
    let leadership = Leadership { leader: agent("a9"), epoch: Epoch(9) };
    let push = Request::Push { content: state("a", 1, ""), force: true };
    let call = StateCall { task: "fw/3".to_owned(), caller: Caller::Operator, request: push };
    let Decision { answer, writes } = decide(call, Document::default(), None, None, &leadership, 0);
    assert!(matches!(answer, StateAnswer::Invalid(_)) && writes.is_empty());
}

#[test]
fn a_damaged_content_is_not_handed_out() {
    for damage in [Some(b"x".to_vec()), None] {
        let mut world = locked();
        match damage {
            Some(bytes) => world.registers.insert(slot_key("fw", 1), bytes),
            None => world.registers.remove(&slot_key("fw", 1)),
        };
        assert!(matches!(world.get(token(1, 1)), StateAnswer::Broken(_)));
    }
}

fn every_request(id: &str) -> Vec<Request> {
    vec![
        Request::Get { version: None },
        Request::Put { lock_id: Some(id.to_owned()), content: state("a", 90, "stale") },
        Request::Delete { lock_id: Some(id.to_owned()) },
        Request::Lock { info: info("stale") },
        Request::Lock { info: info(id) },
        Request::Unlock { info: info(id) },
    ]
}
