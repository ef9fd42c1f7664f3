//! What only delta has: `*` by halves, removals, reconnects with versions, large answers (R39–R71).

use super::*;

#[test]
fn r37_four_steps_of_a_delta_subscription() {
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    bench.put(CDS, "b", "1");
    bench.adjust(CDS, "", &[], &[]);
    bench.sent(CDS, &["a=1", "b=1"], &[]);
    bench.adjust(CDS, "", &["a"], &[]);
    bench.sent(CDS, &["a=1"], &[]);
    bench.adjust(CDS, "", &[], &["*"]);
    bench.silent();
    bench.put(CDS, "b", "2");
    bench.silent();
    bench.adjust(CDS, "", &[], &["a"]);
    bench.put(CDS, "a", "2");
    bench.adjust(CDS, "", &[], &[]);
    bench.silent();
}

#[test]
fn r39_only_unsubscribing_the_star_ends_the_old_wildcard() {
    let mut bench = Bench::delta();
    bench.put(CDS, "b", "1");
    bench.adjust(CDS, "", &[], &[]);
    bench.sent(CDS, &["b=1"], &[]);
    bench.adjust(CDS, "", &["a"], &[]);
    bench.sent(CDS, &[], &["a"]);
    bench.put(CDS, "b", "2");
    bench.sent(CDS, &["b=2"], &[]);
}

#[test]
fn r40_r107_star_on_and_off_is_nothing_and_names_on_demand_work() {
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    let effect = bench.adjust(CDS, "", &["*"], &["*"]);
    assert_eq!(effect.interests, []);
    bench.silent();
    bench.put(CDS, "b", "1");
    bench.silent();
    bench.adjust(CDS, "", &["a", "none"], &[]);
    bench.sent(CDS, &["a=1"], &["none"]);
}

#[test]
fn r41_a_first_request_with_versions_and_no_names_is_still_everything() {
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    bench.put(CDS, "b", "1");
    let effect = bench.resume(CDS, &[], &[("a", "1")]);
    assert_eq!(effect.interests, [Interest::SubscribeAll(CDS)]);
    bench.sent(CDS, &["b=1"], &[]);
}

#[test]
fn r42_a_name_asked_again_is_sent_again() {
    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.adjust(EDS, "", &["a"], &[]);
    bench.sent(EDS, &["a=1"], &[]);
    bench.adjust(EDS, "", &["a"], &[]);
    bench.sent(EDS, &["a=1"], &[]);
    // Also for a name that was held by its own word, and is asked for later.
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    bench.resume(CDS, &[], &[("a", "1")]);
    bench.silent();
    bench.adjust(CDS, "", &["a"], &[]);
    bench.sent(CDS, &["a=1"], &[]);
}

#[test]
fn r44_r45_m7_unsubscribing_is_silent_and_may_name_phantoms() {
    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.adjust(EDS, "", &["a"], &[]);
    bench.sent(EDS, &["a=1"], &[]);
    assert_eq!(bench.adjust(EDS, "", &[], &["ghost"]).interests, []);
    bench.silent();
    bench.adjust(EDS, "", &[], &["a"]);
    bench.silent();
    bench.put(EDS, "a", "2");
    bench.silent();
}

#[test]
fn r46_a_name_given_back_under_a_star_is_answered() {
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    bench.adjust(CDS, "", &["*", "a", "z"], &[]);
    bench.sent(CDS, &["a=1"], &["z"]);
    bench.adjust(CDS, "", &[], &["a", "z"]);
    bench.sent(CDS, &["a=1"], &["z"]);
    bench.silent();
}

#[test]
fn r48_m4_a_removed_name_that_comes_back_is_sent_again() {
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    bench.adjust(CDS, "", &["a"], &[]);
    bench.sent(CDS, &["a=1"], &[]);
    bench.delete(CDS, "a");
    bench.sent(CDS, &[], &["a"]);
    bench.silent();
    bench.put(CDS, "a", "1");
    bench.sent(CDS, &["a=1"], &[]);
}

#[test]
fn r56_only_what_the_client_may_hold_is_removed() {
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    bench.adjust(CDS, "", &["*"], &[]);
    bench.sent(CDS, &["a=1"], &[]);
    // Came and went before it was ever sent.
    bench.put(CDS, "b", "1");
    bench.delete(CDS, "b");
    bench.silent();
    bench.delete(CDS, "a");
    bench.sent(CDS, &[], &["a"]);
}

#[test]
fn r57_an_absent_name_is_said_to_be_absent_at_once() {
    let mut bench = Bench::delta();
    for kind in [CDS, EDS] {
        bench.adjust(kind, "", &["nobody"], &[]);
        bench.sent(kind, &[], &["nobody"]);
        bench.silent();
    }
}

#[test]
fn r58_m5_what_did_not_change_is_not_removed() {
    let mut bench = Bench::delta();
    for name in ["a", "b", "c"] {
        bench.put(EDS, name, "1");
    }
    bench.adjust(EDS, "", &["a", "b", "c"], &[]);
    bench.sent(EDS, &["a=1", "b=1", "c=1"], &[]);
    bench.put(EDS, "b", "2");
    bench.sent(EDS, &["b=2"], &[]);
}

#[test]
fn r59_a_removal_survives_a_full_update() {
    let mut bench = Bench::delta();
    for name in ["a", "b"] {
        bench.put(CDS, name, "1");
    }
    bench.adjust(CDS, "", &["*"], &[]);
    bench.sent(CDS, &["a=1", "b=1"], &[]);
    bench.delete(CDS, "a");
    bench.put(CDS, "b", "2");
    bench.adjust(CDS, "", &["*"], &[]);
    bench.sent(CDS, &["b=2"], &["a"]);
}

#[test]
fn r65_a_large_answer_is_split() {
    let mut bench = Bench::delta();
    let content = "x".repeat(300 << 10);
    for n in 0..10 {
        bench.put(CDS, &format!("c{n}"), &content);
    }
    bench.adjust(CDS, "", &["*"], &[]);
    let mut seen = Vec::new();
    while let Some(got) = bench.next() {
        let bytes: usize = got.resources.iter().map(String::len).sum();
        assert!(bytes < 2 << 20, "{bytes}");
        seen.push(got.resources.len());
        bench.ack(CDS, &got);
    }
    assert_eq!(seen, [4, 4, 2]);
    assert_eq!(bench.status(CDS).held, 10);
}

#[test]
fn r67_versions_count_in_the_first_request_only() {
    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.put(EDS, "b", "1");
    bench.resume(EDS, &["a"], &[("a", "1")]);
    bench.silent();
    bench.resume(EDS, &["b"], &[("b", "1")]);
    bench.sent(EDS, &["b=1"], &[]);
}

#[test]
fn r68_m6_a_reconnect_gets_the_difference() {
    let mut bench = Bench::delta();
    for name in ["same", "changed", "new"] {
        bench.put(CDS, name, "1");
    }
    bench.put(LDS, "l", "1");
    bench.put(RDS, "80", "to same");
    let held = [("same", "1"), ("changed", "0"), ("gone", "1")];
    bench.resume(CDS, &[], &held);
    bench.sent(CDS, &["changed=1", "new=1"], &[]);
    // Listeners and routes that the client did not speak of yet may name what is gone.
    bench.silent();
    bench.resume(LDS, &["l"], &[("l", "1")]);
    bench.silent();
    // They are what they should be, so nothing names it.
    bench.resume(RDS, &["80"], &[("80", "to same")]);
    bench.sent(CDS, &[], &["gone"]);
    bench.silent();
}

#[test]
fn r72_r81_a_cluster_that_went_while_the_client_was_away_stays_until_its_routes_are_replaced() {
    let mut bench = Bench::delta();
    bench.put(LDS, "l", "1");
    bench.put(RDS, "80", "to nobody");
    bench.resume(CDS, &[], &[("x", "1")]);
    bench.resume(EDS, &["x"], &[("x", "1")]);
    bench.silent();
    bench.resume(LDS, &["l"], &[("l", "1")]);
    bench.silent();
    bench.resume(RDS, &["80"], &[("80", "to x")]);
    let routes = bench.expect(RDS);
    bench.silent();
    bench.ack(RDS, &routes);
    bench.sent(CDS, &[], &["x"]);
    bench.silent();
}

#[test]
fn r74_nobody_waits_for_routes_that_a_client_of_its_role_has_none_of() {
    let mut gateway = Bench::of(Dialect::Delta, Role::Gateway);
    gateway.put(LDS, "sni", "1");
    gateway.resume(CDS, &[], &[("x", "1")]);
    gateway.silent();
    gateway.resume(LDS, &[], &[("sni", "1")]);
    gateway.sent(CDS, &[], &["x"]);
    gateway.silent();

    // What its listeners name it does not have from us.
    let mut plain = Bench::of(Dialect::Delta, Role::Endpoints);
    plain.resume(CDS, &[], &[("x", "1")]);
    plain.sent(CDS, &[], &["x"]);
    assert!(!gateway.session.keeps_back() && !plain.session.keeps_back());
}

#[test]
fn r74_a_sidecar_that_never_asks_for_routes_loses_such_a_cluster_after_a_while() {
    let mut bench = Bench::delta();
    bench.put(LDS, "l", "1");
    bench.resume(CDS, &[], &[("x", "1")]);
    bench.resume(LDS, &["l"], &[("l", "1")]);
    bench.silent();
    assert!(bench.session.keeps_back());
    bench.session.wait_no_longer();
    bench.sent(CDS, &[], &["x"]);
}

#[test]
fn r74_nobody_waits_for_routes_that_no_listener_of_a_client_names() {
    for (listener, held) in [("bare", "bare"), ("bare", "1")] {
        let mut bench = Bench::delta();
        bench.put(LDS, "l", listener);
        bench.resume(CDS, &[], &[("x", "1")]);
        bench.silent();
        bench.resume(LDS, &["*"], &[("l", held)]);
        if listener != held {
            // What it had may name any.
            let changed = bench.expect(LDS);
            bench.silent();
            bench.ack(LDS, &changed);
        }
        bench.sent(CDS, &[], &["x"]);
        bench.silent();
    }
}

#[test]
fn r68_r63_a_reconnect_without_difference_gets_nothing() {
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    bench.resume(CDS, &["*"], &[("a", "1")]);
    bench.silent();
    assert_eq!(bench.session.resources(CDS)[0].state, ResourceState::Synced);
}

#[test]
fn r70_an_assignment_that_is_still_right_is_not_sent_on_reconnect() {
    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.put(EDS, "b", "2");
    bench.resume(EDS, &["a", "b", "c"], &[("a", "1"), ("b", "1")]);
    bench.sent(EDS, &["b=2"], &["c"]);
}

#[test]
fn r56_an_answer_that_arrives_between_two_stars_is_not_forgotten() {
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    bench.adjust(CDS, "", &["*"], &[]);
    let got = bench.expect(CDS);
    // Both requests cross the answer: the client takes `a`, because it wants everything again by then.
    bench.adjust(CDS, "", &[], &["*"]);
    bench.delete(CDS, "a");
    bench.adjust(CDS, "", &["*"], &[]);
    bench.ack(CDS, &got);
    bench.sent(CDS, &[], &["a"]);
}

#[test]
fn r88_names_given_back_under_a_star_are_bounded() {
    let mut bench = Bench::delta();
    bench.adjust(CDS, "", &["*"], &[]);
    bench.expect(CDS);
    // It never acknowledges, and makes us owe it a word about ever new names.
    let mut rounds = 0;
    let error = loop {
        let name = format!("name-{rounds}");
        let request = |add: &[&str], drop: &[&str]| Request {
            type_url: CDS.url().to_owned(),
            nonce: String::new(),
            error: None,
            body: Body::Delta {
                subscribe: owned(add),
                unsubscribe: owned(drop),
                initial: BTreeMap::new(),
            },
        };
        let add = bench.session.on_request(request(&[&name], &[]));
        if let Err(error) = add.and_then(|_| bench.session.on_request(request(&[], &[&name]))) {
            break error;
        }
        rounds += 1;
        assert!(rounds <= 1000, "it can go on for ever");
    };
    assert_eq!(error, SessionError::TooManyNames { limit: 1000 });

    // Who acknowledges may go on.
    let mut bench = Bench::delta();
    bench.adjust(CDS, "", &["*"], &[]);
    bench.sent(CDS, &[], &[]);
    for round in 0..3000 {
        let name = format!("name-{round}");
        bench.adjust(CDS, "", &[&name], &[]);
        bench.sent(CDS, &[], &[&name]);
        bench.adjust(CDS, "", &[], &[&name]);
        bench.sent(CDS, &[], &[&name]);
    }
}
