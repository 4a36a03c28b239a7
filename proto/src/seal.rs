//! Sealing of datagrams. (being written)
