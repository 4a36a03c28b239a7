//! The block about access.

use std::collections::BTreeMap;

use crate::config::read::{Spanned, raw};

raw! {
    /// `access`
    RawAccess {
        enabled: bool = "enabled",
        default: String = "default",
        open: Vec<Spanned<String>> = "open",
        by_certificate: BTreeMap<String, Spanned<RawByCertificate>> = "by_certificate",
    }
    /// `by_certificate`
    RawByCertificate { role: String = "role", tasks: Vec<Spanned<String>> = "tasks" }
}
