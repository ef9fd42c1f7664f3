//! Readiness as guards, and drain with a deadline.
