//! The order of types, and what an Envoy needs to get a cluster out of warming (R60–R62, R71–R84).

use super::*;

/// A client that holds cluster and assignment of each name.
fn settled(dialect: Dialect, all: &[&str]) -> Bench {
    let mut bench = Bench::new(dialect);
    for name in all {
        bench.put(CDS, name, "1");
        bench.put(EDS, name, "1");
    }
    match dialect {
        Dialect::StateOfTheWorld => {
            bench.ask(CDS, "", &[]);
            bench.ask(EDS, "", all);
        }
        Dialect::Delta => {
            bench.adjust(CDS, "", &[], &[]);
            bench.adjust(EDS, "", all, &[]);
        }
    }
    while let Some(got) = bench.next() {
        bench.ack(ResourceType::from_url(&got.url).unwrap(), &got);
    }
    bench
}

const BOTH: [Dialect; 2] = [Dialect::StateOfTheWorld, Dialect::Delta];

#[test]
fn r60_r116_an_assignment_whose_service_is_gone_becomes_empty() {
    for dialect in BOTH {
        let mut bench = settled(dialect, &["a", "b"]);
        // The cluster stays, as one from a static config would.
        bench.delete(EDS, "a");
        bench.sent(EDS, &["a=EMPTY"], &[]);
        bench.touch(EDS, "a");
        bench.silent();
        bench.put(EDS, "a", "1");
        bench.sent(EDS, &["a=1"], &[]);
    }
}

#[test]
fn r60_a_reconnecting_client_gets_an_empty_assignment_for_a_service_that_vanished_meanwhile() {
    let mut bench = Bench::delta();
    bench.resume(EDS, &["a"], &[("a", "1")]);
    bench.sent(EDS, &["a=EMPTY"], &[]);
}

#[test]
fn r62_a_removed_cluster_is_told_by_cds_alone() {
    for dialect in BOTH {
        let mut bench = settled(dialect, &["a", "b"]);
        bench.delete(EDS, "a");
        bench.delete(CDS, "a");
        match dialect {
            Dialect::StateOfTheWorld => bench.sent(CDS, &["b=1"], &[]),
            Dialect::Delta => bench.sent(CDS, &[], &["a"]),
        };
        bench.silent();
        bench.touch(EDS, "a");
        bench.silent();
    }
}

#[test]
fn r71_assignments_may_be_asked_for_first() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        bench.put(CDS, "a", "1");
        bench.put(EDS, "a", "1");
        match dialect {
            Dialect::StateOfTheWorld => bench.ask(EDS, "", &["a"]),
            Dialect::Delta => bench.adjust(EDS, "", &["a"], &[]),
        };
        bench.sent(EDS, &["a=1"], &[]);
    }
}

#[test]
fn r72_r84_clusters_go_before_assignments() {
    for dialect in BOTH {
        let mut bench = settled(dialect, &["a", "b"]);
        bench.put(EDS, "a", "2");
        bench.put(EDS, "b", "2");
        bench.put(CDS, "b", "2");
        bench.expect(CDS);
        bench.expect(EDS);
        bench.silent();
    }
}

#[test]
fn r74_assignments_do_not_wait_for_the_ack_of_their_clusters() {
    for dialect in BOTH {
        let mut bench = settled(dialect, &["a"]);
        bench.put(CDS, "a", "2");
        let clusters = bench.expect(CDS);
        assert_eq!(bench.expect(EDS).resources, ["a=1"]);
        bench.ack(CDS, &clusters);
        bench.silent();
    }
}

#[test]
fn r75_r77_m2_a_changed_cluster_gets_its_assignment_again_and_no_other_does() {
    for dialect in BOTH {
        let all: Vec<String> = (0..1000).map(|n| format!("c{n:03}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut bench = settled(dialect, &all[..400]);
        bench.put(CDS, "c123", "2");
        let clusters = bench.expect(CDS);
        bench.ack(CDS, &clusters);
        bench.sent(EDS, &["c123=1"], &[]);
        bench.silent();
    }
}

#[test]
fn r76_m1_the_request_that_looks_like_a_second_ack_ends_with_an_answer() {
    let mut bench = settled(Dialect::StateOfTheWorld, &["a", "b"]);
    bench.put(EDS, "a", "2");
    let old = bench.expect(EDS);
    bench.ack(EDS, &old);
    bench.put(CDS, "b", "2");
    bench.expect(CDS);
    // Envoy, as soon as it has the cluster: the nonce it acknowledged before, and the same names.
    let effect = bench.ask(EDS, &old.nonce, &["a", "b"]);
    assert_eq!(effect.verdict, None);
    bench.sent(EDS, &["b=1"], &[]);
    // And once more after the answer was sent: nothing more is due.
    bench.ask(EDS, &old.nonce, &["a", "b"]);
    bench.silent();
}

#[test]
fn r76_an_assignment_in_flight_before_its_cluster_is_sent_again_after() {
    for dialect in BOTH {
        let mut bench = settled(dialect, &["a"]);
        bench.put(EDS, "a", "2");
        let before = bench.expect(EDS);
        bench.put(CDS, "a", "2");
        bench.expect(CDS);
        bench.silent();
        bench.ack(EDS, &before);
        bench.sent(EDS, &["a=2"], &[]);
    }
}

#[test]
fn r78_a_cluster_that_differs_after_a_reconnect_gets_its_assignment_again() {
    let mut bench = Bench::delta();
    for name in ["a", "b"] {
        bench.put(CDS, name, "2");
        bench.put(EDS, name, "1");
    }
    bench.resume(EDS, &["a", "b"], &[("a", "1"), ("b", "1")]);
    bench.silent();
    bench.resume(CDS, &[], &[("a", "1"), ("b", "2")]);
    bench.sent(CDS, &["a=2"], &[]);
    bench.sent(EDS, &["a=1"], &[]);
    bench.silent();
}

#[test]
fn r82_r83_a_change_of_endpoints_touches_no_cluster() {
    for dialect in BOTH {
        let mut bench = settled(dialect, &["a", "b"]);
        bench.put(EDS, "a", "2");
        bench.touch(CDS, "a");
        bench.sent(EDS, &["a=2"], &[]);
        bench.silent();
        assert_eq!(bench.status(CDS).pushes, 1);
    }
}

#[test]
fn r76_a_cluster_that_returns_is_followed_by_its_assignment() {
    for dialect in BOTH {
        let mut bench = settled(dialect, &["a"]);
        bench.delete(CDS, "a");
        bench.delete(EDS, "a");
        let gone = bench.expect(CDS);
        bench.ack(CDS, &gone);
        // It is back before the client gave its assignment up.
        bench.put(EDS, "a", "1");
        bench.put(CDS, "a", "1");
        let back = bench.expect(CDS);
        bench.ack(CDS, &back);
        bench.sent(EDS, &["a=1"], &[]);
    }
}

#[test]
fn r70_r78_an_assignment_that_is_claimed_after_its_cluster_was_answered_is_sent_all_the_same() {
    let mut bench = Bench::delta();
    for name in ["a", "b"] {
        bench.put(CDS, name, "2");
        bench.put(EDS, name, "1");
    }
    bench.resume(CDS, &[], &[("a", "1"), ("b", "2")]);
    bench.sent(CDS, &["a=2"], &[]);
    // The client waits for the assignment of `a` now, though it holds an equal one.
    bench.resume(EDS, &["a", "b"], &[("a", "1"), ("b", "1")]);
    bench.sent(EDS, &["a=1"], &[]);
    bench.silent();
}

#[test]
fn r19_a_cluster_that_was_refused_and_goes_out_again_with_others_is_followed_by_its_assignment() {
    let mut bench = settled(Dialect::StateOfTheWorld, &["a", "b"]);
    bench.put(CDS, "a", "2");
    let clusters = bench.expect(CDS);
    bench.sent(EDS, &["a=1"], &[]);
    bench.nack(CDS, &clusters);
    bench.silent();
    bench.put(CDS, "c", "1");
    // It may take `a` this time, and then it waits for its assignment; `b` it has had all along.
    bench.sent(CDS, &["a=2", "b=1", "c=1"], &[]);
    bench.sent(EDS, &["a=1"], &[]);
    bench.put(CDS, "d", "1");
    bench.sent(CDS, &["a=2", "b=1", "c=1", "d=1"], &[]);
    bench.silent();
}

#[test]
fn r72_r80_r84_routes_come_last_and_a_new_name_of_one_is_answered_at_once() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        let ask = |bench: &mut Bench, kind| match dialect {
            Dialect::StateOfTheWorld => bench.ask(kind, "", &["a"]),
            Dialect::Delta => bench.adjust(kind, "", &["a"], &[]),
        };
        for kind in [RDS, LDS, EDS, CDS] {
            bench.put(kind, "a", "1");
            ask(&mut bench, kind);
        }
        let order = [CDS, EDS, LDS, RDS];
        let answers = order.map(|kind| bench.expect(kind));
        for (kind, answer) in order.into_iter().zip(&answers).skip(1) {
            bench.ack(kind, answer);
        }
        // Clusters are not acknowledged yet, and nobody waits for that.
        bench.silent();
        match dialect {
            Dialect::StateOfTheWorld => bench.ask(RDS, &answers[3].nonce, &["a", "b"]),
            Dialect::Delta => bench.adjust(RDS, "", &["b"], &[]),
        };
        match dialect {
            // It can't say that there is none, and says nothing that is not so.
            Dialect::StateOfTheWorld => bench.silent(),
            Dialect::Delta => drop(bench.sent(RDS, &[], &["b"])),
        }
        bench.put(RDS, "b", "1");
        bench.sent(RDS, &["b=1"], &[]);
    }
}

/// A client that holds a cluster, its endpoints, and routes to it.
fn routed(dialect: Dialect) -> Bench {
    let mut bench = settled(dialect, &["x"]);
    bench.put(RDS, "80", "to x");
    match dialect {
        Dialect::StateOfTheWorld => bench.ask(RDS, "", &["80"]),
        Dialect::Delta => bench.adjust(RDS, "", &["80"], &[]),
    };
    bench.sent(RDS, &["80=to x"], &[]);
    bench
}

/// The client asks for the endpoints of a new cluster, in the words of its dialect, and gets them.
fn warms(bench: &mut Bench, dialect: Dialect, new: &str, all: &[&str]) {
    match dialect {
        Dialect::StateOfTheWorld => bench.ask(EDS, "", all),
        Dialect::Delta => bench.adjust(EDS, "", &[new], &[]),
    };
    bench.sent(EDS, &[&format!("{new}=1")], &[]);
}

#[test]
fn r74_r81_routes_wait_for_the_ack_of_their_clusters_and_no_longer() {
    for dialect in BOTH {
        let mut bench = routed(dialect);
        bench.put(EDS, "y", "1");
        bench.put(CDS, "y", "1");
        bench.put(RDS, "80", "to x y");
        let clusters = bench.expect(CDS);
        bench.silent();
        assert!(bench.session.keeps_back());
        // Endpoints don't wait, or the cluster would never be ready.
        warms(&mut bench, dialect, "y", &["x", "y"]);
        bench.silent();
        bench.ack(CDS, &clusters);
        bench.sent(RDS, &["80=to x y"], &[]);
        bench.silent();
        assert!(!bench.session.keeps_back());
    }
}

#[test]
fn r72_r81_a_cluster_stays_until_routes_let_go_of_it() {
    for dialect in BOTH {
        let mut bench = routed(dialect);
        bench.delete(EDS, "x");
        bench.delete(CDS, "x");
        // Neither goes, nor is it emptied: the routes are on their way.
        bench.silent();
        bench.put(RDS, "80", "to nobody");
        let routes = bench.expect(RDS);
        bench.silent();
        bench.ack(RDS, &routes);
        match dialect {
            Dialect::StateOfTheWorld => bench.sent(CDS, &[], &[]),
            Dialect::Delta => bench.sent(CDS, &[], &["x"]),
        };
        bench.silent();
    }
}

#[test]
fn r73_routes_change_over_in_steps_that_are_acknowledged_one_by_one() {
    for dialect in BOTH {
        let mut bench = routed(dialect);
        bench.put(EDS, "y", "1");
        bench.put(CDS, "y", "1");
        bench.delete(CDS, "x");
        bench.delete(EDS, "x");
        bench.put(RDS, "80", "to y");
        let clusters = bench.expect(CDS);
        // The set has both; nothing is taken away yet.
        let both: &[&str] = match dialect {
            Dialect::StateOfTheWorld => &["x=1", "y=1"],
            Dialect::Delta => &["y=1"],
        };
        assert_eq!(clusters.resources, both);
        assert!(clusters.removed.is_empty());
        warms(&mut bench, dialect, "y", &["x", "y"]);
        bench.silent();
        bench.ack(CDS, &clusters);
        let routes = bench.expect(RDS);
        bench.silent();
        bench.ack(RDS, &routes);
        match dialect {
            Dialect::StateOfTheWorld => bench.sent(CDS, &["y=1"], &[]),
            Dialect::Delta => bench.sent(CDS, &[], &["x"]),
        };
        bench.silent();
    }
}

#[test]
fn r74_what_waits_too_long_goes() {
    for dialect in BOTH {
        let mut bench = routed(dialect);
        bench.put(CDS, "y", "1");
        bench.put(RDS, "80", "to x y");
        bench.expect(CDS);
        bench.silent();
        bench.session.wait_no_longer();
        bench.sent(RDS, &["80=to x y"], &[]);
        bench.silent();
        // The next ones wait again.
        bench.put(RDS, "80", "to y");
        bench.silent();
        assert!(bench.session.keeps_back());
    }
}

#[test]
fn r81_a_cluster_that_was_refused_holds_no_routes_up() {
    for dialect in BOTH {
        let mut bench = routed(dialect);
        bench.put(CDS, "y", "1");
        bench.put(RDS, "80", "to x y");
        let clusters = bench.expect(CDS);
        bench.silent();
        bench.nack(CDS, &clusters);
        bench.sent(RDS, &["80=to x y"], &[]);
    }
}

#[test]
fn r74_who_asks_for_no_clusters_waits_for_none() {
    for dialect in BOTH {
        let mut bench = Bench::new(dialect);
        bench.put(CDS, "x", "1");
        bench.put(RDS, "x", "to x");
        match dialect {
            Dialect::StateOfTheWorld => bench.ask(RDS, "", &["x"]),
            Dialect::Delta => bench.adjust(RDS, "", &["x"], &[]),
        };
        bench.sent(RDS, &["x=to x"], &[]);
    }
}
