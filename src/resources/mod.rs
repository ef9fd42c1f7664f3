//! Envoy's resources: built from views, versioned by content, encoded once. Pure.
