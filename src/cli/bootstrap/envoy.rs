//! Envoy's bootstrap, as a tree of values. Only what the oldest Envoy that we know of understands.

use std::net::IpAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::{BootstrapArgs, XdsServer};

/// The cluster of the control plane.
const XDS: &str = "xds";
/// The cluster of Envoy's own admin interface.
const ADMIN: &str = "admin";
/// Secrets that are files; each has a file of this name that says where.
const TOKEN: &str = "xds-token";
const CERTIFICATE: &str = "xds-certificate";
const ROOTS: &str = "xds-roots";

/// What kind of proxy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Beside a workload.
    Sidecar,
    /// A gateway.
    Router,
}

/// A bootstrap.
pub(super) struct Bootstrap<'a> {
    pub(super) role: Role,
    pub(super) args: &'a BootstrapArgs,
    /// The folder of the files of secrets, as Envoy sees it; where there is none, files are named in the bootstrap itself and
    /// read once.
    pub(super) files_at: Option<&'a Path>,
}

impl Bootstrap<'_> {
    /// The whole of it.
    pub(super) fn value(&self) -> Value {
        let ads = json!({ "resource_api_version": "V3", "ads": {}, "initial_fetch_timeout": "0s" });
        // Much below Envoy's own: it waits up to 30 s, and a new pod would be without endpoints for as long.
        let retry = json!({ "retry_back_off": { "base_interval": "0.5s", "max_interval": "5s" } });
        let mut clusters = vec![self.control_plane()];
        let mut listeners = Vec::new();
        if self.args.stats_port != 0 {
            clusters.push(self.admin_cluster());
            listeners.push(self.stats());
        }
        json!({
            "node": self.node(),
            "admin": { "address": socket("127.0.0.1", self.args.admin_port) },
            "dynamic_resources": {
                "ads_config": {
                    "api_type": "DELTA_GRPC",
                    "transport_api_version": "V3",
                    "set_node_on_first_message_only": true,
                    "grpc_services": [{ "envoy_grpc": { "cluster_name": XDS, "retry_policy": retry } }],
                },
                "cds_config": ads,
                "lds_config": ads,
            },
            "static_resources": { "clusters": clusters, "listeners": listeners },
        })
    }

    /// The files that say where secrets are, by name.
    pub(super) fn secrets(&self) -> Vec<(&'static str, Value)> {
        let secret = |name: &str, key: &str, content: Value| {
            let mut secret = json!({
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                "name": name,
            });
            secret[key] = content;
            json!({ "resources": [secret] })
        };
        let mut secrets = Vec::new();
        if let Some(token) = &self.args.token {
            let content = json!({ "secret": file(token) });
            secrets.push((TOKEN, secret(TOKEN, "generic_secret", content)));
        }
        if let Some(pair) = self.pair() {
            secrets.push((CERTIFICATE, secret(CERTIFICATE, "tls_certificate", pair)));
        }
        if let Some(roots) = self.roots() {
            secrets.push((ROOTS, secret(ROOTS, "validation_context", roots)));
        }
        secrets
    }

    fn node(&self) -> Value {
        let BootstrapArgs {
            pod,
            member,
            service_account,
            network,
            ip,
            region,
            zone,
            subzone,
            domain,
            ..
        } = self.args;
        let role = match self.role {
            Role::Sidecar => "sidecar",
            Role::Router => "router",
        };
        let (namespace, name) = (&pod.namespace, &pod.name);
        let mut metadata = Map::new();
        metadata.insert("NAMESPACE".to_owned(), json!(namespace));
        metadata.insert("CLUSTER_ID".to_owned(), json!(member.as_str()));
        if let Some(account) = service_account {
            metadata.insert("SERVICE_ACCOUNT".to_owned(), json!(account));
        }
        if let Some(network) = network {
            metadata.insert("NETWORK".to_owned(), json!(network.as_str()));
        }
        let mut node = json!({
            "id": format!("{role}~{ip}~{name}.{namespace}~{namespace}.svc.{domain}"),
            "cluster": format!("{name}.{namespace}"),
            "metadata": metadata,
        });
        let place = [("region", region), ("zone", zone), ("sub_zone", subzone)];
        let place = place
            .into_iter()
            .filter_map(|(part, name)| Some((part.to_owned(), json!(name.as_ref()?))));
        let place: Map<String, Value> = place.collect();
        if !place.is_empty() {
            node["locality"] = place.into();
        }
        node
    }

    fn control_plane(&self) -> Value {
        let (kind, address) = match &self.args.xds {
            XdsServer::Unix(path) => ("STATIC", json!({ "pipe": { "path": path } })),
            XdsServer::Tcp { host, port } => match host.parse::<IpAddr>() {
                Ok(_) => ("STATIC", socket(host, *port)),
                Err(_) => ("STRICT_DNS", socket(host, *port)),
            },
        };
        let mut cluster = json!({
            "name": XDS,
            "type": kind,
            "connect_timeout": "5s",
            "load_assignment": assignment(XDS, &address),
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": self.protocol(),
            },
        });
        if kind == "STRICT_DNS" {
            // By itself Envoy asks for IPv6 first, and is content with that where nobody listens.
            cluster["dns_lookup_family"] = json!("ALL");
        }
        if let Some(tls) = self.tls() {
            cluster["transport_socket"] = json!({ "name": "envoy.transport_sockets.tls", "typed_config": tls });
        }
        cluster
    }

    fn protocol(&self) -> Value {
        let mut protocol = json!({
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            // A control plane that is gone without a word is noticed, and so is a dead NAT entry.
            "explicit_http_config": { "http2_protocol_options": {
                "connection_keepalive": { "interval": "30s", "timeout": "10s" },
            } },
        });
        if self.args.token.is_some() {
            // Envoy's own gRPC client has no token that changes, but a filter on its way out does.
            let generic = json!({
                "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                "header": "authorization",
                "header_value_prefix": "Bearer ",
                "credential": self.watched(TOKEN, self.args.token.as_deref()),
            });
            let injector = json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                "overwrite": true,
                "credential": { "name": "envoy.http.injected_credentials.generic", "typed_config": generic },
            });
            let codec = json!({
                "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
            });
            protocol["http_filters"] = json!([
                { "name": "envoy.filters.http.credential_injector", "typed_config": injector },
                { "name": "envoy.filters.http.upstream_codec", "typed_config": codec },
            ]);
        }
        protocol
    }

    fn tls(&self) -> Option<Value> {
        let roots = self.roots()?;
        let name = match (&self.args.xds_name, &self.args.xds) {
            (Some(name), _) => name.clone(),
            (None, XdsServer::Tcp { host, .. }) => host.clone(),
            // A Unix socket is never encrypted.
            (None, XdsServer::Unix(_)) => return None,
        };
        let kind = if name.starts_with("spiffe://") {
            "URI"
        } else if name.parse::<IpAddr>().is_ok() {
            "IP_ADDRESS"
        } else {
            "DNS"
        };
        let names = json!([{ "san_type": kind, "matcher": { "exact": name } }]);
        let mut common = json!({
            "alpn_protocols": ["h2"],
            // Left to itself, an Envoy that connects offers no 1.3.
            "tls_params": { "tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3" },
        });
        if self.files_at.is_some() {
            common["combined_validation_context"] = json!({
                "default_validation_context": { "match_typed_subject_alt_names": names },
                "validation_context_sds_secret_config": self.watched(ROOTS, self.args.ca.as_deref()),
            });
        } else {
            let mut context = roots;
            context["match_typed_subject_alt_names"] = names;
            common["validation_context"] = context;
        }
        if let Some(pair) = self.pair() {
            if self.files_at.is_some() {
                let watched = self.watched(CERTIFICATE, self.args.certificate.as_deref());
                common["tls_certificate_sds_secret_configs"] = json!([watched]);
            } else {
                common["tls_certificates"] = json!([pair]);
            }
        }
        let mut tls = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": common,
        });
        if kind == "DNS" {
            tls["sni"] = json!(name);
        }
        Some(tls)
    }

    /// A secret whose file is read again when something moves into the folder of what it names: the kubelet changes mounted
    /// files by a rename there.
    fn watched(&self, name: &str, named: Option<&Path>) -> Value {
        let folder = self.files_at.unwrap_or(Path::new(""));
        let mut source = json!({ "path": folder.join(format!("{name}.json")) });
        if let Some(parent) = named
            .and_then(Path::parent)
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            source["watched_directory"] = json!({ "path": parent });
        }
        json!({
            "name": name,
            "sds_config": { "resource_api_version": "V3", "path_config_source": source },
        })
    }

    fn pair(&self) -> Option<Value> {
        let (certificate, key) = (self.args.certificate.as_ref()?, self.args.key.as_ref()?);
        Some(json!({ "certificate_chain": file(certificate), "private_key": file(key) }))
    }

    fn roots(&self) -> Option<Value> {
        let roots = self.args.ca.as_ref()?;
        Some(json!({ "trusted_ca": file(roots) }))
    }

    fn admin_cluster(&self) -> Value {
        json!({
            "name": ADMIN,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": assignment(ADMIN, &socket("127.0.0.1", self.args.admin_port)),
        })
    }

    /// The metrics and nothing else of the admin interface, for whoever collects them.
    fn stats(&self) -> Value {
        let route = json!({ "match": { "path": "/stats/prometheus" }, "route": { "cluster": ADMIN } });
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "stats",
            "route_config": { "virtual_hosts": [{ "name": "stats", "domains": ["*"], "routes": [route] }] },
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
            }],
        });
        let filter = json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager });
        json!({
            "name": "stats",
            "address": socket("0.0.0.0", self.args.stats_port),
            "filter_chains": [{ "filters": [filter] }],
        })
    }
}

fn socket(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

fn assignment(cluster: &str, address: &Value) -> Value {
    json!({
        "cluster_name": cluster,
        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
    })
}

fn file(path: &Path) -> Value {
    json!({ "filename": path })
}
