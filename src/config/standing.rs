//! The settings file while we run: which of its words are in force, and which are not and why.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use super::error::ConfigErrors;
use super::settings::{Config, Listen, MeshConfig, TrafficConfig};

/// A settings file, with what the command line says beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFile {
    /// The file.
    pub path: PathBuf,
    /// `--admin`, which counts more than the file.
    pub admin: Option<Listen>,
}

impl SettingsFile {
    /// Reads the settings.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        Ok(self.beside(Config::load(&self.path)?))
    }

    /// The settings in this text, as if the file held it.
    ///
    /// # Errors
    /// As [`Config::from_yaml`].
    pub fn read(&self, text: &str) -> Result<Config, ConfigErrors> {
        Ok(self.beside(Config::from_yaml(text, &self.path.display().to_string())?))
    }

    fn beside(&self, mut config: Config) -> Config {
        if let Some(admin) = &self.admin {
            config.admin.listen = admin.clone();
        }
        config
    }
}

impl Config {
    /// These settings with the words of `newer` that can take effect while we run.
    #[must_use]
    pub fn with_live_parts_of(&self, newer: &Self) -> Self {
        let mut config = self.clone();
        config.members.clone_from(&newer.members);
        config.networks.clone_from(&newer.networks);
        config.zones.clone_from(&newer.zones);
        config.mesh = MeshConfig {
            default_network: newer.mesh.default_network.clone(),
            export_to: newer.mesh.export_to.clone(),
            cluster_local: newer.mesh.cluster_local.clone(),
            ..config.mesh
        };
        config.traffic = TrafficConfig {
            enabled: self.traffic.enabled,
            ..newer.traffic.clone()
        };
        config
    }

    /// The keys whose values differ, where only a restart can change them.
    #[must_use]
    pub fn differing_until_restart(&self, newer: &Self) -> Vec<&'static str> {
        // Without `..`, so that whoever adds a key has to say here which it is.
        let Self {
            listen,
            admin,
            mesh:
                MeshConfig {
                    default_network: _,
                    export_to: _,
                    cluster_local: _,
                    system_namespace,
                    domain,
                },
            members_folder,
            members: _,
            member_secrets,
            networks: _,
            zones: _,
            dns_servers,
            member_defaults,
            readiness,
            drain,
            store,
            xds,
            tls,
            traffic,
            identity,
            log,
        } = newer;
        let keys = [
            ("listen", self.listen != *listen),
            ("admin", self.admin != *admin),
            ("mesh.systemNamespace", self.mesh.system_namespace != *system_namespace),
            ("mesh.domain", self.mesh.domain != *domain),
            ("membersFolder", self.members_folder != *members_folder),
            ("memberSecrets", self.member_secrets != *member_secrets),
            // Members of the settings have theirs beside themselves; those of Secrets and folders were told at the start.
            ("memberDefaults", self.member_defaults != *member_defaults),
            ("traffic.enabled", self.traffic.enabled != traffic.enabled),
            ("identity", self.identity != *identity),
            ("dns", self.dns_servers != *dns_servers),
            ("readiness", self.readiness != *readiness),
            ("drain", self.drain != *drain),
            ("store", self.store != *store),
            ("xds", self.xds != *xds),
            ("tls", self.tls != *tls),
            ("log", self.log != *log),
        ];
        let keys = keys.iter().filter(|(_, differs)| *differs);
        keys.map(|(key, _)| *key).collect()
    }
}

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsReport {
    /// The file; `None` where we were started without one.
    pub file: Option<PathBuf>,
    /// How many different settings were in force since the start, these among them.
    pub generation: u64,
    /// Since when these are.
    pub since: SystemTime,
    /// What keeps the file as it is now from being in force, a mistake each; empty where it is.
    pub refused: Vec<String>,
    /// Keys of the file that differ from what is in force and take effect with a restart.
    pub waiting: Vec<String>,
}

/// Which settings are in force. Clones share it.
#[derive(Clone, Debug)]
pub struct SettingsStanding(Arc<Mutex<SettingsReport>>);

impl SettingsStanding {
    /// The settings of the start are in force.
    #[must_use]
    pub fn new(file: Option<&Path>) -> Self {
        Self(Arc::new(Mutex::new(SettingsReport {
            file: file.map(Path::to_owned),
            generation: 1,
            since: SystemTime::now(),
            refused: Vec::new(),
            waiting: Vec::new(),
        })))
    }

    /// What is in force.
    #[must_use]
    pub fn report(&self) -> SettingsReport {
        self.lock().clone()
    }

    /// The file was changed and can't be taken.
    pub fn refuse(&self, mistakes: Vec<String>) {
        self.lock().refused = mistakes;
    }

    /// The file is in force, but for these keys; `changed`: otherwise than what was before. Returns the generation.
    pub fn accept(&self, changed: bool, waiting: &[&str]) -> u64 {
        let mut report = self.lock();
        report.refused.clear();
        report.waiting = waiting.iter().map(|key| (*key).to_owned()).collect();
        if changed {
            report.generation += 1;
            report.since = SystemTime::now();
        }
        report.generation
    }

    fn lock(&self) -> MutexGuard<'_, SettingsReport> {
        // Each change leaves it whole.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Config {
        Config::from_yaml(text, "f").unwrap()
    }

    #[test]
    fn what_needs_a_restart_is_named_and_the_rest_is_taken() {
        let old = read("members: [{name: a, folder: a}]\nnetworks: {n: {cidrs: [10.0.0.0/8]}}");
        let live = "members: [{name: b, folder: b}]\nnetworks: {m: {weight: 50}}\nzones: {r/z: {weight: 0}}\nmesh: {defaultNetwork: flat, exportTo: ['.'], clusterLocal: []}\ntraffic: {locality: {mode: failover}}\n";
        let new = read(live);
        assert_eq!(old.differing_until_restart(&new), Vec::<&str>::new());
        assert_eq!(old.with_live_parts_of(&new), new);
        let more = read(&format!("{live}log: {{level: debug}}\ndrain: {{deadline: 3s}}\n"));
        assert_eq!(old.differing_until_restart(&more), ["drain", "log"]);
        assert_eq!(old.with_live_parts_of(&more), new);
    }

    #[test]
    fn every_key_of_the_file_is_live_or_named() {
        let old = Config::default();
        for text in [
            "listen: 127.0.0.1:1",
            "admin: {listen: 127.0.0.1:1}",
            "mesh: {domain: a.b}",
            "mesh: {systemNamespace: mesh}",
            "membersFolder: m",
            "memberSecrets: {inCluster: true}",
            "memberDefaults: {budget: {objects: 1}}",
            "dns: {servers: [192.0.2.1]}",
            "readiness: {memberSyncDeadline: 1s}",
            "drain: {deadline: 1s}",
            "store: {path: p}",
            "xds: {maxStreams: 1}",
            "tls: {certificate: c, key: k}",
            "traffic: {enabled: true}",
            "log: {format: json}",
        ] {
            let keys = old.differing_until_restart(&read(text));
            assert_eq!(keys.len(), 1, "{text}: {keys:?}");
            assert!(text.starts_with(keys[0].split('.').next().unwrap()), "{text}: {keys:?}");
        }
    }

    #[test]
    fn a_generation_is_counted_when_something_differs() {
        let standing = SettingsStanding::new(None);
        standing.refuse(vec!["f:1:1: no".to_owned()]);
        assert_eq!((standing.report().generation, standing.report().refused.len()), (1, 1));
        assert_eq!(standing.accept(false, &["log"]), 1);
        assert_eq!(standing.report().waiting, ["log"]);
        assert_eq!(standing.accept(true, &[]), 2);
        assert!(standing.report().refused.is_empty() && standing.report().waiting.is_empty());
    }
}
