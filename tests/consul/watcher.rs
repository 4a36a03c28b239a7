//! Watches, and what they have told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate::source::consul::{ConsulError, Settings, Update, Watcher};
use quorate::task::consul_data::{Data, Instance, Query};
use tokio::sync::mpsc::UnboundedReceiver;

/// Generous: the machine may be busy. What is told is told within milliseconds.
const TOLD_MAX: Duration = Duration::from_mins(1);

pub(crate) struct TestWatcher {
    pub(crate) inner: Watcher,
    updates: UnboundedReceiver<Update>,
    pub(crate) last: BTreeMap<Query, Arc<Data>>,
    /// All answers, in their order.
    pub(crate) told: Vec<(Query, Arc<Data>)>,
    pub(crate) failures: Vec<(Query, ConsulError)>,
}

impl TestWatcher {
    pub(crate) async fn start(settings: &Settings, queries: &[Query]) -> Self {
        let (inner, updates) = Watcher::new(settings, 1).await.unwrap();
        inner.set_queries(queries.iter().cloned().collect());
        Self { inner, updates, last: BTreeMap::new(), told: Vec::new(), failures: Vec::new() }
    }

    /// Takes updates in until the condition holds.
    pub(crate) async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + TOLD_MAX;
        while !condition(self) {
            let update = tokio::time::timeout_at(end, self.updates.recv()).await;
            let Ok(Some(Update { query, data, .. })) = update else {
                panic!("not told in time: {what}; last: {:?}; failures: {:?}", self.last, self.failures)
            };
            match data {
                Ok(data) => {
                    self.told.push((query.clone(), Arc::clone(&data)));
                    self.last.insert(query, data);
                }
                Err(error) => self.failures.push((query, error)),
            }
        }
    }

    /// Until the query is answered by these instances, as `node/id`.
    pub(crate) async fn until_instances(&mut self, query: &Query, expected: &[&str]) {
        self.until(&format!("{query:?} is {expected:?}"), |it| {
            it.instances(query).is_some_and(|found| {
                found.iter().map(|it| format!("{}/{}", it.node, it.id)).collect::<Vec<_>>() == expected
            })
        })
        .await;
    }

    /// Until the query is answered by these pairs.
    pub(crate) async fn until_pairs(&mut self, query: &Query, expected: &[(&str, &str)]) {
        let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let expected = Data::Kv(expected);
        self.until(&format!("{query:?} is {expected:?}"), |it| it.last.get(query).is_some_and(|it| **it == expected))
            .await;
    }

    pub(crate) fn instances(&self, query: &Query) -> Option<&[Instance]> {
        match &**self.last.get(query)? {
            Data::Services(all) => Some(all),
            _ => None,
        }
    }
}
