//! What the lists of a home cluster mean, without one.

use kube::api::DynamicObject;

use super::*;
use crate::registry::testing::Recorder;

fn attached(known: &[&str]) -> Attached {
    let (listed, _) = oneshot::channel();
    let place = AttachedMembers {
        source: MemberSource::InCluster,
        namespace: "istio-system".to_owned(),
        options: MemberOptions::default(),
        allowed: Allowed::default(),
        known: known.iter().map(|name| ClusterId::new(name).unwrap()).collect(),
        listed,
    };
    Attached::new(
        place,
        Arc::new(Recorder::default()),
        Members::default(),
        CancellationToken::new(),
    )
}

impl Attached {
    async fn says_none(&mut self, groups: Groups) {
        self.hear(Heard::NoMembers(groups)).await;
    }
}

fn untold() -> Groups {
    Groups::Untold("no route".to_owned())
}

async fn rest(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn objects_stay_until_the_groups_lack_ours_twice_and_far_apart() {
    let mut attached = attached(&[]);
    let object = DynamicObject::new("west", &member_resource()).within("istio-system");
    attached.hear(Heard::Members(Ok(watcher::Event::Apply(object)))).await;
    assert_eq!(attached.objects.held.len(), 1);
    for groups in [Groups::WithOurs, untold(), Groups::WithoutOurs] {
        attached.says_none(groups).await;
        rest(44).await;
    }
    attached.says_none(Groups::WithoutOurs).await;
    assert_eq!(attached.objects.held.len(), 1, "44 s apart");
    assert!(!attached.state.listed.members);
    let problems = attached.members.problems();
    assert!(problems[0].to_string().contains("not believed at once"), "{problems:?}");

    // Whatever else is said begins anew; that a list begins is no word of the server.
    attached.says_none(untold()).await;
    rest(60).await;
    attached.says_none(Groups::WithoutOurs).await;
    rest(44).await;
    attached.hear(Heard::Members(Ok(watcher::Event::Init))).await;
    rest(1).await;
    attached.says_none(Groups::WithoutOurs).await;
    assert!(attached.objects.held.is_empty() && attached.state.listed.members);
    assert_eq!(attached.members.problems(), []);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_kind_is_believed_soon_where_nothing_is_at_stake() {
    for (known, seconds) in [(&[][..], 5), (&["west"][..], 45)] {
        let mut attached = attached(known);
        attached.says_none(Groups::WithoutOurs).await;
        rest(seconds - 1).await;
        attached.hear(Heard::Members(Ok(watcher::Event::Init))).await;
        attached.says_none(Groups::WithoutOurs).await;
        assert!(!attached.state.listed.members, "{known:?}");
        rest(1).await;
        attached.says_none(Groups::WithoutOurs).await;
        assert!(attached.state.listed.members, "{known:?}");
    }
}
