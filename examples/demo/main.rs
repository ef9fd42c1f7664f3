//! The same service, seen from two networks by three real Envoys, while things happen to it. `make demo` runs it.

#[path = "../../tests/harness/mod.rs"]
mod harness;

mod picture;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use harness::Interrupt;
use stage::{Expected, Stage};

/// `web.shop:80` as its two networks see it, for each scene: address, port and weight.
const EAST_PODS: [(&str, u32); 3] = [("10.1.0.11:8080", 1), ("10.1.0.12:8080", 1), ("10.1.128.11:8080", 1)];
const EAST_GATEWAY: (&str, u32) = ("192.0.2.10:15443", 3);
const WEST_GATEWAY: &str = "192.0.2.20:15443";

#[tokio::main]
#[expect(clippy::print_stderr, reason = "the last word of a program that failed")]
async fn main() -> ExitCode {
    let keep = std::env::args().any(|argument| argument == "--keep");
    match run(keep).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nThe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever ends us ends all that we started: Envoys would outlive a terminal that is closed.
async fn run(keep: bool) -> anyhow::Result<ExitCode> {
    let mut stop = Interrupt::catch()?;
    let stage = tokio::select! {
        played = play() => played?,
        () = stop.asked() => return Ok(ExitCode::from(STOPPED)),
    };
    say_how_to_go_on(&stage, keep);
    if keep {
        stop.asked().await;
    }
    stage.end(Duration::from_secs(15)).await?;
    Ok(ExitCode::SUCCESS)
}

/// What shells report for a program ended by Ctrl-C.
const STOPPED: u8 = 130;

/// What east sees with this many pods of west behind its gateway, and what west sees with these pods of its own.
fn expected(behind_gateway: u32, west_pods: &[&'static str]) -> Expected {
    let mut east = EAST_PODS.to_vec();
    if behind_gateway > 0 {
        east.push((WEST_GATEWAY, behind_gateway));
    }
    let mut west: Vec<_> = west_pods.iter().map(|pod| (*pod, 1)).collect();
    west.push(EAST_GATEWAY);
    Expected { east, west }
}

#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
async fn play() -> anyhow::Result<Stage> {
    let mut stage = Stage::set().await?;
    let two = ["10.2.0.11:8080", "10.2.0.12:8080"];
    let three = ["10.2.0.11:8080", "10.2.0.12:8080", "10.2.0.13:8080"];

    println!("\nOne service, web.shop:80, with two pods in east-1, one in east-2 and two in west.");
    println!("east-1 and east-2 share the network east; west is a network of its own. This is what each Envoy holds:");
    stage.show(&expected(2, &two)).await?;

    println!("\n1. Scale up behind the gateway: a third pod in west.");
    stage.put("west-scaled-up.yaml", "west/web.yaml")?;
    stage.show(&expected(3, &three)).await?;

    println!("\n2. A pod of west becomes unready: west loses its address, east sends the gateway less.");
    stage.put("west-one-unready.yaml", "west/web.yaml")?;
    stage.show(&expected(2, &three[1..])).await?;

    println!("\n3. The gateway of west is removed: its pods can't be reached from east, so east is not sent there.");
    stage.remove("west/gateway.yaml")?;
    stage.show(&expected(0, &three[1..])).await?;
    println!("\n   Why? `parallax explain web.shop --as east-1`:\n");
    println!("{}", stage.explain("east-1")?);

    println!("4. The gateway comes back.");
    stage.restore("west/gateway.yaml")?;
    stage.show(&expected(2, &three[1..])).await?;

    Ok(stage)
}

#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
fn say_how_to_go_on(stage: &Stage, keep: bool) {
    if keep {
        println!(
            "\nEverything stays up. Edit the manifests in {} and look:",
            stage.members().display()
        );
        println!("{}", stage.hints());
        println!("\nCtrl-C ends it.");
    } else {
        println!("\nDone. Next:");
        println!("  make demo KEEP=1          the same, and it stays up to look around");
        println!("  docs/looking-in.md        every command for looking around");
        println!("  make test                 all tests, with real Envoys and real API servers");
    }
}
