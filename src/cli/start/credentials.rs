//! What the API asks of clients, in the line of the log that says where it listens.

/// What the API asks of clients.
pub(super) fn asked(settings: &crate::config::Settings, http: &crate::http::Settings) -> String {
    let certificates = http.tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    let shows = if certificates { ", clients must show a certificate" } else { "" };
    match (&settings.access, &http.admin) {
        (Some(rules), Some(admin)) => {
            format!(
                "{shows}; access is controlled, default {:?}, {} for the local administrator",
                rules.default.as_str(),
                admin.display()
            )
        }
        _ if certificates => shows.to_owned(),
        _ => " (there are no credentials)".to_owned(),
    }
}
