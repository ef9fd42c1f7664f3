//! What is asked for, and what an answer holds because of it (R2, R3, R33–R53, state of the world first).

use super::*;

#[test]
fn r2_a_request_without_type_is_a_protocol_error() {
    let mut bench = Bench::sotw();
    let request = Request {
        type_url: String::new(),
        nonce: String::new(),
        error: None,
        body: Body::Names(vec![]),
    };
    let error = bench.session.on_request(request).unwrap_err();
    assert_eq!(error, SessionError::NoTypeUrl);
    assert!(error.to_string().contains("type_url"));
}

#[test]
fn r3_an_unknown_type_is_answered_and_the_others_still_work() {
    let url = "type.googleapis.com/foo.Bar";
    let mut bench = Bench::sotw();
    bench.put(CDS, "a", "1");
    bench.request(url, "", None, Body::Names(owned(&["x"])));
    bench.silent();
    bench.ask(CDS, "", &[]);
    bench.sent(CDS, &["a=1"], &[]);

    let whole = "type.googleapis.com/foo.Whole";
    bench.request(whole, "", None, Body::Names(vec![]));
    let got = bench.next().unwrap();
    assert_eq!((got.url.as_str(), got.resources.len()), (whole, 0));
    bench.request(whole, &got.nonce, None, Body::Names(vec![]));
    bench.silent();

    let mut bench = Bench::delta();
    let subscribe = |names: &[&str]| Body::Delta {
        subscribe: owned(names),
        unsubscribe: vec![],
        initial: BTreeMap::new(),
    };
    bench.request(url, "", None, subscribe(&["x", "y"]));
    assert_eq!(bench.next().unwrap().removed, ["x", "y"]);
    bench.silent();
    bench.request(whole, "", None, subscribe(&[]));
    assert_eq!(bench.next().unwrap().url, whole);
    bench.silent();
}

#[test]
fn r3_unknown_types_are_bounded() {
    let mut bench = Bench::sotw();
    let ask = |bench: &mut Bench, n: usize| {
        bench.session.on_request(Request {
            type_url: format!("type.googleapis.com/foo.Bar{n}"),
            nonce: String::new(),
            error: None,
            body: Body::Names(vec![]),
        })
    };
    for n in 0..MAX_FOREIGN_TYPES {
        ask(&mut bench, n).unwrap();
    }
    let error = ask(&mut bench, MAX_FOREIGN_TYPES).unwrap_err();
    assert_eq!(error, SessionError::TooManyTypes);
}

#[test]
fn names_are_bounded_in_number_and_length() {
    let mut bench = Bench::delta();
    let mut ask = |names: Vec<String>| {
        bench.session.on_request(Request {
            type_url: EDS.url().to_owned(),
            nonce: String::new(),
            error: None,
            body: Body::Delta {
                subscribe: names,
                unsubscribe: vec![],
                initial: BTreeMap::new(),
            },
        })
    };
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    assert!(matches!(ask(vec![long]), Err(SessionError::NameTooLong { .. })));
    ask((0..600).map(|n| format!("a{n}")).collect()).unwrap();
    let error = ask((0..600).map(|n| format!("b{n}")).collect()).unwrap_err();
    assert_eq!(error, SessionError::TooManyNames { limit: 1000 });
}

#[test]
fn r33_only_what_was_asked_for_is_sent() {
    for mut bench in [Bench::sotw(), Bench::delta()] {
        for name in ["a", "b", "c"] {
            bench.put(EDS, name, "1");
        }
        match bench.session.dialect() {
            Dialect::StateOfTheWorld => bench.ask(EDS, "", &["c", "a"]),
            Dialect::Delta => bench.adjust(EDS, "", &["c", "a"], &[]),
        };
        bench.sent(EDS, &["a=1", "c=1"], &[]);
        bench.put(EDS, "b", "2");
        bench.silent();
    }
}

#[test]
fn r34_a_star_is_everything() {
    for mut bench in [Bench::sotw(), Bench::delta()] {
        bench.put(CDS, "a", "1");
        bench.put(CDS, "b", "1");
        let effect = match bench.session.dialect() {
            Dialect::StateOfTheWorld => bench.ask(CDS, "", &["*"]),
            Dialect::Delta => bench.adjust(CDS, "", &["*"], &[]),
        };
        assert_eq!(effect.interests, [Interest::SubscribeAll(CDS)]);
        bench.sent(CDS, &["a=1", "b=1"], &[]);
        assert!(bench.status(CDS).wildcard);
    }
}

#[test]
fn r35_r36_an_empty_first_list_is_everything_for_cds_and_nothing_for_eds() {
    for mut bench in [Bench::sotw(), Bench::delta()] {
        bench.put(CDS, "a", "1");
        bench.put(EDS, "a", "1");
        for kind in [EDS, CDS] {
            match bench.session.dialect() {
                Dialect::StateOfTheWorld => bench.ask(kind, "", &[]),
                Dialect::Delta => bench.adjust(kind, "", &[], &[]),
            };
        }
        bench.sent(CDS, &["a=1"], &[]);
        bench.put(EDS, "b", "1");
        bench.silent();
    }
}

#[test]
fn r36_a_star_is_no_name_of_an_assignment() {
    for mut bench in [Bench::sotw(), Bench::delta()] {
        bench.put(EDS, "a", "1");
        let effect = match bench.session.dialect() {
            Dialect::StateOfTheWorld => bench.ask(EDS, "", &["*", ""]),
            Dialect::Delta => bench.adjust(EDS, "", &["*", ""], &[]),
        };
        assert_eq!(effect.interests, []);
        bench.silent();
    }
}

#[test]
fn r37_empty_list_after_names_unsubscribes_from_all() {
    let mut bench = Bench::sotw();
    bench.put(CDS, "a", "1");
    bench.put(CDS, "b", "1");
    bench.ask(CDS, "", &[]);
    let got = bench.sent(CDS, &["a=1", "b=1"], &[]);
    bench.ask(CDS, &got.nonce, &["a"]);
    bench.sent(CDS, &["a=1"], &[]);
    let effect = bench.ask(CDS, "", &[]);
    assert_eq!(effect.interests, [Interest::Unsubscribe(CDS, names(&["a"]))]);
    bench.put(CDS, "a", "2");
    bench.put(CDS, "b", "2");
    bench.silent();
    assert!(!bench.status(CDS).wildcard);
}

#[test]
fn r37_an_empty_name_never_exists_and_ends_the_wildcard() {
    let mut bench = Bench::sotw();
    bench.put(CDS, "a", "1");
    bench.ask(CDS, "", &["a"]);
    bench.sent(CDS, &["a=1"], &[]);
    bench.ask(CDS, "", &[""]);
    bench.put(CDS, "a", "2");
    bench.silent();
}

#[test]
fn r38_dropping_the_star_keeps_the_names() {
    let mut bench = Bench::sotw();
    bench.put(CDS, "a", "1");
    bench.put(CDS, "b", "1");
    bench.ask(CDS, "", &["*", "a"]);
    bench.sent(CDS, &["a=1", "b=1"], &[]);
    let effect = bench.ask(CDS, "", &["a"]);
    assert_eq!(effect.interests, [Interest::UnsubscribeAll(CDS)]);
    bench.silent();
    bench.put(CDS, "b", "2");
    bench.silent();
    bench.put(CDS, "a", "2");
    bench.sent(CDS, &["a=2"], &[]);
}

#[test]
fn r43_m14_a_name_that_was_dropped_and_is_asked_again_is_sent_again() {
    let mut bench = Bench::sotw();
    bench.put(EDS, "a", "1");
    bench.ask(EDS, "", &["a"]);
    bench.sent(EDS, &["a=1"], &[]);
    bench.ask(EDS, "", &[]);
    bench.silent();
    assert_eq!(bench.session.resources(EDS), [], "nothing is kept of it");
    bench.ask(EDS, "", &["a"]);
    bench.sent(EDS, &["a=1"], &[]);
}

#[test]
fn r43_a_name_added_to_a_star_is_sent() {
    let mut bench = Bench::sotw();
    bench.put(CDS, "a", "1");
    bench.ask(CDS, "", &["*"]);
    bench.sent(CDS, &["a=1"], &[]);
    bench.ask(CDS, "", &["*", "a"]);
    bench.sent(CDS, &["a=1"], &[]);
}

#[test]
fn r45_a_pure_unsubscribe_gets_no_answer() {
    let mut bench = Bench::sotw();
    for kind in [CDS, EDS] {
        for name in ["a", "b", "c"] {
            bench.put(kind, name, "1");
        }
        bench.ask(kind, "", &["a", "b", "c"]);
        bench.sent(kind, &["a=1", "b=1", "c=1"], &[]);
        for rest in [&["a", "b"][..], &["a"], &[]] {
            bench.ask(kind, "", rest);
            bench.silent();
        }
    }
}

#[test]
fn r47_m18_an_absent_name_is_remembered_and_sent_when_it_appears() {
    let mut bench = Bench::sotw();
    bench.put(CDS, "a", "1");
    bench.ask(CDS, "", &["a", "z"]);
    // The full set without it: the client knows at once that there is no such cluster.
    bench.sent(CDS, &["a=1"], &[]);
    bench.put(CDS, "z", "1");
    bench.sent(CDS, &["a=1", "z=1"], &[]);

    let mut bench = Bench::delta();
    for kind in [CDS, EDS] {
        bench.adjust(kind, "", &["z"], &[]);
        bench.sent(kind, &[], &["z"]);
        bench.put(kind, "z", "1");
        bench.sent(kind, &["z=1"], &[]);
    }
}

#[test]
fn r49_the_order_of_names_means_nothing() {
    let mut bench = Bench::sotw();
    for name in ["a", "b", "c"] {
        bench.put(EDS, name, "1");
    }
    bench.ask(EDS, "", &["c", "b", "a"]);
    let got = bench.sent(EDS, &["a=1", "b=1", "c=1"], &[]);
    bench.ask(EDS, &got.nonce, &["b", "a", "c", "a"]);
    bench.silent();
}

#[test]
fn r52_clusters_are_always_the_full_set() {
    let mut bench = Bench::sotw();
    for name in ["a", "b", "c"] {
        bench.put(CDS, name, "1");
    }
    bench.ask(CDS, "", &[]);
    bench.sent(CDS, &["a=1", "b=1", "c=1"], &[]);
    bench.put(CDS, "b", "2");
    bench.sent(CDS, &["a=1", "b=2", "c=1"], &[]);
    bench.delete(CDS, "a");
    bench.sent(CDS, &["b=2", "c=1"], &[]);
}

#[test]
fn r53_of_assignments_only_what_changed() {
    let mut bench = Bench::sotw();
    let all: Vec<String> = (0..100).map(|n| format!("c{n:02}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for name in &all {
        bench.put(EDS, name, "1");
    }
    bench.ask(EDS, "", &all);
    let first = bench.expect(EDS);
    assert_eq!(first.resources.len(), 100);
    bench.ack(EDS, &first);
    bench.put(EDS, "c42", "2");
    bench.sent(EDS, &["c42=2"], &[]);
    bench.silent();
}

#[test]
fn r63_m15_a_first_wildcard_is_answered_even_when_there_is_nothing() {
    let mut bench = Bench::sotw();
    bench.ask(CDS, "", &[]);
    bench.sent(CDS, &[], &[]);
    bench.silent();
    let mut bench = Bench::delta();
    bench.adjust(CDS, "", &[], &[]);
    bench.sent(CDS, &[], &[]);
    bench.silent();
}

#[test]
fn envoys_start_does_not_hang_on_an_assignment_that_does_not_exist() {
    let mut bench = Bench::sotw();
    bench.ask(EDS, "", &["nobody"]);
    bench.sent(EDS, &["nobody=EMPTY"], &[]);
    bench.touch(EDS, "nobody");
    bench.silent();
    bench.put(EDS, "nobody", "1");
    bench.sent(EDS, &["nobody=1"], &[]);
}

#[test]
fn r69_nothing_is_remembered_from_another_stream() {
    let mut bench = Bench::delta();
    bench.put(CDS, "a", "1");
    bench.put(EDS, "a", "1");
    bench.resume(EDS, &[], &[("a", "old")]);
    bench.silent();
    assert_eq!(bench.status(EDS).held, 0);
}

#[test]
fn r50_names_of_newer_forms_are_names_like_others() {
    let odd = [
        "xdstp://example.org/envoy.config.endpoint.v3.ClusterLoadAssignment/shop/*",
        "xdstp://example.org/envoy.config.cluster.v3.Cluster/a?zone=z1#alias=b",
        "shop/*",
    ];
    for kind in ResourceType::ALL {
        for mut bench in [Bench::sotw(), Bench::delta()] {
            bench.put(kind, "a", "1");
            let all: Vec<&str> = odd.into_iter().chain(["a"]).collect();
            match bench.session.dialect() {
                Dialect::StateOfTheWorld => bench.ask(kind, "", &all),
                Dialect::Delta => bench.adjust(kind, "", &all, &[]),
            };
            let got = bench.expect(kind);
            assert!(got.resources.contains(&"a=1".to_owned()), "{got:?}");
        }
    }
}
