//! Looking in from outside: debug gRPC, CSDS, health, reflection, and the HTTP endpoints.
