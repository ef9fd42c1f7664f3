//! What becomes of a member once its kubeconfig was tried.

use tokio::time::Instant;

use super::super::super::{Problem, Reason, Verdict};
use super::super::trial::{Outcome, Rest, Trial, verdict};
use super::super::wanted::Wanted;
use super::{Running, valid};

impl Running {
    /// Acts on what became of a trial. Whoever took over from a member that is gone by now is dropped, which ends it.
    pub(super) async fn settle(&mut self, trial: Trial, outcome: Outcome) {
        let Trial {
            name,
            wanted,
            source,
            reader: number,
            backoff,
            ..
        } = trial;
        let Some(reader) = self.readers.get_mut(&name).filter(|reader| reader.number == number) else {
            return;
        };
        reader.trial = None;
        reader.tried = Some(Instant::now());
        let in_use = reader.wanted.kubeconfig == wanted.kubeconfig;
        let latest = self.wanted.get(&name).cloned();
        let is_latest = latest
            .as_ref()
            .is_some_and(|latest| latest.kubeconfig == wanted.kubeconfig);
        let superseded = matches!(outcome, Outcome::Superseded);
        let refused = match outcome {
            Outcome::TookOver(new) => {
                tracing::info!(member = %name, source = %wanted.subject(), "going on with the new kubeconfig");
                self.members.moved(&name, &source);
                reader.number = new.number;
                reader.voice = new.voice;
                reader.cluster = Some(new.cluster);
                reader.wanted = Wanted {
                    kubeconfig: wanted.kubeconfig.clone(),
                    ..latest.clone().unwrap_or(wanted)
                };
                reader.doubted = None;
                reader.credentials = valid();
                reader.cancel = new.cancel;
                let old = std::mem::replace(&mut reader.task, new.task);
                let _ = old.await;
                self.problems.remove(&name);
                None
            }
            Outcome::Superseded => None,
            Outcome::Works(cluster) => {
                reader.cluster.get_or_insert(cluster);
                if is_latest {
                    reader.credentials = valid();
                }
                None
            }
            // The reader tells by itself how it fares.
            Outcome::Failed(failure) if in_use && is_latest => {
                reader.credentials = verdict(&failure);
                self.attempt(&name, Rest::First, Some(backoff));
                return;
            }
            Outcome::Failed(failure) => Some((
                Reason::RotationFailed,
                format!("its new kubeconfig does not work: {failure}"),
            )),
            Outcome::OtherCluster => Some((
                Reason::OtherCluster,
                "its new kubeconfig leads to another cluster: the UID of the namespace kube-system is not the same"
                    .to_owned(),
            )),
            Outcome::Doubtful(sizes) => {
                reader.doubted = Some(sizes);
                let why = "its new kubeconfig lists less than half of what is known; a second list is awaited";
                Some((Reason::ListsDiffer, why.to_owned()))
            }
        };
        let Some(latest) = latest else { return };
        if !is_latest || superseded {
            self.begin(&name, latest, Rest::No, None);
            return;
        }
        let Some((reason, why)) = refused else { return };
        let subject = format!("Secret {}", latest.secret);
        let remedy = "put a kubeconfig there that leads to the same cluster, or give another cluster a name of its own";
        reader.credentials = Verdict::no(reason, format!("{why}; the one before stays in use; {remedy}"));
        let problem = Problem::new(
            subject,
            format!("member {name}: {why}; the one before stays in use"),
            remedy,
        );
        self.problems.insert(name.clone(), problem);
        self.begin(&name, latest, Rest::First, Some(backoff));
    }
}
