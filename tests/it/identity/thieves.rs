//! A stolen node id is of no use: whoever shows a certificate or a token gets what is proven by it, and otherwise nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::control_plane::ControlPlane;
use super::super::manifests::{Members, Pod};
use super::super::raw::{CDS, RawConnection, first, framed};
use super::proxies::{Authority, parallax, text};

const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;

/// Both kinds of proxies that carry traffic.
pub(super) const ROLES: [&str; 2] = ["sidecar", "router"];

/// Someone who asks a control plane, with a certificate from a folder or none, with a token or none.
pub(super) struct Asker<'a> {
    pub(super) xds: SocketAddr,
    /// Who vouches for the server.
    pub(super) ca: &'a Path,
    pub(super) certificate: Option<&'a Path>,
    pub(super) token: Option<&'a str>,
}

impl Asker<'_> {
    /// What becomes of a stream with this node: `None` where it is answered, else the status that it ends with.
    pub(super) async fn asks(&self, id: &str, metadata: &[(&str, &str)]) -> Option<i32> {
        let certificates = |file: &Path| -> Vec<CertificateDer<'static>> {
            let read = CertificateDer::pem_file_iter(file).expect("a file of certificates");
            read.map(|each| each.expect("a certificate")).collect()
        };
        let mut roots = RootCertStore::empty();
        for root in certificates(self.ca) {
            roots.add(root).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().expect("versions of TLS");
        let config = config.with_root_certificates(roots);
        let mut config = match self.certificate {
            Some(folder) => {
                let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).expect("a key");
                let chain = certificates(&folder.join("tls.crt"));
                config.with_client_auth_cert(chain, key).expect("a pair")
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(self.xds).await.expect("it listens");
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await;
        let connection = RawConnection::over(tls.expect("a handshake"), 1 << 20).await;
        let mut stream = connection.stream_with(self.token).await.expect("a stream");
        let mut request = first(id, CDS, []);
        let text = |value: &str| Value {
            kind: Some(Kind::StringValue(value.to_owned())),
        };
        let fields = metadata.iter().map(|(key, value)| ((*key).to_owned(), text(value)));
        request.node = Some(Node {
            id: id.to_owned(),
            metadata: Some(Struct {
                fields: HashMap::from_iter(fields),
            }),
            ..Node::default()
        });
        stream.send(framed(&request)).await.expect("it is taken");
        match stream.answer().await.expect("an answer or an end") {
            Some(_) => None,
            None => Some(stream.end().await.expect("an end").expect("a status")),
        }
    }
}

/// A certificate, the id of a node, and what its metadata say.
type Theft<'a> = (&'a Path, String, &'a [(&'a str, &'a str)]);

/// An authority of its own, as other tools make them: nothing in it tells of members. Its root is trusted beside that of `authority`.
fn stranger(authority: &Authority, folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "of another tool");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = params.self_signed(&key).expect("a certificate").pem();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("it is written");
    write("tls.crt", &root);
    write("ca.crt", &root);
    write("tls.key", &key.serialize_pem());
    let bundle = authority.root().join("west/root-cert.pem");
    let both = std::fs::read_to_string(&bundle).expect("roots") + &root;
    std::fs::write(bundle, both).expect("it is written");
}

#[tokio::test]
async fn whoever_shows_a_certificate_is_nobody_else() {
    let authority = Authority::new();
    authority.issue("web", &[]);
    let folder = tempfile::tempdir().expect("a folder");
    stranger(&authority, folder.path());
    let foreign = folder.path().join("web");
    parallax(&[
        "ca",
        "issue",
        "--from",
        text(folder.path()),
        "--namespace",
        "shop",
        "--service-account",
        "web",
        "--out",
        text(&foreign),
    ]);
    let members = Members::new();
    for (member, network) in [("west", "net1"), ("east", "net2")] {
        members.place(member, network);
        members.web(member, &[Pod::new("a", "10.1.0.1")]);
    }
    let settings = format!(
        "membersFolder: {}\ntraffic:\n  enabled: true\n{}",
        members.path().display(),
        authority.settings("1h", "any")
    );
    let mut control_plane = ControlPlane::on_settings(&settings);
    control_plane.ready().await;
    let (ca, own) = (authority.issued("parallax").join("ca.crt"), authority.issued("web"));
    let asker = |certificate| Asker {
        xds: control_plane.xds,
        ca: &ca,
        certificate,
        token: None,
    };
    let mut denied = 0;
    for role in ROLES {
        let id = |pod: &str| format!("{role}~10.1.0.1~{pod}~shop.svc.cluster.local");
        let mine = id("west-a.shop");
        let honest = [
            ("CLUSTER_ID", "west"),
            ("SERVICE_ACCOUNT", "web"),
            ("NAMESPACE", "shop"),
        ];
        for certificate in [&own, &foreign] {
            assert_eq!(asker(Some(certificate)).asks(&mine, &honest).await, None, "{role}");
        }
        assert_eq!(asker(None).asks(&mine, &honest).await, Some(UNAUTHENTICATED), "{role}");
        let theft: [Theft<'_>; 7] = [
            (&own, id("west-a.bank"), &[("CLUSTER_ID", "west")]),
            (&own, mine.clone(), &[("CLUSTER_ID", "west"), ("NAMESPACE", "bank")]),
            (
                &own,
                mine.clone(),
                &[("CLUSTER_ID", "west"), ("SERVICE_ACCOUNT", "admin")],
            ),
            (&own, mine.clone(), &[("CLUSTER_ID", "east")]),
            (&own, mine.clone(), &[("CLUSTER_ID", "west"), ("NETWORK", "net2")]),
            // Nothing proves a member here, but what is known of it still counts.
            (&foreign, mine.clone(), &[("CLUSTER_ID", "nowhere")]),
            (&foreign, mine.clone(), &[("CLUSTER_ID", "west"), ("NETWORK", "net2")]),
        ];
        for (certificate, id, metadata) in theft {
            let end = asker(Some(certificate)).asks(&id, metadata).await;
            assert_eq!(end, Some(PERMISSION_DENIED), "{id} {metadata:?}");
            denied += 1;
        }
    }
    // Nothing was done for them: no view was made, and nobody is listed.
    let refused = control_plane.metric_where("parallax_identity_refusals_total", "reason=\"claims_another\"");
    assert_eq!(refused.await.round() as i32, denied);
}
