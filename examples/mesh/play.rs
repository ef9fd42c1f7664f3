//! What happens, scene by scene, and what is promised of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::board::{Board, Counts, NOW, gateway_at};
use super::parallax;
use super::parts::cluster::PodSpec;
use super::parts::harness::eventually;
use super::parts::load::POSTING;
use super::parts::three::{Three, WEB};
use super::screen::Screen;

/// How long something that was said may take to be seen.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a scene is looked at.
const LOOK: Duration = Duration::from_secs(3);
const REDRAW: Duration = Duration::from_millis(250);

/// A connection through a gateway stays with one pod behind it: here for ten requests, so that shares show soon.
const TRAFFIC: &str = "  requestsPerConnection: 10\n";

const LATE: PodSpec = PodSpec::new("web-6", "west", "net2", "10.2.0.22");
const NEAR: [&str; 3] = ["web-1", "web-2", "web-3"];

/// What becomes of POSTs that are under way when whoever has them dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Posts {
    AllAnswered,
    /// They fail, since nobody can know whether they were done.
    UnderWayMayFail,
}

/// The whole of it.
pub(crate) struct Play {
    drawing: JoinHandle<()>,
    board: Arc<Mutex<Board>>,
    three: Three,
    scene: usize,
    /// At the scene's beginning.
    before: Counts,
    broken: Vec<String>,
}

impl Play {
    /// Builds the mesh and plays all scenes.
    pub(crate) async fn all() -> Self {
        let mut play = Self::build().await;
        play.calls().await;
        play.scale_up().await;
        play.gateway_killed().await;
        play.region_lost().await;
        play.api_server_gone().await;
        play.control_plane_restarted().await;
        play
    }

    async fn build() -> Self {
        let began = Instant::now();
        let mut screen = Screen::new();
        let mut say = |line: &str| screen.say(&format!("{:6.1} s  {line}", began.elapsed().as_secs_f64()));
        say("Two networks without a common address; members east and east2 on one, west on the other.");
        say("Starting three API servers and a control plane, which west and east2 are attached to …");
        let mut three = Three::start("1h", TRAFFIC).await;
        say("Starting ten pods, each in a network namespace with an Envoy: two clients, five of web, three gateways …");
        three.start_pods().await;
        let load = three.load("client-1").await;
        let log = three.mesh.ground.path("client-1").join("access.log");
        let board = Arc::new(Mutex::new(Board::new(load, &log, began, screen)));
        let drawn = Arc::clone(&board);
        let drawing = tokio::spawn(async move {
            loop {
                {
                    let mut board = lock(&drawn);
                    board.look();
                    board.draw();
                }
                sleep(REDRAW).await;
            }
        });
        Self {
            drawing,
            board,
            three,
            scene: 0,
            before: Counts::default(),
            broken: Vec::new(),
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    fn begin(&mut self, title: &str) {
        self.scene += 1;
        let scene = self.scene;
        let mut board = self.board();
        board.forget();
        board.say("");
        board.say(&format!("{scene}. {title}"));
        let before = board.counts;
        drop(board);
        self.before = before;
    }

    fn say(&self, line: &str) {
        self.board().say(&format!("   {line}"));
    }

    fn promise(&mut self, kept: bool, words: &str) {
        if !kept {
            self.say(&format!("BROKEN: {words}"));
            self.broken.push(format!("scene {}: {words}", self.scene));
        }
    }

    /// Waits until just these pods answer, and go on to, as the requests that are sent anyway tell.
    async fn answered_by(&mut self, pods: &[&str]) {
        let since = Instant::now();
        self.board().forget();
        let expected: BTreeSet<&str> = pods.iter().copied().collect();
        let mut right_since = None;
        let look = async || {
            let board = self.board();
            let now = board.now();
            if !now.keys().copied().eq(expected.iter().copied()) {
                right_since = None;
                return Err(format!("{:?}", now.keys()));
            }
            let right_since = *right_since.get_or_insert_with(Instant::now);
            match right_since.elapsed() > NOW {
                true => Ok(right_since),
                false => Err("it is right for less than a second".to_owned()),
            }
        };
        let seen = eventually("the right pods to answer", DEADLINE, look).await;
        let words = format!("just {} answer", pods.join(", "));
        match seen {
            Ok(at) => self.say(&format!(
                "{words}: after {:.1} s",
                at.duration_since(since).as_secs_f64()
            )),
            Err(late) => self.promise(false, &format!("{words}; {late:#}")),
        }
    }

    /// Looks on for a while, and at what failed since the scene began.
    async fn end(&mut self, posts: Posts) {
        sleep(LOOK).await;
        let mut board = self.board();
        board.look();
        let counts = board.counts;
        board.print();
        drop(board);
        let failed = counts.failed - self.before.failed;
        let posts_failed = counts.posts_failed - self.before.posts_failed;
        self.promise(failed == 0, &format!("{failed} GET failed"));
        let allowed = match posts {
            Posts::AllAnswered => 0,
            Posts::UnderWayMayFail => POSTING,
        };
        self.promise(posts_failed <= allowed, &format!("{posts_failed} POST failed"));
        let requests = counts.requests - self.before.requests;
        self.say(&format!(
            "{requests} requests, failed: {failed} GET, {posts_failed} POST"
        ));
    }

    /// Which ways each pod was reached within the last second: by the names of gateways, or directly.
    fn ways(&self) -> BTreeMap<String, BTreeSet<&'static str>> {
        let board = self.board();
        let now = board.now();
        now.into_iter()
            .map(|(pod, ways)| {
                let ways = ways.into_iter().map(|way| gateway_at(way).unwrap_or("direct"));
                (pod.to_owned(), ways.collect())
            })
            .collect()
    }

    /// Near ones are reached directly, far ones only by these gateways.
    fn promise_ways(&mut self, gateways: &[&str]) {
        for (pod, ways) in self.ways() {
            let near = NEAR.contains(&pod.as_str());
            let right = ways.iter().all(|way| match near {
                true => *way == "direct",
                false => gateways.contains(way),
            });
            self.promise(right, &format!("{pod} is reached by {ways:?}"));
        }
    }

    async fn calls(&mut self) {
        self.begin("client-1 in east asks `web`, which has pods in all three members.");
        self.answered_by(&WEB).await;
        sleep(LOOK).await;
        self.promise_ways(&["eastwest-2", "eastwest-3"]);
        self.end(Posts::AllAnswered).await;
    }

    async fn scale_up(&mut self) {
        self.begin("west gets one more pod of web.");
        self.board().more.push(LATE);
        self.three.mesh.start_pod(LATE).await;
        self.answered_by(&with_late()).await;
        self.end(Posts::AllAnswered).await;
    }

    async fn gateway_killed(&mut self) {
        self.begin("eastwest-2, one of west's two gateways, is killed. Its pod is reported not ready 2 s later.");
        self.three.mesh.kill_envoy("eastwest-2");
        sleep(Duration::from_secs(2)).await;
        self.three.mesh.report("eastwest-2", false).await;
        self.answered_by(&with_late()).await;
        sleep(LOOK).await;
        self.promise_ways(&["eastwest-3"]);
        self.end(Posts::UnderWayMayFail).await;
        self.say("It comes back.");
        self.three.mesh.restart_envoy("eastwest-2").await;
    }

    async fn region_lost(&mut self) {
        self.begin("All of west is lost at once: pods, gateways, API server. Nobody tells the control plane.");
        let lost = ["eastwest-2", "eastwest-3", "web-4", "web-5", "web-6", "client-2"];
        for pod in lost {
            self.three.mesh.kill_envoy(pod);
        }
        self.three.api_server("west").kill_apiserver();
        self.answered_by(&NEAR).await;
        self.end(Posts::UnderWayMayFail).await;
        self.tell_members();
        self.begin("west is back.");
        self.three
            .api_server("west")
            .restart_apiserver()
            .await
            .expect("it starts again");
        for pod in lost {
            self.three.mesh.restart_envoy(pod).await;
        }
        self.answered_by(&with_late()).await;
        self.end(Posts::AllAnswered).await;
    }

    async fn api_server_gone(&mut self) {
        self.begin("The API server of east2 is killed.");
        self.three.api_server("east2").kill_apiserver();
        self.answered_by(&with_late()).await;
        self.end(Posts::AllAnswered).await;
        self.tell_members();
        self.say("It comes back.");
        self.three
            .api_server("east2")
            .restart_apiserver()
            .await
            .expect("it starts again");
    }

    async fn control_plane_restarted(&mut self) {
        self.begin("The control plane is killed. Meanwhile web-6 becomes unready, which Envoys can't learn.");
        self.three.mesh.kill_control_plane("east");
        self.three.mesh.report("web-6", false).await;
        self.answered_by(&with_late()).await;
        self.say("It is started again.");
        self.three.mesh.restart_control_plane("east").await;
        self.answered_by(&WEB).await;
        self.end(Posts::AllAnswered).await;
    }

    /// What `parallax members list` says.
    fn tell_members(&self) {
        for line in self.three.mesh.parallax_at("east", &["members", "list"]).lines() {
            self.say(line);
        }
    }

    /// The last words; whether everything was kept that was promised.
    pub(crate) fn sum_up(&mut self) -> bool {
        let broken = std::mem::take(&mut self.broken);
        let mut board = self.board();
        board.look();
        let Counts {
            requests,
            failed,
            posts_failed,
        } = board.counts;
        board.say("");
        board.say(&format!(
            "Done: {requests} requests; {failed} GET failed, and {posts_failed} POST, which were under way when a gateway or a region died."
        ));
        for promise in &broken {
            board.say(&format!("BROKEN: {promise}"));
        }
        broken.is_empty()
    }

    /// Commands to look around with.
    fn hints(&self) -> Vec<String> {
        let control_plane = self.three.mesh.control_planes["east"].space.name();
        let client = self.three.mesh.pods["client-1"].space.name();
        let parallax = format!("ip netns exec {control_plane} {}", parallax().display());
        let server = "--server 127.0.0.1:15080";
        vec![
            format!("{parallax} explain web.shop:80 --as client-1.shop {server}"),
            format!("{parallax} get members {server}"),
            format!("{parallax} watch {server}"),
            format!("ip netns exec {client} curl -s http://web.shop:80 --connect-to ::10.99.0.1:80"),
            format!(
                "ip netns exec {client} curl -s localhost:15000/clusters        (each pod has its Envoy's admin port)"
            ),
            format!(
                "tail -f {}",
                self.three.mesh.ground.path("client-1").join("access.log").display()
            ),
            format!(
                "kubectl --kubeconfig {} --context west -n shop get pods",
                self.three.people.display()
            ),
        ]
    }

    /// What a person may type beside it.
    pub(crate) fn say_how_to_look_around(&self) {
        let mut board = self.board();
        board.say("");
        board.say("Everything stays up, requests go on. Look around:");
        for line in self.hints() {
            board.say(&format!("  {line}"));
        }
        board.say("Ctrl-C ends it.");
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.drawing.abort();
    }
}

fn with_late() -> Vec<&'static str> {
    WEB.into_iter().chain([LATE.name]).collect()
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    // Whoever panicked with it was going to end everything.
    board.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
