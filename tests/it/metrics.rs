//! What a Prometheus sees of the running binary.

use super::control_plane::ControlPlane;
use super::manifests::{Members, Pod};

#[tokio::test]
async fn each_name_has_its_prefix_once() {
    let members = Members::new();
    members.place("east", "net1");
    members.web("east", &[Pod::new("a", "10.1.0.1")]);
    let mut control_plane = ControlPlane::on_members(members.path()).await;
    let text = control_plane.answers("/metrics", 200).await;
    let names: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for expected in ["parallax_registry_objects{", "parallax_xds_", "parallax_build_info{"] {
        assert!(names.iter().any(|name| name.starts_with(expected)), "{text}");
    }
    for name in names {
        let rest = name.strip_prefix("parallax_").or(name.strip_prefix("process_"));
        assert!(rest.is_some_and(|rest| !rest.starts_with("parallax_")), "{name}");
    }
}
