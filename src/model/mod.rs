//! What the mesh is made of: ids, endpoints, services, gateways, and the key of a view. Pure.
