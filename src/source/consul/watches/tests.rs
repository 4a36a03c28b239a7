use super::*;
use crate::task::consul_data::{Instance, KvQuery, RegexpQuery, ServiceQuery};

/// The watches, a clock, and the requests that are out.
struct Bench {
    watches: Watches,
    now: Duration,
    out: BTreeMap<Endpoint, (u64, Option<u64>)>,
    /// The index whose answer need not be read again, of the newest request.
    known: BTreeMap<Endpoint, Option<u64>>,
    notices: Vec<(Query, Result<Arc<Data>, ConsulError>)>,
}

fn service(name: &str) -> Query {
    Query::Service(ServiceQuery { name: name.into(), ..ServiceQuery::default() })
}

fn key(path: &str) -> Query {
    Query::Kv(KvQuery { path: path.into(), ..KvQuery::default() })
}

fn at(query: &Query) -> Endpoint {
    match query {
        Query::Service(query) => Endpoint::of_service(query),
        Query::Kv(query) => Endpoint::Kv(query.clone()),
        _ => panic!("{query:?}"),
    }
}

fn instances(ids: &[&str]) -> Content {
    let one = |id: &&str| Instance { id: (*id).into(), node: "n".into(), ..Instance::default() };
    Content::Service(Arc::new(ids.iter().map(one).collect()))
}

fn names(names: &[&str]) -> Content {
    Content::Catalog(Arc::new(names.iter().map(|name| ((*name).into(), Vec::new())).collect()))
}

fn checks(of: &[(&str, u64)]) -> Content {
    Content::Checks(Arc::new(of.iter().map(|(name, hash)| ((*name).into(), *hash)).collect()))
}

fn away() -> ConsulError {
    ConsulError::Unreachable { address: "c".into(), why: "refused".into() }
}

impl Bench {
    fn new(queries: &[Query]) -> Self {
        let mut bench = Self {
            watches: Watches::new(1),
            now: Duration::from_secs(1),
            out: BTreeMap::new(),
            known: BTreeMap::new(),
            notices: Vec::new(),
        };
        bench.watches.set_queries(&queries.iter().cloned().collect(), bench.now);
        bench.drain();
        bench
    }

    fn drain(&mut self) {
        while let Some(output) = self.watches.poll_output() {
            match output {
                Output::Ask { ticket, endpoint, index, known } => {
                    assert!(self.out.insert(endpoint.clone(), (ticket, index)).is_none(), "asked twice at a time");
                    self.known.insert(endpoint, known);
                }
                Output::Cancel(ticket) => self.out.retain(|_, (out, _)| *out != ticket),
                Output::Notice(query, data) => self.notices.push((query, data)),
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.watches.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.watches.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn reply(&mut self, endpoint: &Endpoint, reply: Result<(u64, Content), ConsulError>) {
        let (ticket, _) = self.out.remove(endpoint).unwrap_or_else(|| panic!("{endpoint:?} is not asked"));
        let reply = reply.map(|(index, content)| Reply { index, content: Some(content) });
        self.watches.handle_reply(ticket, reply, self.now);
        self.drain();
    }

    fn index(&self, endpoint: &Endpoint) -> Option<u64> {
        self.out[endpoint].1
    }

    fn news(&mut self) -> Vec<(Query, usize)> {
        let told = std::mem::take(&mut self.notices);
        let size = |data: Arc<Data>| match &*data {
            Data::Services(all) => all.len(),
            Data::Catalog(all) => all.len(),
            Data::Kv(all) => all.len(),
        };
        told.into_iter().filter_map(|(query, data)| Some((query, size(data.ok()?)))).collect()
    }
}

#[test]
fn an_index_is_waited_for_and_one_that_goes_back_is_not() {
    let web = service("web");
    let mut bench = Bench::new(std::slice::from_ref(&web));
    assert_eq!(bench.index(&at(&web)), None);
    bench.reply(&at(&web), Ok((7, instances(&["a"]))));
    assert_eq!(bench.news(), [(web.clone(), 1)]);
    assert!(!bench.out.contains_key(&at(&web)), "the next request is 100 ms away");
    bench.pass(120);
    assert_eq!(bench.index(&at(&web)), Some(7));
    bench.reply(&at(&web), Ok((8, instances(&["a"]))));
    assert_eq!(bench.news(), [], "no news");
    bench.pass(120);
    bench.reply(&at(&web), Ok((3, instances(&["a", "b"]))));
    bench.pass(120);
    assert_eq!((bench.news(), bench.index(&at(&web))), (vec![(web.clone(), 2)], None));
}

#[test]
fn failures_are_retried_for_ever_and_told_once() {
    let web = service("web");
    let mut bench = Bench::new(std::slice::from_ref(&web));
    bench.reply(&at(&web), Ok((7, instances(&["a"]))));
    bench.pass(120);
    let mut waits = Vec::new();
    for _ in 0..200 {
        bench.reply(&at(&web), Err(away()));
        let left = bench.watches.poll_timeout().unwrap().checked_sub(bench.now).unwrap();
        waits.push(left.as_secs_f64());
        bench.pass(u64::try_from(left.as_millis()).unwrap() + 1);
        assert_eq!(bench.index(&at(&web)), None);
    }
    assert!((1.0..1.5).contains(&waits[0]) && (2.0..3.0).contains(&waits[1]), "{waits:?}");
    assert!(waits[10..].iter().all(|wait| (60.0..=90.0).contains(wait)), "{waits:?}");
    let failures = bench.notices.iter().filter(|(_, data)| data.is_err()).count();
    assert_eq!(failures, 1);
    assert_eq!(bench.watches.faults().0[&web], away());
    bench.reply(&at(&web), Ok((2, instances(&["b"]))));
    assert_eq!(bench.news().last(), Some(&(web, 1)));
    assert!(bench.watches.faults().0.is_empty());
}

#[test]
fn a_refusal_is_told_and_asked_again_slowly() {
    let mut bench = Bench::new(&[key("a")]);
    let refusal = ConsulError::Response { status: 400, body: "Invalid query parameter".into() };
    bench.reply(&at(&key("a")), Err(refusal.clone()));
    assert_eq!(bench.notices, [(key("a"), Err(refusal))]);
    bench.pass(59_000);
    assert!(bench.out.is_empty());
    bench.pass(32_000);
    assert_eq!(bench.index(&at(&key("a"))), None);
}

#[test]
fn an_empty_service_is_believed_within_a_second_after_a_second_look() {
    let web = service("web");
    let mut bench = Bench::new(std::slice::from_ref(&web));
    bench.reply(&at(&web), Ok((7, instances(&["a"]))));
    bench.pass(120);
    bench.news();
    bench.reply(&at(&web), Ok((8, instances(&[]))));
    assert_eq!(bench.news(), []);
    bench.pass(520);
    assert_eq!(bench.index(&at(&web)), None, "the second look does not wait for a change");
    bench.reply(&at(&web), Ok((8, instances(&[]))));
    assert_eq!(bench.news(), [], "the leader is not known yet");
    bench.reply(&Endpoint::Leader, Ok((0, Content::Leader(true))));
    assert_eq!(bench.news(), [(web.clone(), 0)]);
    bench.pass(120);
    assert_eq!(bench.index(&at(&web)), Some(8));
}

#[test]
fn an_empty_answer_of_a_restarted_consul_is_not_believed_at_once() {
    let web = service("web");
    let mut bench = Bench::new(std::slice::from_ref(&web));
    bench.reply(&at(&web), Ok((700, instances(&["a"]))));
    bench.pass(120);
    bench.news();
    bench.reply(&at(&web), Err(away()));
    bench.pass(1600);
    for _ in 0..8 {
        bench.reply(&at(&web), Ok((5, instances(&[]))));
        if bench.out.contains_key(&Endpoint::Leader) {
            bench.reply(&Endpoint::Leader, Ok((0, Content::Leader(true))));
        }
        bench.pass(500);
    }
    assert_eq!(bench.news(), [], "four seconds are not enough");
    bench.reply(&at(&web), Ok((9, instances(&["b"]))));
    assert_eq!(bench.news(), [(web, 1)], "it came back before the emptiness was believed");
}

#[test]
fn without_a_leader_nothing_is_believed_to_be_gone() {
    let web = service("web");
    let mut bench = Bench::new(std::slice::from_ref(&web));
    bench.reply(&at(&web), Ok((7, instances(&["a"]))));
    bench.pass(120);
    bench.news();
    for _ in 0..60 {
        if bench.out.contains_key(&at(&web)) {
            bench.reply(&at(&web), Ok((8, instances(&[]))));
        }
        if bench.out.contains_key(&Endpoint::Leader) {
            bench.reply(&Endpoint::Leader, Ok((0, Content::Leader(false))));
        }
        bench.pass(500);
    }
    assert_eq!(bench.news(), []);
}

/// Answers all that is out, sentinels with `index`, services by `content`.
fn answer_all(bench: &mut Bench, index: u64, catalog: &Content, health: &Content, content: impl Fn(&str) -> Content) {
    while let Some(endpoint) = bench.out.keys().find(|it| !matches!(it, Endpoint::Leader)).cloned() {
        let answer = match &endpoint {
            Endpoint::Catalog { .. } => catalog.clone(),
            Endpoint::Checks(_) => health.clone(),
            Endpoint::Nodes(_) => Content::Nodes,
            Endpoint::Service { name, .. } => content(name),
            other => panic!("{other:?}"),
        };
        bench.reply(&endpoint, Ok((index, answer)));
    }
}

#[test]
fn many_services_need_few_requests_at_a_time_and_what_moves_is_read() {
    let queries: Vec<Query> = (0..500).map(|n| service(&format!("s{n:03}"))).collect();
    let mut bench = Bench::new(&queries);
    let sentinels: Vec<_> = bench.out.keys().cloned().collect();
    assert_eq!(sentinels.len(), 3, "no service before the sentinels");
    let all: Vec<String> = (0..500).map(|n| format!("s{n:03}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for sentinel in &sentinels {
        let answer = match sentinel {
            Endpoint::Catalog { .. } => names(&all),
            Endpoint::Checks(_) => checks(&[("s007", 1)]),
            _ => Content::Nodes,
        };
        bench.reply(sentinel, Ok((10, answer)));
    }
    let mut most = 0;
    while let Some(read) = bench.out.keys().find(|it| matches!(it, Endpoint::Service { .. })).cloned() {
        most = most.max(bench.out.len());
        bench.reply(&read, Ok((10, instances(&["a"]))));
    }
    assert_eq!((bench.news().len(), most), (500, 3));
    bench.pass(2000);
    assert_eq!(bench.out.len(), 3);
    assert!(bench.out.values().all(|(_, index)| *index == Some(10)), "all three wait");
    bench.reply(&Endpoint::Checks(Scope::default()), Ok((11, checks(&[("s007", 2)]))));
    let read: Vec<_> = bench.out.keys().filter(|it| matches!(it, Endpoint::Service { .. })).cloned().collect();
    assert_eq!(read, [at(&service("s007"))]);
    bench.reply(&read[0], Ok((11, instances(&[]))));
    assert_eq!(bench.news(), [], "an empty one is doubted here too");
    // A node's address: nothing says which service it is.
    bench.pass(100);
    bench.reply(&Endpoint::Nodes(Scope::default()), Ok((12, Content::Nodes)));
    let mut read = BTreeSet::new();
    for _ in 0..40 {
        while let Some(endpoint) = bench.out.keys().find(|it| matches!(it, Endpoint::Service { .. })).cloned() {
            bench.reply(&endpoint, Ok((12, instances(&["b"]))));
            read.insert(endpoint);
        }
        bench.pass(100);
    }
    assert_eq!((read.len(), bench.news().len()), (500, 500));
}

#[test]
fn what_is_known_by_its_index_is_not_read_again_unless_consul_has_failed() {
    let queries: Vec<Query> = (0..50).map(|n| service(&format!("s{n:02}"))).collect();
    let mut bench = Bench::new(&queries);
    let all: Vec<String> = (0..50).map(|n| format!("s{n:02}")).collect();
    let catalog = names(&all.iter().map(String::as_str).collect::<Vec<_>>());
    answer_all(&mut bench, 10, &catalog, &checks(&[]), |_| instances(&["a"]));
    let watched = Endpoint::Catalog { scope: Scope::default(), node_meta: BTreeMap::new() };
    let sweep = |bench: &mut Bench, index: u64, changed: &str| {
        bench.pass(2000);
        bench.reply(&watched, Ok((index, catalog.clone())));
        let goes_first = bench.out.contains_key(&at(&service(changed)));
        let mut read = Vec::new();
        while let Some(endpoint) = bench.out.keys().find(|it| matches!(it, Endpoint::Service { .. })).cloned() {
            read.push((endpoint.clone(), bench.known[&endpoint]));
            let (ticket, _) = bench.out.remove(&endpoint).unwrap();
            let is_it = endpoint == at(&service(changed));
            let content = (is_it || bench.known[&endpoint].is_none()).then(|| instances(&["a", changed]));
            let index = if is_it { index } else { 10 };
            bench.watches.handle_reply(ticket, Ok(Reply { index, content }), bench.now);
            bench.drain();
        }
        (read, goes_first)
    };
    bench.news();
    let (read, goes_first) = sweep(&mut bench, 11, "s40");
    assert!(!goes_first && read.len() == 50 && read.iter().all(|(_, known)| *known == Some(10)), "{read:?}");
    assert_eq!(bench.news(), [(service("s40"), 2)]);
    let (_, goes_first) = sweep(&mut bench, 12, "s40");
    assert!(goes_first, "it has changed lately");
    assert_eq!(bench.news(), [], "its index has moved, and nothing else");
    bench.pass(200);
    bench.reply(&watched, Err(away()));
    bench.pass(1600);
    let (read, _) = sweep(&mut bench, 13, "s40");
    assert!(read.len() >= 50 && read.iter().all(|(_, known)| known.is_none()), "{read:?}");
}

#[test]
fn a_change_while_its_read_is_out_is_read_again() {
    let regexp = Query::Services(RegexpQuery { regexp: "^web".into(), ..RegexpQuery::default() });
    let mut bench = Bench::new(std::slice::from_ref(&regexp));
    answer_all(&mut bench, 5, &names(&["consul", "web"]), &checks(&[("web", 1)]), |_| instances(&["a"]));
    assert_eq!(bench.news(), [(regexp.clone(), 1)]);
    bench.pass(2000);
    let health = Endpoint::Checks(Scope::default());
    bench.reply(&health, Ok((6, checks(&[("web", 2)]))));
    bench.pass(150);
    bench.reply(&health, Ok((7, checks(&[("web", 3)]))));
    let web = bench.out.keys().find(|it| matches!(it, Endpoint::Service { .. })).cloned().unwrap();
    bench.reply(&web, Ok((6, instances(&["a", "b"]))));
    assert_eq!(bench.news(), [(regexp.clone(), 2)]);
    bench.pass(150);
    bench.reply(&web, Ok((7, instances(&["a", "b", "c"]))));
    assert_eq!(bench.news(), [(regexp, 3)]);
}

#[test]
fn a_regexp_takes_in_new_names_and_drops_old_ones() {
    let regexp = Query::Services(RegexpQuery { regexp: "^web".into(), ..RegexpQuery::default() });
    let mut bench = Bench::new(std::slice::from_ref(&regexp));
    answer_all(&mut bench, 5, &names(&["consul"]), &checks(&[]), |_| instances(&["a"]));
    assert_eq!(bench.news(), [(regexp.clone(), 0)]);
    bench.pass(2000);
    let catalog = bench.out.keys().find(|it| matches!(it, Endpoint::Catalog { .. })).cloned().unwrap();
    bench.reply(&catalog, Ok((6, names(&["consul", "web-1", "web-2"]))));
    for name in ["web-1", "web-2"] {
        let Query::Services(query) = &regexp else { panic!() };
        bench.reply(&Endpoint::of_match(query, name), Ok((6, instances(&["a"]))));
    }
    assert_eq!(bench.news(), [(regexp.clone(), 2)]);
    bench.pass(2000);
    bench.reply(&catalog, Ok((7, names(&["consul", "web-2"]))));
    assert_eq!(bench.news(), [(regexp, 1)]);
}

#[test]
fn a_sentinel_that_failed_marks_everything_when_it_is_back() {
    let regexp = Query::Services(RegexpQuery::default());
    let mut bench = Bench::new(std::slice::from_ref(&regexp));
    let catalog = names(&["a", "b"]);
    answer_all(&mut bench, 5, &catalog, &checks(&[("a", 1)]), |_| instances(&["i"]));
    bench.pass(2000);
    bench.news();
    bench.reply(&Endpoint::Checks(Scope::default()), Err(away()));
    bench.pass(1600);
    bench.reply(&Endpoint::Checks(Scope::default()), Ok((5, checks(&[("a", 1)]))));
    let mut read = BTreeSet::new();
    while let Some(endpoint) = bench.out.keys().find(|it| matches!(it, Endpoint::Service { .. })).cloned() {
        bench.reply(&endpoint, Ok((5, instances(&["i"]))));
        read.insert(endpoint);
    }
    assert_eq!(read.len(), 2);
}

#[test]
fn equal_queries_share_a_watch_and_those_no_longer_wanted_end() {
    let (web, other) = (service("web"), key("k"));
    let mut bench = Bench::new(&[web.clone(), other.clone()]);
    assert_eq!(bench.out.len(), 2);
    bench.watches.set_queries(&BTreeSet::from([other.clone()]), bench.now);
    bench.drain();
    assert_eq!(bench.out.keys().collect::<Vec<_>>(), [&at(&other)]);
    let bad = Query::Services(RegexpQuery { regexp: "(".into(), ..RegexpQuery::default() });
    bench.watches.set_queries(&BTreeSet::from([bad]), bench.now);
    bench.drain();
    assert!(matches!(bench.notices.last(), Some((_, Err(ConsulError::Query(_))))));
}
