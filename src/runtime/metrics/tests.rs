//! What the metrics of a process look like.

use super::*;

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
}

#[test]
fn every_setter_shows_in_the_text() {
    let metrics = Metrics::new();
    metrics.election();
    metrics.suspicion();
    metrics.refutation();
    metrics.renewal();
    metrics.packet(Direction::In, 100);
    metrics.packet(Direction::Out, 30);
    metrics.packet(Direction::Out, 30);
    metrics.dropped("bad_seal");
    metrics.odd_message("epoch");
    metrics.set_keys(7, 2);
    metrics.foca_error("indirect");
    metrics.run_started("web");
    metrics.run_finished("web", Outcome::Failure, Duration::from_secs(2));
    metrics.store_commit(Duration::from_millis(3));
    metrics.http_request("/livez", 200);
    metrics.http_connections(2);
    metrics.audit_written();
    metrics.audit_failed("file");
    metrics.audit_lost();
    metrics.http_connections(-1);
    metrics.http_connection_refused("total");
    metrics.http_connection_ended("room");
    let text = metrics.text();
    has(&text, "quorate_elections_total 1");
    has(&text, "quorate_suspicions_total 1");
    has(&text, "quorate_refutations_total 1");
    has(&text, "quorate_identity_renewals_total 1");
    has(&text, "quorate_packets_total{direction=\"out\"} 2");
    has(&text, "quorate_packet_bytes_total{direction=\"out\"} 60");
    has(&text, "quorate_packet_bytes_total{direction=\"in\"} 100");
    has(&text, "quorate_packets_dropped_total{reason=\"bad_seal\"} 1");
    has(&text, "quorate_messages_refused_total{reason=\"epoch\"} 1");
    has(&text, "quorate_store_keys{state=\"live\"} 7");
    has(&text, "quorate_store_keys{state=\"deleted\"} 2");
    has(&text, "quorate_gossip_errors_total{kind=\"indirect\"} 1");
    has(&text, "quorate_runs_started_total{task=\"web\"} 1");
    has(&text, "quorate_runs_finished_total{task=\"web\",outcome=\"failure\"} 1");
    has(&text, "quorate_run_duration_seconds_bucket{le=\"2.5\",task=\"web\"} 1");
    has(&text, "quorate_store_commit_duration_seconds_bucket{le=\"0.0025\"} 0");
    has(&text, "quorate_store_commit_duration_seconds_bucket{le=\"0.005\"} 1");
    has(&text, "quorate_http_requests_total{endpoint=\"/livez\",status=\"200\"} 1");
    has(&text, "quorate_http_connections 1");
    has(&text, "quorate_audit_lines_total 1");
    has(&text, "quorate_audit_sink_failures_total{sink=\"file\"} 1");
    has(&text, "quorate_audit_lines_lost_total 1");
    has(&text, "quorate_http_connections_refused_total{reason=\"total\"} 1");
    has(&text, "quorate_http_connections_ended_total{reason=\"room\"} 1");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn a_view_sets_every_state_also_to_nothing() {
    let mut view = View::sample(7, &[("a", MemberState::Alive), ("b", MemberState::Suspect)]);
    let metrics = Metrics::new();
    metrics.observe_view(&view, true);
    let text = metrics.text();
    has(&text, "quorate_members{state=\"alive\"} 1");
    has(&text, "quorate_members{state=\"suspect\"} 1");
    has(&text, "quorate_members{state=\"down\"} 0");
    has(&text, "quorate_is_leader 1");
    has(&text, "quorate_quorum_held 1");
    has(&text, "quorate_epoch 7");
    view.members[1].state = MemberState::Down;
    metrics.observe_view(&view, false);
    let text = metrics.text();
    has(&text, "quorate_members{state=\"suspect\"} 0");
    has(&text, "quorate_members{state=\"down\"} 1");
    has(&text, "quorate_is_leader 0");
}

#[test]
fn the_greatest_lateness_is_kept() {
    let metrics = Metrics::new();
    for ms in [5, 250, 20] {
        metrics.timer_lateness(Duration::from_millis(ms));
    }
    has(&metrics.text(), "quorate_timer_lateness_max_seconds 0.25");
}

#[test]
fn what_is_left_of_a_lease_is_computed_when_asked() {
    let metrics = Metrics::new();
    has(&metrics.text(), "quorate_lease_remaining_seconds 0.0");
    metrics.set_lease_end(Some(clock::now().boot + Duration::from_secs(1000)));
    let text = metrics.text();
    let line = text.lines().find(|l| l.starts_with("quorate_lease_remaining_seconds ")).unwrap();
    let left: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((900.0..=1000.0).contains(&left), "{line}");
    metrics.set_lease_end(None);
    has(&metrics.text(), "quorate_lease_remaining_seconds 0.0");
}
