//! The outbound edge: ADS streams, state of the world and delta.
