//! What is being served: resources per live view, and who wants which of them.
