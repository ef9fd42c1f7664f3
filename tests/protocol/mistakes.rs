//! Mistakes that xDS servers made in the world; each is a test here.

/// A mistake that some server made.
#[derive(Debug)]
pub(crate) struct Mistake {
    pub(crate) number: u32,
    pub(crate) says: &'static str,
    /// The rules that it broke.
    pub(crate) rules: &'static str,
}

const fn mistake(number: u32, rules: &'static str, says: &'static str) -> Mistake {
    Mistake { number, says, rules }
}

pub(crate) const MISTAKES: &[Mistake] = &[
    mistake(
        1,
        "R76",
        "A request of an Envoy that warms a cluster was taken for a second ACK, and never answered",
    ),
    mistake(2, "R75", "Assignments were not sent again after their cluster changed"),
    mistake(3, "R25", "A spontaneous delta request was taken for an ACK"),
    mistake(4, "R56", "Delta: what was deleted was not removed"),
    mistake(5, "R58", "What was not built anew was removed"),
    mistake(
        6,
        "R68",
        "What was deleted while a client was away stayed with it for ever",
    ),
    mistake(7, "R45", "Giving back names caused answers"),
    mistake(8, "R20", "A NACK for a type that nobody watches crashed the server"),
    mistake(9, "R32", "A reconnect with nothing to hold was not answered"),
    mistake(10, "R99", "Dead connections stayed in a queue, gigabytes of them"),
    mistake(11, "R86", "Full pushes in parallel used up the memory"),
    mistake(
        12,
        "R82",
        "One change took a snapshot of the type, and was encoded once per client",
    ),
    mistake(
        13,
        "R27, R57",
        "A name that does not exist made requests and answers go in circles",
    ),
    mistake(14, "R43", "SotW: names that were asked for again were not sent"),
    mistake(15, "R63", "A first `*` in an empty world was not answered"),
    mistake(16, "R99", "Tasks stayed behind when their stream ended"),
    mistake(17, "R85", "An answer went out about names that were given back"),
    mistake(18, "R47", "Delta: nothing was watched any more after the first answer"),
    mistake(
        19,
        "R100",
        "The server forgot about streams, so that clients had to ask",
    ),
    mistake(20, "R98", "Having nothing to send crashed a stream"),
    mistake(
        21,
        "R17, R24",
        "A NACK was answered at once with the same; an ACK lost its subscriptions",
    ),
    mistake(
        22,
        "R66",
        "A reconnecting client's request was too large for the server, again and again",
    ),
    mistake(
        23,
        "R10",
        "A request was answered from a view that a push was just changing",
    ),
    mistake(24, "R94", "Too few streams were allowed, and proxies were locked out"),
];
