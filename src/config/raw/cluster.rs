//! `high_availability` and what is in it.

use std::time::Duration;

use crate::config::read::{Labelled, Spanned, raw};

raw! {
    /// `high_availability`
    RawHighAvailability {
        cluster: RawCluster = "cluster",
        instance: RawInstance = "instance",
        follower_requests: String = "follower_requests",
    }
    /// `instance`
    RawInstance { address: String = "address" }
    /// `cluster`
    RawCluster {
        name: String = "name",
        take_over: String = "take_over",
        storage: Labelled = "storage",
        at_rest: RawAtRest = "at_rest",
        gossip: RawGossip = "gossip",
    }
    /// `at_rest`
    RawAtRest { enabled: bool = "enabled", key_file: String = "key_file" }
    /// `storage "consul"`, of CTS Enterprise.
    RawStorage {
        parent_path: String = "parent_path",
        namespace: String = "namespace",
        session_ttl: Duration = "session_ttl",
    }
    /// `gossip`
    RawGossip {
        bind: String = "bind",
        advertise: String = "advertise",
        join: Vec<Spanned<String>> = "join",
        expect: u16 = "expect",
        leadership: String = "leadership",
        profile: String = "profile",
        settle: Duration = "settle",
        encrypt: String = "encrypt",
        encrypt_file: String = "encrypt_file",
        timing: RawTiming = "timing",
    }
    /// `timing`: the fields of gossip and lease timing by their names.
    RawTiming {
        probe_period: Duration = "probe_period",
        probe_rtt: Duration = "probe_rtt",
        suspect_to_down: Duration = "suspect_to_down",
        transmissions: u8 = "transmissions",
        gossip_period: Duration = "gossip_period",
        buddy_period: Duration = "buddy_period",
        reseed_period: Duration = "reseed_period",
        grant: Duration = "grant",
        renew: Duration = "renew",
        retry: Duration = "retry",
        start_margin: Duration = "start_margin",
    }
}
