//! The rules of xDS for servers, in short, and how far Parallax keeps each.

use Verdict::{Kept, NotOurs};

/// How a rule is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    /// Tests hold us to it.
    Kept,
    /// It is about something that we do not do.
    NotOurs(&'static str),
}

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) number: u32,
    pub(crate) says: &'static str,
    pub(crate) verdict: Verdict,
}

const fn rule(number: u32, verdict: Verdict, says: &'static str) -> Rule {
    Rule { number, says, verdict }
}

/// The heading that begins with this rule.
pub(crate) fn section(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "Streams and who is at their other end",
        13 => "Nonces, ACKs, NACKs and versions",
        33 => "Subscriptions",
        52 => "What an answer holds",
        67 => "Delta clients that reconnect",
        72 => "Order and warming",
        86 => "Flow control, transport, status codes",
        103 => "Optional features",
        111 => "What clients check in a resource",
        _ => return None,
    })
}

pub(crate) const RULES: &[Rule] = &[
    rule(
        1,
        Kept,
        "Both ADS methods are served; the method that is called decides the dialect",
    ),
    rule(
        2,
        Kept,
        "An aggregated request without `type_url` ends the stream with INVALID_ARGUMENT",
    ),
    rule(
        3,
        Kept,
        "A type that is not known here does not end the stream, nor leave its client waiting",
    ),
    rule(
        4,
        Kept,
        "The node comes with the first message of the stream only, whatever type that is about",
    ),
    rule(
        5,
        Kept,
        "A first message without a node or its id is refused; another node later changes nothing and is counted",
    ),
    rule(6, Kept, "Of a node only what is used is kept"),
    rule(
        7,
        Kept,
        "Nothing is sent that only clients with a certain feature can read",
    ),
    rule(
        8,
        Kept,
        "Every answer names the control plane: constant in a process, different in each",
    ),
    rule(
        9,
        Kept,
        "Clients are authenticated, and bound to their identity, before anything costly",
    ),
    rule(10, Kept, "Changes are listened for before the first answer is built"),
    rule(
        11,
        Kept,
        "Streams are refused until every member is read or its deadline has passed",
    ),
    rule(12, Kept, "A client that closes its side gets OK"),
    rule(13, Kept, "Every answer has a nonce of its own in its stream"),
    rule(14, Kept, "A nonce of another stream means nothing"),
    rule(
        15,
        Kept,
        "An ACK is the nonce of the answer in flight without an error; the version it names is not looked at",
    ),
    rule(16, Kept, "A NACK is an error, even an empty one"),
    rule(17, Kept, "What was refused is not sent again until it changes"),
    rule(18, Kept, "A NACK changes subscriptions like any request"),
    rule(19, Kept, "A client may have kept a part of what it refused"),
    rule(20, Kept, "A NACK of what was never sent is harmless"),
    rule(21, Kept, "Of the reason of a NACK 1 KiB is kept, and shown"),
    rule(
        22,
        Kept,
        "SotW: a stale nonce settles nothing, but the names beside it count",
    ),
    rule(
        23,
        Kept,
        "Delta: a stale nonce settles nothing, but the changes beside it count",
    ),
    rule(24, Kept, "An ACK may change subscriptions too; both count"),
    rule(25, Kept, "A spontaneous request is no ACK"),
    rule(26, Kept, "A burst of requests gets one answer"),
    rule(27, Kept, "Without a change and without a new name there is no answer"),
    rule(
        28,
        Kept,
        "SotW: the version is of one type, and moves with its content only",
    ),
    rule(
        29,
        Kept,
        "Versions are of content: equal on every replica and after a restart",
    ),
    rule(30, Kept, "Delta: each resource has its own version"),
    rule(31, Kept, "Delta: the version of the whole answer is set, for people"),
    rule(32, Kept, "SotW: a client that reconnects is answered in full"),
    rule(33, Kept, "What exists of the names asked for is sent, and nothing else"),
    rule(34, Kept, "`*` is everything, for types that have it"),
    rule(35, Kept, "A first list without names is `*`, for types that have it"),
    rule(36, Kept, "For other types it is nothing"),
    rule(
        37,
        Kept,
        "Once a name was asked for, an empty list is nothing, for the rest of the stream",
    ),
    rule(38, Kept, "SotW: `*` with names, then the names alone, keeps just those"),
    rule(
        39,
        Kept,
        "Delta: an unsaid `*` stays when a name is added, until `*` is given back",
    ),
    rule(
        40,
        Kept,
        "Delta: `*` added and given back in one message is nothing, and ends the unsaid `*`",
    ),
    rule(
        41,
        Kept,
        "Delta: a first request with versions and without names is still `*`",
    ),
    rule(42, Kept, "Delta: a name asked for again is sent again"),
    rule(
        43,
        Kept,
        "SotW: a name that was dropped and is asked for again is sent again",
    ),
    rule(44, Kept, "Giving back what was never asked for is nothing"),
    rule(45, Kept, "Giving back names gets no answer"),
    rule(
        46,
        Kept,
        "Delta: except for a name given back under `*`, of which the client must hear whether `*` covers it",
    ),
    rule(
        47,
        Kept,
        "A name that does not exist is remembered, and sent when it does",
    ),
    rule(48, Kept, "A removal that is acknowledged ends no subscription"),
    rule(49, Kept, "Names are a set; their order means nothing"),
    rule(50, Kept, "Names of newer forms (`xdstp:`, globs) are names like others"),
    rule(51, Kept, "Locators with parameters are passed over"),
    rule(52, Kept, "SotW: clusters are always the full set"),
    rule(53, Kept, "SotW: of assignments only what changed or is newly asked for"),
    rule(54, Kept, "A name is in an answer once, there or removed"),
    rule(55, Kept, "All resources of an answer are of its type"),
    rule(56, Kept, "Delta: removed is what the client may hold, or asked for"),
    rule(
        57,
        Kept,
        "Delta: of an absent name it is said at once that it is absent",
    ),
    rule(58, Kept, "What was not built anew is not removed"),
    rule(59, Kept, "A removal survives a full update in the same moment"),
    rule(
        60,
        Kept,
        "Endpoints are withdrawn by an empty assignment, since Envoys keep those of one that is removed",
    ),
    rule(
        61,
        Kept,
        "A service without endpoints is an empty assignment, not silence",
    ),
    rule(62, Kept, "A service that is gone is told by CDS alone"),
    rule(63, Kept, "A first `*` is answered even when there is nothing"),
    rule(
        64,
        NotOurs("there is no ECDS, and a secret is replaced, never removed"),
        "Children of other types are never removed while a parent may use them",
    ),
    rule(65, Kept, "Delta: large answers are split"),
    rule(66, Kept, "Requests beyond 4 MiB are read"),
    rule(
        67,
        Kept,
        "What a client says to hold counts in its first request of a type only",
    ),
    rule(68, Kept, "It is sent what differs, and told what is gone"),
    rule(69, Kept, "Names are not remembered from one stream to the next"),
    rule(
        70,
        Kept,
        "A name that is asked for and held in the same version is skipped, unless its cluster was sent anew",
    ),
    rule(71, Kept, "Types may come in any order"),
    rule(
        72,
        Kept,
        "What is new goes from clusters to routes, what goes the other way",
    ),
    rule(73, Kept, "A change of both kinds goes in two steps, each acknowledged"),
    rule(
        74,
        Kept,
        "Assignments never wait for the ACK of their clusters; routes do",
    ),
    rule(75, Kept, "A changed cluster gets its assignment again, changed or not"),
    rule(
        76,
        Kept,
        "Delta: without being asked; SotW: the request that looks like a second ACK changes nothing about it",
    ),
    rule(77, Kept, "And no other assignment is sent for it"),
    rule(
        78,
        Kept,
        "So too for a cluster that differs from what a reconnecting client says to hold",
    ),
    rule(
        79,
        Kept,
        "Each cluster has an assignment of its own, so that no client asks for one on behalf of two",
    ),
    rule(80, Kept, "A new route name is answered at once, for its listener warms"),
    rule(81, Kept, "A route names only clusters that are acknowledged"),
    rule(82, Kept, "A change of endpoints touches nothing but assignments"),
    rule(83, Kept, "Clusters are not sent for changes that change nothing"),
    rule(84, Kept, "Of several types that changed, the order of sending is fixed"),
    rule(85, Kept, "What is no longer wanted is not sent"),
    rule(
        86,
        Kept,
        "One answer of a type is in flight; changes gather meanwhile, as names",
    ),
    rule(
        87,
        Kept,
        "A client that never acknowledges is ended, not before minutes",
    ),
    rule(88, Kept, "A slow client costs names, not bytes"),
    rule(89, Kept, "Requests go first, but can't keep answers back"),
    rule(90, Kept, "A client that does not read holds up no other"),
    rule(
        91,
        Kept,
        "Initial answers are admitted by bytes in flight, in the order of asking",
    ),
    rule(92, Kept, "A stream ends at its age, more or less, and can come back"),
    rule(93, Kept, "A client that answers no ping is let go"),
    rule(94, Kept, "Many streams may share a connection"),
    rule(
        95,
        Kept,
        "A drain ends streams over some time, and sends nothing on the way out",
    ),
    rule(96, Kept, "A source that is lost takes nothing away"),
    rule(
        97,
        Kept,
        "Status codes are few, and none can be taken for an application's",
    ),
    rule(98, Kept, "What goes wrong on one stream ends that one only"),
    rule(99, Kept, "A stream leaves nothing behind, however it ends"),
    rule(100, Kept, "Changes can't be lost by a stream that is slow"),
    rule(101, Kept, "TLS, with certificates of clients or without"),
    rule(102, Kept, "Answers are not packed"),
    rule(
        103,
        NotOurs("no resource has a lifetime"),
        "A lifetime is given only to clients that know it, and renewed without content",
    ),
    rule(
        104,
        NotOurs(
            "no client that is tried here reads them: Envoy's API marks the field as not implemented, gRPC for Go 1.84 passes \
             over it. Absence is told at once without them: in delta by removal; in SotW by the full set of clusters and \
             listeners, by an empty assignment, and routes are there with the listener that names them",
        ),
        "Errors of single resources are told as such",
    ),
    rule(
        105,
        Kept,
        "The state of each client and resource can be asked for (CSDS)",
    ),
    rule(
        106,
        Kept,
        "Load reports are UNIMPLEMENTED, and no cluster asks for them",
    ),
    rule(
        107,
        Kept,
        "Clusters on demand: names only, the absent ones told at once",
    ),
    rule(
        108,
        NotOurs("there are no virtual hosts on demand"),
        "Virtual hosts on demand",
    ),
    rule(
        109,
        NotOurs("each stream would hold a name and a version per endpoint, where one per service does"),
        "Single endpoints as resources (LEDS)",
    ),
    rule(110, Kept, "Secrets of sidecars come over the same stream"),
    rule(111, Kept, "An assignment has the name of its cluster"),
    rule(
        112,
        Kept,
        "No gap in priorities, no locality or address twice, every locality with a weight, all in 32 bits",
    ),
    rule(
        113,
        Kept,
        "An address or port that clients refuse costs that endpoint only",
    ),
    rule(114, Kept, "Equal content is equal bytes, in whatever order it came"),
    rule(115, Kept, "No weight is 0"),
    rule(116, Kept, "Every change of readiness is told, also from ready to gone"),
    rule(117, Kept, "An endpoint takes at most 40 bytes"),
];
