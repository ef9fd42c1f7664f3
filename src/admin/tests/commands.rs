//! The commands of the command line against a real server.

use clap::Parser as _;

use super::mesh::{Running, soon};
use crate::cli::{Cli, Failure, run};
use crate::table::EventSink as _;
use crate::table::testing::{listed, web};

pub(super) async fn ask(running: &Running, line: &str) -> Result<String, Failure> {
    ask_at(&running.address.to_string(), line).await
}

async fn ask_at(server: &str, line: &str) -> Result<String, Failure> {
    let words = ["parallax", "--server", server, "--color", "never"];
    let cli = Cli::try_parse_from(words.into_iter().chain(line.split_whitespace())).unwrap();
    let mut out = Vec::new();
    soon(run(cli, &mut out)).await?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn every_list_can_be_read_by_people_and_programs() {
    let running = Running::start().await;
    for (line, says) in [
        ("get members", "west"),
        ("get services", "cart.shop"),
        ("get endpoints", "10.3.0.1:8080"),
        ("get endpoints web.shop:80 --network net2", "10.2.0.2:8080"),
        ("get networks", "service shop/eastwest"),
        ("get settings", "in force"),
        ("get proxies", "No proxy is connected."),
        ("get view --member west", "203.0.113.7:15443"),
        ("explain web.shop --network net1", "2 ready in east on net2 = 2"),
        (
            "explain web.shop:80 --member west",
            "network net3 has no usable gateway",
        ),
    ] {
        let text = ask(&running, line).await.unwrap();
        assert!(text.contains(says), "{line}: {text}");
        let json = ask(&running, &format!("{line} -o json")).await.unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(json.is_object(), "{line}: {json}");
        let yaml = ask(&running, &format!("{line} -o yaml")).await.unwrap();
        let yaml: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(yaml, json, "{line}");
    }
    let filtered = ask(&running, "get endpoints web.shop --network net2").await.unwrap();
    assert!(!filtered.contains("net1"), "{filtered}");
    let elsewhere = ask(&running, "get services -n nowhere").await.unwrap();
    assert_eq!(elsewhere, "No services.\n");
}

#[tokio::test]
async fn a_server_may_be_named_as_a_browser_has_it() {
    let running = Running::start().await;
    for server in [
        format!("http://{}", running.address),
        format!("http://{}/", running.address),
    ] {
        let members = ask_at(&server, "get members").await.unwrap();
        assert!(members.contains("west"), "{server}: {members}");
    }
}

#[tokio::test]
async fn a_wrong_question_is_answered_with_the_right_ones() {
    let running = Running::start().await;
    for (line, says) in [
        ("explain wbe.shop --network net1", "did you mean web.shop?"),
        ("explain web --network net1", "name.namespace"),
        ("explain cart.shop --network net1", "80, 9090"),
        ("explain web.shop:81 --network net1", "it has 80"),
        ("explain web.shop --as web", "none is connected"),
        ("explain web.shop --member south", "there are east, north, west"),
        ("explain web.shop --network a/b", "network name"),
        ("get endpoints web.shop --network a/b", "network name"),
    ] {
        let failure = ask(&running, line).await.expect_err(line);
        assert_eq!(failure.code(), 1, "{line}: {failure}");
        assert!(failure.to_string().contains(says), "{line}: {failure}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_its_remedy() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let failure = ask_at(&address, "get members").await.unwrap_err();
    assert_eq!(failure.code(), 69);
    let text = failure.to_string();
    assert!(
        text.contains(&address) && text.contains("refused") && text.contains("--server"),
        "{text}"
    );
    let failure = ask_at("no address at all", "get members").await.unwrap_err();
    assert!(failure.to_string().contains("HOST:PORT"), "{failure}");
}

#[tokio::test]
async fn a_unix_socket_is_an_address_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let running = Running::start_on(listener).await;
    let said = ask_at(&format!("unix:{}", path.display()), "get members")
        .await
        .unwrap();
    assert!(said.contains("west"), "{said}");
    soon(running.stop()).await.unwrap();
}

#[tokio::test]
async fn changes_are_shown_as_they_happen_until_the_server_goes() {
    let running = Running::start().await;
    let server = running.address.to_string();
    // Changes again and again, since nobody can tell when the watcher has begun.
    let pusher = std::sync::Arc::clone(&running.pusher);
    let changing = tokio::spawn(async move {
        let mut beat = tokio::time::interval(std::time::Duration::from_millis(5));
        for address in ["10.3.0.1", "10.3.0.2"].iter().cycle() {
            beat.tick().await;
            pusher.apply(listed("north", web(&[address])));
        }
    });
    let cli = Cli::try_parse_from(["parallax", "--server", &server, "watch"]).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let watching = tokio::spawn(async move {
        let mut writer = writer;
        run(cli, &mut writer).await
    });
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        let read = std::io::BufRead::read_line(&mut std::io::BufReader::new(&mut reader), &mut line);
        read.map(|_| (line, reader)).unwrap()
    });
    let (line, reader) = soon(line).await.unwrap();
    assert!(line.contains("services web.shop"), "{line}");
    changing.abort();
    soon(running.stop()).await.unwrap();
    let failure = soon(watching).await.unwrap().unwrap_err();
    assert_eq!(failure.code(), 69, "{failure}");
    drop(reader);
}
