//! Watchers that notice change and turn it into what tasks are fed. So far: the cluster's own members.

pub mod members;
