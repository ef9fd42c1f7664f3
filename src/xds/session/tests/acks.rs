//! Nonces, ACKs, NACKs and versions (R13–R32, R86).

use super::*;

#[test]
fn r13_every_answer_has_its_own_nonce() {
    let mut bench = Bench::delta();
    bench.adjust(EDS, "", &["a"], &[]);
    let mut seen = BTreeSet::new();
    for n in 0..2000 {
        bench.put(EDS, "a", &n.to_string());
        let got = bench.expect(EDS);
        assert!(!got.nonce.is_empty() && seen.insert(got.nonce.clone()));
        bench.ack(EDS, &got);
    }
}

#[test]
fn r14_a_nonce_of_another_stream_is_noise() {
    for dialect in [Dialect::StateOfTheWorld, Dialect::Delta] {
        let mut bench = Bench::new(dialect);
        bench.put(CDS, "a", "1");
        let effect = match dialect {
            Dialect::StateOfTheWorld => bench.ask(CDS, "17", &[]),
            Dialect::Delta => bench.adjust(CDS, "17", &[], &[]),
        };
        assert_eq!(effect.verdict, None);
        bench.sent(CDS, &["a=1"], &[]);
    }
}

#[test]
fn r16_r17_m21_a_refused_answer_is_not_sent_again() {
    for dialect in [Dialect::StateOfTheWorld, Dialect::Delta] {
        let mut bench = Bench::new(dialect);
        for kind in [CDS, EDS] {
            bench.put(kind, "a", "1");
            match dialect {
                Dialect::StateOfTheWorld => bench.ask(kind, "", &["a"]),
                Dialect::Delta => bench.adjust(kind, "", &["a"], &[]),
            };
            let got = bench.expect(kind);
            bench.nack(kind, &got);
            bench.silent();
            bench.touch(kind, "a");
            bench.silent();
            // Only newer content is worth another try.
            bench.put(kind, "a", "2");
            let got = bench.expect(kind);
            assert_eq!(got.resources, ["a=2"]);
            bench.nack(kind, &got);
            bench.silent();
            assert_eq!(bench.status(kind).nacks, 2);
        }
    }
}

#[test]
fn r17_content_that_goes_back_to_what_was_accepted_is_sent() {
    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.adjust(EDS, "", &["a"], &[]);
    bench.sent(EDS, &["a=1"], &[]);
    bench.put(EDS, "a", "2");
    let got = bench.expect(EDS);
    bench.nack(EDS, &got);
    bench.put(EDS, "a", "1");
    bench.sent(EDS, &["a=1"], &[]);
    assert_eq!(bench.status(EDS).last_nack, None);
}

#[test]
fn r18_a_refusal_still_changes_subscriptions() {
    let mut bench = Bench::sotw();
    bench.put(EDS, "a", "1");
    bench.put(EDS, "b", "1");
    bench.ask(EDS, "", &["a"]);
    let got = bench.expect(EDS);
    let effect = bench.request(EDS.url(), &got.nonce, Some("bad"), Body::Names(owned(&["a", "b"])));
    assert_eq!(effect.verdict, Some(Verdict::Nacked(EDS)));
    bench.names.insert(EDS, owned(&["a", "b"]));
    bench.sent(EDS, &["b=1"], &[]);

    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.put(EDS, "b", "1");
    bench.adjust(EDS, "", &["a"], &[]);
    let got = bench.expect(EDS);
    let body = Body::Delta {
        subscribe: owned(&["b"]),
        unsubscribe: owned(&["a"]),
        initial: BTreeMap::new(),
    };
    bench.request(EDS.url(), &got.nonce, Some("bad"), body);
    bench.sent(EDS, &["b=1"], &[]);
    bench.put(EDS, "a", "2");
    bench.silent();
}

#[test]
fn r19_after_a_refusal_the_last_accepted_version_is_shown() {
    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.adjust(EDS, "", &["a", "b"], &[]);
    bench.sent(EDS, &["a=1"], &["b"]);
    bench.put(EDS, "a", "2");
    let got = bench.expect(EDS);
    let [a, b] = &bench.session.resources(EDS)[..] else {
        panic!("two names");
    };
    assert_eq!((a.state, b.state), (ResourceState::Stale, ResourceState::NotSent));
    bench.nack(EDS, &got);
    let a = &bench.session.resources(EDS)[0];
    assert_eq!(a.state, ResourceState::Nacked);
    assert_eq!(a.sent, resource(EDS, "a", "2").version.to_string());
    assert_eq!(a.acked, resource(EDS, "a", "1").version.to_string());
    let nack = bench.status(EDS).last_nack.unwrap();
    assert_eq!((nack.version, nack.message.as_str()), (got.version, "bad"));
}

#[test]
fn r20_m8_a_refusal_of_what_was_never_sent_is_harmless() {
    for dialect in [Dialect::StateOfTheWorld, Dialect::Delta] {
        let mut bench = Bench::new(dialect);
        bench.put(CDS, "a", "1");
        let body = match dialect {
            Dialect::StateOfTheWorld => Body::Names(vec![]),
            Dialect::Delta => Body::Delta {
                subscribe: vec![],
                unsubscribe: vec![],
                initial: BTreeMap::new(),
            },
        };
        for url in [CDS.url(), EDS.url(), "type.googleapis.com/foo.Bar"] {
            let effect = bench.request(url, "9", Some("bad"), body.clone());
            assert_eq!(effect.verdict, None);
        }
        bench.sent(CDS, &["a=1"], &[]);
    }
}

#[test]
fn r22_a_stale_list_counts_and_settles_nothing() {
    let mut bench = Bench::sotw();
    bench.put(EDS, "a", "1");
    bench.put(EDS, "b", "1");
    bench.ask(EDS, "", &["a"]);
    let first = bench.sent(EDS, &["a=1"], &[]);
    bench.put(EDS, "a", "2");
    let second = bench.expect(EDS);
    // The client's list crosses the answer on the wire.
    let effect = bench.ask(EDS, &first.nonce, &["a", "b"]);
    assert_eq!(effect.verdict, None);
    bench.silent();
    assert_eq!(bench.status(EDS).in_flight, Some(second.nonce.clone()));
    bench.ack(EDS, &second);
    // Only what is new is answered.
    bench.sent(EDS, &["b=1"], &[]);
    bench.silent();
}

#[test]
fn r23_a_stale_delta_request_counts() {
    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.put(EDS, "b", "1");
    bench.adjust(EDS, "", &["a"], &[]);
    let first = bench.sent(EDS, &["a=1"], &[]);
    bench.put(EDS, "a", "2");
    let second = bench.expect(EDS);
    bench.adjust(EDS, &first.nonce, &["b"], &["a"]);
    bench.silent();
    bench.ack(EDS, &second);
    bench.sent(EDS, &["b=1"], &[]);
}

#[test]
fn r24_m21_an_ack_with_a_subscription_does_both() {
    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.put(EDS, "b", "1");
    bench.adjust(EDS, "", &["a"], &[]);
    let got = bench.expect(EDS);
    let effect = bench.adjust(EDS, &got.nonce, &["b"], &[]);
    assert_eq!(effect.verdict, Some(Verdict::Acked(EDS)));
    assert_eq!(effect.interests, [Interest::Subscribe(EDS, names(&["b"]))]);
    bench.sent(EDS, &["b=1"], &[]);
}

#[test]
fn r25_m3_a_spontaneous_request_is_no_ack() {
    for dialect in [Dialect::StateOfTheWorld, Dialect::Delta] {
        let mut bench = Bench::new(dialect);
        bench.put(EDS, "a", "1");
        let effect = |bench: &mut Bench, names: &[&str]| match dialect {
            Dialect::StateOfTheWorld => bench.ask(EDS, "", names),
            Dialect::Delta => bench.adjust(EDS, "", names, &[]),
        };
        effect(&mut bench, &["a"]);
        let got = bench.expect(EDS);
        assert_eq!(effect(&mut bench, &["a", "b"]).verdict, None);
        assert_eq!(bench.status(EDS).in_flight, Some(got.nonce));
        bench.silent();
    }
}

#[test]
fn r26_a_burst_of_requests_gets_one_answer() {
    let mut bench = Bench::sotw();
    let all: Vec<String> = (0..100).map(|n| format!("c{n:02}")).collect();
    for name in &all {
        bench.put(EDS, name, "1");
    }
    for upto in 1..=100 {
        let some: Vec<&str> = all[..upto].iter().map(String::as_str).collect();
        bench.ask(EDS, "", &some);
    }
    let got = bench.expect(EDS);
    assert_eq!(got.resources.len(), 100);
    bench.ack(EDS, &got);
    bench.silent();
}

#[test]
fn r27_m13_an_ack_gets_silence() {
    for dialect in [Dialect::StateOfTheWorld, Dialect::Delta] {
        let mut bench = Bench::new(dialect);
        bench.put(CDS, "a", "1");
        match dialect {
            Dialect::StateOfTheWorld => {
                bench.ask(CDS, "", &[]);
                bench.ask(EDS, "", &["a", "absent"]);
            }
            Dialect::Delta => {
                bench.adjust(CDS, "", &[], &[]);
                bench.adjust(EDS, "", &["a", "absent"], &[]);
            }
        }
        let mut answers = 0;
        while let Some(got) = bench.next() {
            answers += 1;
            let kind = ResourceType::from_url(&got.url).unwrap();
            bench.ack(kind, &got);
        }
        assert_eq!(answers, 2);
        // A second ACK of the same answer, and a change that changes nothing.
        bench.touch(CDS, "a");
        bench.touch(EDS, "a");
        bench.silent();
    }
}

#[test]
fn r28_each_type_has_its_own_version() {
    let mut bench = Bench::sotw();
    bench.put(CDS, "a", "1");
    bench.put(EDS, "a", "1");
    bench.ask(CDS, "", &[]);
    bench.ask(EDS, "", &["a"]);
    let clusters = bench.sent(CDS, &["a=1"], &[]);
    let first = bench.sent(EDS, &["a=1"], &[]);
    bench.put(EDS, "a", "2");
    let second = bench.sent(EDS, &["a=2"], &[]);
    assert_ne!(first.version, second.version);
    assert_eq!(bench.status(CDS).sent_version, Some(clusters.version));
}

#[test]
fn r29_two_servers_give_equal_versions() {
    let version = || {
        let mut bench = Bench::sotw();
        bench.put(CDS, "b", "1");
        bench.put(CDS, "a", "1");
        bench.ask(CDS, "", &[]);
        bench.expect(CDS).version
    };
    assert_eq!(version(), version());
}

#[test]
fn r32_m9_a_reconnect_in_state_of_the_world_is_answered_in_full() {
    let mut bench = Bench::sotw();
    bench.put(EDS, "a", "1");
    bench.ask(EDS, "3", &["a"]);
    bench.sent(EDS, &["a=1"], &[]);
}

#[test]
fn r86_m11_changes_gather_while_one_answer_is_in_flight() {
    for dialect in [Dialect::StateOfTheWorld, Dialect::Delta] {
        let mut bench = Bench::new(dialect);
        bench.put(EDS, "a", "0");
        match dialect {
            Dialect::StateOfTheWorld => bench.ask(EDS, "", &["a", "b"]),
            Dialect::Delta => bench.adjust(EDS, "", &["a", "b"], &[]),
        };
        let got = bench.expect(EDS);
        for n in 1..=1000 {
            bench.put(EDS, "a", &n.to_string());
            bench.silent();
        }
        assert_eq!(bench.status(EDS).pending, 1);
        bench.ack(EDS, &got);
        bench.sent(EDS, &["a=1000"], &[]);
        bench.silent();
    }
}

#[test]
fn r85_m17_what_is_no_longer_wanted_is_not_sent() {
    let mut bench = Bench::delta();
    bench.put(EDS, "a", "1");
    bench.put(EDS, "b", "1");
    bench.adjust(EDS, "", &["a", "b"], &[]);
    let got = bench.expect(EDS);
    bench.put(EDS, "a", "2");
    bench.put(EDS, "b", "2");
    bench.adjust(EDS, "", &[], &["a"]);
    bench.ack(EDS, &got);
    bench.sent(EDS, &["b=2"], &[]);
}
