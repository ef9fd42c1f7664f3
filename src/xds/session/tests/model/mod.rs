//! The core against a reference, step by step: any interleaving of changes, requests, ACKs, NACKs, stale nonces and
//! reconnects, in both dialects.
//!
//! Two references, each too simple to be wrong in the same way. The [`ledger`](Ledger) reads what the server has received
//! and sent so far and says which answer is due now, in full: the core must give just that one, or none. It proves that no
//! update is lost, nothing goes out that was not due or was sent before, and parents go before children. The
//! [`client`](Client) does what real ones do with answers: at rest it must hold just what it asked for, and nothing of it may
//! be left warming. It proves that what is due is enough, and that no route ever names a cluster which it does not have.
//!
//! `MODEL_FACTOR=100 cargo test --lib session::tests::model` takes a hundred times as many steps, from other seeds.

mod client;
mod ledger;
mod mistake;
mod order;
mod run;
mod steps;

use super::*;
use client::Client;
use ledger::Ledger;
use mistake::Mistake;
use run::Run;
use steps::{Draw, Reply, Step};

/// Few, so that steps meet.
const NAMES: [&str; 3] = ["a", "b", "c"];
const CONTENTS: usize = 3;

type Name = &'static str;

/// The name in its one lasting form; `*` and the empty name are none.
fn name_of(text: &str) -> Option<Name> {
    NAMES.into_iter().find(|name| *name == text)
}

/// How a client chooses what to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Any names of any type, and `*` where that is possible, at will.
    Free,
    /// Parents at will, the child of each parent that it holds, and nothing else. It lets the ACK of parents wait for the
    /// children: an Envoy with its clusters.
    Envoy,
}

const BOTH: [Dialect; 2] = [Dialect::StateOfTheWorld, Dialect::Delta];

/// Which decides what is asked for at all.
const ROLES: [Role; 3] = [Role::Sidecar, Role::Gateway, Role::Endpoints];

/// Whether a client of a role asks for a type.
fn asks(role: Role, kind: ResourceType) -> bool {
    match kind {
        RDS => role == Role::Sidecar,
        LDS => role != Role::Endpoints,
        _ => true,
    }
}

/// The role of a run; half of them have all types.
fn role(seed: u64) -> Role {
    let nth = usize::try_from(seed % 4).expect("small");
    ROLES.get(nth).copied().unwrap_or(Role::Sidecar)
}

/// Runs sequences of steps until so many steps were taken; a failure comes with the shortest sequence that still fails.
#[expect(
    clippy::disallowed_methods,
    reason = "a longer run by hand, which is no setting of the program"
)]
fn explore(dialect: Dialect, mode: Mode, steps: usize) {
    let factor = std::env::var("MODEL_FACTOR").ok().and_then(|text| text.parse().ok());
    let (factor, other) = factor.map_or((1, 0), |factor: usize| (factor, 1 << 40));
    let mut taken = 0;
    let mut seed = other;
    while taken < steps * factor {
        seed += 1;
        let sequence = Draw::new(seed).sequence();
        let role = role(seed);
        match Run::whole(dialect, mode, role, &sequence) {
            Ok(count) => taken += count,
            Err(_) => {
                let short = steps::shrink(sequence, |steps| Run::whole(dialect, mode, role, steps).is_err());
                let error = Run::whole(dialect, mode, role, &short).expect_err("it fails");
                let short: String = short.iter().map(|step| format!("\n    {step:?}")).collect();
                panic!("{dialect:?}, {mode:?}, {role:?}, seed {seed}: {error}\nshortest:{short}");
            }
        }
    }
}

#[test]
fn r22_r27_r52_r54_r56_r86_any_client_in_state_of_the_world() {
    explore(Dialect::StateOfTheWorld, Mode::Free, 1_000_000);
}

#[test]
fn r23_r27_r42_r54_r56_r86_any_client_in_delta() {
    explore(Dialect::Delta, Mode::Free, 1_000_000);
}

#[test]
fn r19_r72_r75_r84_an_envoy_in_state_of_the_world() {
    explore(Dialect::StateOfTheWorld, Mode::Envoy, 1_000_000);
}

#[test]
fn r19_r72_r75_r78_r84_an_envoy_in_delta() {
    explore(Dialect::Delta, Mode::Envoy, 1_000_000);
}

/// A model that can't fail proves nothing: each of these servers has one mistake.
#[test]
fn mistakes_are_found() {
    for mistake in Mistake::ALL {
        let found = BOTH.into_iter().any(|dialect| {
            [Mode::Free, Mode::Envoy].into_iter().any(|mode| {
                (0..400).any(|seed| {
                    let steps = Draw::new(seed).sequence();
                    Run::with_mistake(dialect, mode, role(seed), &steps, mistake).is_err()
                })
            })
        });
        assert!(found, "{mistake:?} goes unnoticed");
    }
}
