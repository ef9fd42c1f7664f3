//! Where changes of the table become resources in the cache.
