//! The words of the page.

pub(super) const INTRODUCTION: &str = "\
# Performance

Written by `cargo bench --bench mesh -- report`; the figures are in [results.csv](performance/results.csv), every single
repetition in [raw.csv](performance/raw.csv). Machine: {machine}.

How it is measured: the release binary runs as a process of its own and watches API servers that the rig serves (TLS, HTTP/2), with
the objects of a generated mesh (sizes S, M, L and XL). A swarm of proxies speaks ADS as Envoys do: a TCP connection each, CDS
first, then EDS for what came, a node of 58 kB, an ACK at once; it checks the protocol while it runs and that all proxies of one
view hold the same in the end. CPU and memory are of the server's process alone, from `/proc`. Times are from the moment an API
server told a change. Swarm, API servers and server share the cores of the machine.

**The floor** is a bare server of the same HTTP/2 and TLS stack, without any logic, that sends the same bytes to as many streams
in the same run, turn by turn with ours. Machines are noisy and differ: the multiple of the floor is what counts. Figures are
medians with the least and the most of all repetitions; what has no extremes was measured once.

istiod was measured once on a machine of this kind (two cores; master of late 2026, plaintext delta ADS, default settings and
tuned with a debounce of 10 ms and lifted limits), on a mesh of similar size with three real API servers. It sends more than
Parallax does (metadata of each endpoint, listeners), so its bytes and times are not those of equal work.

";

/// Benchmark, title, and what it does.
pub(super) const BENCHMARKS: [(&str, &str, &str); 18] = [
    (
        "B1",
        "B1: one endpoint changes",
        "A pod is replaced and another one becomes ready or not, so that the weights of every viewer change. All proxies watch all\nservices.",
    ),
    (
        "B2",
        "B2: changes at a steady rate",
        "Each change is of another service of another member. A proxy watches 50 services. Staleness is how old a change is when a\nproxy of the same network gets it.",
    ),
    (
        "B4",
        "B4: CPU of a push",
        "One service, in as many networks as there are views; all of its members change at once.",
    ),
    (
        "B5",
        "B5: memory of endpoints",
        "Without proxies. Members are API servers, read at the start; or API servers and folders that come and go.",
    ),
    (
        "slices",
        "Slices by the ten thousand",
        "10,000 EndpointSlices of 10 endpoints each, in one member.",
    ),
    (
        "B6",
        "B6: memory of proxies",
        "All on one network. The push of a megabyte is one service that grows to 30,000 endpoints and shrinks again.",
    ),
    (
        "B7",
        "B7: kill -9, and everybody comes back",
        "The server is started again at once with the same members. Proxies reconnect as Envoys do, after 0 to 0.5 s at first and up\nto 30 s later, and say which versions they hold.",
    ),
    (
        "cold",
        "Everybody at once, to a server that has encoded nothing",
        "All proxies connect in the same moment and watch all services.",
    ),
    (
        "dead",
        "A start with a dead member",
        "50 members, of which none or one is not there: it refuses connections, or never answers. Here the column of the floor is the\nsame start with all of them.",
    ),
    (
        "B8",
        "B8: cold start",
        "From the start of the process until `/readyz` says so. The floor is a bare client that reads the same lists, all at once; where\none is dead, the column is the same start with all of them.",
    ),
    (
        "B9",
        "B9: bytes for one changed endpoint",
        "To one proxy, with everything above HTTP/2. When a remote weight moves, a viewer with local endpoints gets those again,\nsince an assignment is one resource.",
    ),
    (
        "B10",
        "B10: dead proxies",
        "Their connections stay open and nobody reads. Here the column of the floor is the same run without dead ones.",
    ),
    (
        "B12",
        "B12: everything is listed again",
        "The API server of one member says that the version is too old.",
    ),
    (
        "B13",
        "B13: changes that change nothing",
        "Annotations of EndpointSlices and Pods.",
    ),
    (
        "B14",
        "B14: a gateway's address changes",
        "All proxies watch all services.",
    ),
    (
        "B15",
        "B15: a member joins and leaves",
        "An API server: it joins and leaves by the settings, and what counts is the time after the end of its last list; the floor sends\nthe same bytes to as many. A folder of manifests: a reader waits until files rest, so the time from the first proxy to the last is what pushing takes.\nWith changes beside, what counts is when proxies of other networks (one in five looks) see the member's gateway in all of its services.",
    ),
    (
        "B16",
        "B16: the pure parts",
        "In one thread of the rig, without any I/O: the view, the resource, its version and its bytes. Shapes are those of Istio's\n`EndpointGeneration`.",
    ),
    (
        "size",
        "The largest sizes",
        "L for minutes under the load of B2; XL loads.",
    ),
];

/// Written by hand: what a profile shows about each goal that was missed on the machine of the first run.
pub(super) const MISSED: &str = "
## Where goals are missed, and why

- **B2, CPU.** Of 62,500 changes a second that concern a proxy, 36,000 resources are sent: the rest merges while an ACK is
  awaited. A push with its ACK costs 27 µs, of which the floor has 18; so two thirds of the CPU are HTTP/2 and the kernel. Sending
  less often (a pause after each step) would buy CPU with staleness, of which there is plenty; it was not done.
- **B4, 10 views.** With one view a push of 10 kB is 1.3 × the floor. The rest is the ten changes themselves, which the floor has
  not: each is a slice of 100 endpoints, 31 kB of JSON. In a profile of the server a tenth of all time is reading that JSON, a
  fifteenth merging it, another looking at it from all ten views, of which only one sees a difference; half is HTTP/2 and the
  kernel. What the changes cost is shared by 1,000 proxies here, and would be by more.
- **B5.** An endpoint is a slice entry (32 bytes), an entry of the table (64), and the name of its pod (64), which the pod
  shares; a service with one slice has another 700 bytes, a fifth of them the free room of hash maps. What pods of a Node have in
  common is kept once, and readers keep hashes of names. That made 2.5 MB per 1,000 endpoints 0.55; of it some 0.4 are endpoints,
  and the rest is what each member has for itself: connections, watches, tasks. Slices went from 35.5 to 23.3 MB by rows in place
  of trees with one leaf, vectors without spare room, addresses in the room of IPv4, and names of pods in one allocation, made where
  they are read: made later, they saved nothing, for the names that they replaced left holes.
  Tried and not taken: an arena for each CPU (`percpu_arena:percpu`) saves 3 %.
- **What a member left behind.** The first that joins and leaves costs 18 MB once, nearly all of it in two mappings of jemalloc; later
  ones leave less than 3 %. Idle pages are given back within ten seconds: a run that looks earlier sees some of them.
- **B6.** The floor alone, with the same HTTP/2 and TLS, is 57 to 60 MB. What is ours is mostly what each session remembers of
  each resource, two for a service: name, version sent, version taken. What helped: no buffer of the first message (143 to 72 MB
  plaintext), names shared with the clusters, maps packed after they grew, 24 bytes for what is known of a resource instead of 56,
  one task for a connection and its streams without an HTTP server in between. A heap profile has per proxy: 32 kB of buffers of
  HTTP/2 for reading and writing, 4 for its header tables, 4 of TLS, some 8 for sessions and subscriptions, 10 for all else.
- **B8, requests.** Five kinds are watched, and a watch is a request; one tells which of the kinds there are that a member may lack,
  and once all is served two more ask which cluster it is and of what version. Less would be to watch less: Nodes, for instance, tell
  regions and NodePorts.
- **B9, elsewhere.** The goal is below what the protocol allows for names of this length. A delta answer has to have the type URL
  twice (142 bytes), the name twice (124), two versions, a nonce, the name of the control plane, and an address with its locality
  (60). Versions have 22 letters; of the 414 bytes that there were with 32, 310 would be left
  with one letter for each version and for that name, and of the 325 of state of the world, which has the name once, 252.
- **B15, M, 1,000 proxies.** 600,000 resources go out, 300 clusters to each proxy, then, once it has asked for
  them, their 300 assignments; the floor sends the same bytes in one go and keeps no session. That costs the server 0.8 s of CPU, 1.3
  µs for each resource, on two cores of which the proxies take their part.
- **B14, M, bytes.** A viewer with local endpoints is sent these again, for an assignment is one resource. Weights of 1 are left
  out, which made it 329 to 302 MB. An endpoint has 25 bytes then, and that is the least: four messages within each other, an
  address as text and a port. Of the CPU time 43 % are the kernel's, half of it in sending; 19 % put answers together out of parts
  that are encoded once, 15 % go through what each session knows of its 240 resources, and 6 % read the change and build the views.
";

pub(super) const END: &str = r#"
## Measure another server

Any ADS server that reads Kubernetes can be driven on the same meshes, the floor beside it. For each mesh it is started anew by a
command, which finds a kubeconfig for each member in the folder `$STATE` and must listen at `$TARGET`; here another parallax:

    cat > other.sh <<'END'
    { echo "listen: $TARGET"
      echo "admin: {listen: '127.0.0.1:17011'}"
      echo "members:"
      for file in "$STATE"/*.kubeconfig; do
        echo "  - {name: $(basename "$file" .kubeconfig), kubeconfig: $file}"
      done
    } > "$STATE/other.yaml"
    exec parallax serve --config "$STATE/other.yaml"
    END
    cargo bench --bench mesh -- B1 --target 127.0.0.1:17010 --start 'exec sh other.sh' --ready 127.0.0.1:17011/readyz --results /tmp/other

Names of clusters are Istio's. What needs members that come and go (a part of B5, B15) or our metrics (`in the push task`, `encodes`)
has no figures. Without `--ready` nothing tells when the server has read
everything: proxies that it refuses come back later and later, up to 30 s, as Envoys do, and that is in the figures of B7, `cold` and `dead`.

## What is not measured here

Parallax sends no metadata of endpoints and few listeners, so bytes are less than those of a mesh that needs them. B3 (rolling
deployments) and B11 (make before break under churn, which takes real Envoys) are tests, not benchmarks. Latency between
machines is none here: everything is on one.
"#;
