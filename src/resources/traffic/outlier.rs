//! How an Envoy takes endpoints out that fail, by what it sees itself.
//!
//! An endpoint may be a gateway that stands for many pods. One bad pod among them makes a part of all connections fail, never all
//! of them, while of a dead gateway, as of a dead pod, everything fails. So what counts is how much failed, and not that some did.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, OutlierDetection, cluster::CommonLbConfig};
use envoy_types::pb::envoy::r#type::v3::Percent;

use super::filters::{duration, uint};
use super::settings::Outlier;

/// The longest that an endpoint stays away, however often it failed; Envoy's default.
const LONGEST: Duration = Duration::from_secs(300);
/// Below this many percent of healthy endpoints an Envoy takes all of them for healthy, where no other priority is: only where
/// nothing is left at all, since something that failed may be back, and nothing at all surely fails.
const PANIC: f64 = 1.0;

/// Has a cluster take out what fails.
pub(super) fn detect(cluster: &mut Cluster, outlier: &Outlier) {
    let enforced = |limit: u32| uint(if limit == 0 { 0 } else { 100 });
    cluster.outlier_detection = Some(OutlierDetection {
        interval: Some(duration(outlier.interval)),
        base_ejection_time: Some(duration(outlier.ejection)),
        max_ejection_time: Some(duration(LONGEST.max(outlier.ejection))),
        // Otherwise of two none may go.
        max_ejection_percent: uint(100),
        // A connection that can't be made is told apart from an answer: each must be bad enough by itself.
        split_external_local_origin_errors: true,
        failure_percentage_threshold: uint(outlier.failure_percentage),
        enforcing_failure_percentage: enforced(outlier.failure_percentage),
        enforcing_failure_percentage_local_origin: enforced(outlier.failure_percentage),
        failure_percentage_minimum_hosts: uint(1),
        failure_percentage_request_volume: uint(outlier.minimum_requests),
        consecutive_5xx: uint(outlier.consecutive.max(1)),
        enforcing_consecutive_5xx: enforced(outlier.consecutive),
        consecutive_local_origin_failure: uint(outlier.consecutive.max(1)),
        enforcing_consecutive_local_origin_failure: enforced(outlier.consecutive),
        // Those that compare endpoints with each other can't tell a gateway from a pod.
        enforcing_success_rate: uint(0),
        enforcing_local_origin_success_rate: uint(0),
        enforcing_consecutive_gateway_failure: uint(0),
        ..OutlierDetection::default()
    });
    cluster.common_lb_config = Some(CommonLbConfig {
        healthy_panic_threshold: Some(Percent { value: PANIC }),
        ..CommonLbConfig::default()
    });
}
