//! Each rule taken away, to see what it held.
