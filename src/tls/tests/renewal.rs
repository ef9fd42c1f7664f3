//! Files that change while the server runs.

use super::*;

#[tokio::test(start_paused = true)]
async fn new_certificates_are_taken_up_and_broken_ones_are_not() {
    let setup = Setup::new();
    let tls = setup.tls("server.crt", "server.key", Some("ca.crt")).unwrap();
    let own = tls.clone();
    let metrics = AcceptorMetrics::default();
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let shows = |line: &str| {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.lines().any(|found| found == line)
    };
    let renewal = tokio::spawn(async move { tls.renew(&metrics).await });
    let next = async |last: &Arc<ServerConfig>| {
        let changed = async {
            while Arc::ptr_eq(&own.config(), last) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            own.config()
        };
        tokio::time::timeout(Duration::from_secs(60), changed).await
    };
    let first = own.config();
    let (certificate, key) = setup.authority.issue();
    // The one without the other is no pair.
    setup.write("server.crt", &certificate.pem());
    assert!(next(&first).await.is_err());
    setup.write("server.key", &key.serialize_pem());
    let second = next(&first).await.unwrap();
    assert!(next(&second).await.is_err(), "nothing changed");
    setup.write("ca.crt", "none");
    assert!(next(&second).await.is_err());
    setup.write("ca.crt", &Authority::new("another").certificate.pem());
    let third = next(&second).await.unwrap();

    let dated = |from: time::Duration, until: time::Duration| {
        let now = time::OffsetDateTime::from(std::time::SystemTime::now());
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (now + from, now + until);
        let certificate = params.signed_by(&key, &setup.authority.issuer).unwrap();
        setup.write("server.crt", &certificate.pem());
        setup.write("server.key", &key.serialize_pem());
        params.not_after.unix_timestamp()
    };
    dated(time::Duration::HOUR, time::Duration::DAY);
    assert!(next(&third).await.is_err(), "it is not valid yet");
    assert!(shows("tls_certificate_ending 0"));
    let end = dated(-time::Duration::DAY, time::Duration::HOUR);
    next(&third).await.unwrap();
    assert!(shows("tls_certificate_ending 1"), "its last hour of a day");
    assert!(shows(&format!("tls_certificate_expiry_timestamp_seconds {end}")));
    renewal.abort();
}

#[tokio::test]
async fn who_may_connect_changes_with_the_file_of_authorities() {
    let setup = Setup::new();
    let (incoming, address) = setup.serve(Some("ca.crt"), HandshakeLimits::default());
    let server = greet(incoming);
    let another = Authority::new("another");
    let own = || Some(another.issue());
    assert!(connect(address, &setup.authority, own()).await.is_err());
    setup.write("ca.crt", &another.certificate.pem());
    let taken = async {
        while connect(address, &setup.authority, own()).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), taken).await.unwrap();
    let former = Some(setup.authority.issue());
    assert!(connect(address, &setup.authority, former).await.is_err());
    server.abort();
}
