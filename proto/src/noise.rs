//! Sealing of control connections. (being written)
