//! Requests across two networks, while things fail: real API servers, real Envoys in network namespaces, a client that keeps
//! asking, and a table of who answers and which way. `make mesh` runs it.

#![allow(clippy::print_stderr, reason = "the last word of a program that failed")]

mod board;
mod parts;
mod play;
mod screen;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures::FutureExt;

use parts::harness::{Interrupt, envoy_binary, envoy_versions, kubernetes_tools};
use parts::space::lacking;
use play::Play;

/// What shells report for a program ended by Ctrl-C.
const STOPPED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let keep = std::env::args().any(|argument| argument == "--keep");
    if let Some(reason) = not_possible() {
        eprintln!("{reason}");
        return ExitCode::FAILURE;
    }
    let mut interrupt = match Interrupt::catch() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    // What goes wrong in the parts is a panic, whose words are all that a person needs.
    std::panic::set_hook(Box::new(|_| {}));
    let mut playing = Box::pin(AssertUnwindSafe(Play::all()).catch_unwind());
    let ended = tokio::select! {
        ended = &mut playing => ended,
        () = interrupt.asked() => {
            eprintln!("\nEnding everything …");
            drop(playing);
            return ExitCode::from(STOPPED);
        }
    };
    match ended {
        Ok(mut play) => {
            let kept = play.sum_up();
            if keep {
                play.say_how_to_look_around();
                interrupt.asked().await;
            }
            if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(panic) => {
            eprintln!("\nThe mesh failed: {}", words(panic));
            ExitCode::FAILURE
        }
    }
}

fn words(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic
            .downcast::<&str>()
            .map_or_else(|_| "a panic".to_owned(), |words| (*words).to_owned()),
    }
}

/// Why this machine can't run it, with what to do.
fn not_possible() -> Option<String> {
    let missing = envoy_binary(envoy_versions()[0])
        .err()
        .or_else(|| kubernetes_tools().err());
    let missing = missing.map(|error| format!("{error:#}"));
    let unbuilt = !parallax().is_file();
    let unbuilt = unbuilt.then(|| "the parallax binary is not built: run `make mesh` or `cargo build`".to_owned());
    lacking().or(missing).or(unbuilt)
}

/// The binary that was built beside this example.
fn parallax() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let profile = own.parent().and_then(Path::parent);
    profile.unwrap_or(Path::new("")).join("parallax")
}
