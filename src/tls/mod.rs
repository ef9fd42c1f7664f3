//! The crypto provider and server TLS settings from given certificates.
