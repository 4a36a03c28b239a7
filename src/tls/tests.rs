//! Handshakes between both sides, with certificates made here.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::*;

/// A certificate that vouches for itself, as `openssl req -x509` makes it.
struct Own {
    names: &'static [&'static str],
    usages: Vec<KeyUsagePurpose>,
    purposes: Vec<ExtendedKeyUsagePurpose>,
    years: (i32, i32),
}

impl Default for Own {
    fn default() -> Self {
        Self { names: &["localhost"], usages: Vec::new(), purposes: Vec::new(), years: (2000, 4000) }
    }
}

impl Own {
    /// Writes `<name>.pem` and `<name>.key`.
    fn write(self, dir: &Path, name: &str) {
        let names: Vec<String> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "own");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = self.usages;
        params.extended_key_usages = self.purposes;
        params.not_before = rcgen::date_time_ymd(self.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(self.years.1, 1, 1);
        let own = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), own.pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), own.key().serialize_pem()).unwrap();
    }
}

/// What a client and a server say to each other: the client's error, or nothing.
fn meet(dir: &Path, client: &Client, server: &str, clients: Option<&str>) -> Result<(), std::io::Error> {
    let chain = certificates("cert", &dir.join(format!("{server}.pem"))).unwrap();
    let key = private_key(&dir.join(format!("{server}.key"))).unwrap();
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        Some(file) => builder
            .with_client_cert_verifier(Authorities::File(dir.join(format!("{file}.pem"))).client_verifier().unwrap()),
        None => builder.with_no_client_auth(),
    };
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
        let mut byte = [0];
        if stream.read_exact(&mut byte).is_ok() {
            drop(stream.write_all(&byte));
        }
        // What is wrong is still to be told.
        drop(stream.flush());
    });
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(client.config().unwrap()), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address).unwrap());
    let outcome = stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0]));
    drop(stream);
    serving.join().unwrap();
    outcome
}

fn trusting(dir: &Path, authority: &str) -> Client {
    Client { authorities: Some(Authorities::File(dir.join(format!("{authority}.pem")))), ..Client::default() }
}

fn showing(dir: &Path, client: Client, identity: &str) -> Client {
    let file = |end: &str| dir.join(format!("{identity}.{end}"));
    Client { identity: Some((file("pem"), file("key"))), ..client }
}

#[test]
fn a_certificate_that_is_trusted_by_itself_may_be_an_authority() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    Own::default().write(dir, "server");
    Own::default().write(dir, "client");
    Own::default().write(dir, "stranger");
    meet(dir, &trusting(dir, "server"), "server", None).unwrap();
    let directory = Client { authorities: Some(Authorities::Directory(dir.to_owned())), ..Client::default() };
    std::fs::remove_file(dir.join("stranger.pem")).unwrap();
    meet(dir, &directory, "server", None).unwrap();
    meet(dir, &showing(dir, trusting(dir, "server"), "client"), "server", Some("client")).unwrap();

    // The same name and another key.
    Own::default().write(dir, "stranger");
    let error = meet(dir, &trusting(dir, "stranger"), "server", None).unwrap_err();
    assert_eq!(trouble(&error, false), Some(Trouble::Stranger), "{error}");
    assert_eq!(causes(&error), "certificate signed by unknown authority");
    let client = showing(dir, trusting(dir, "server"), "stranger");
    let error = meet(dir, &client, "server", Some("client")).unwrap_err();
    assert_eq!(trouble(&error, true), Some(Trouble::Refused), "{error}");
    meet(dir, &Client { verify: false, ..Client::default() }, "server", None).unwrap();
}

#[test]
fn its_name_its_times_and_its_use_are_checked_all_the_same() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let refused = |own: Own, words: &str| {
        own.write(dir, "server");
        let error = meet(dir, &trusting(dir, "server"), "server", None).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
    };
    refused(Own { names: &["elsewhere.example"], ..Own::default() }, "not valid for name \"localhost\"");
    refused(Own { years: (2000, 2001), ..Own::default() }, "Expired");
    refused(Own { years: (3000, 3001), ..Own::default() }, "NotValidYet");
    refused(Own { usages: vec![KeyUsagePurpose::KeyCertSign], ..Own::default() }, "InvalidPurpose");
    refused(Own { purposes: vec![ExtendedKeyUsagePurpose::ClientAuth], ..Own::default() }, "InvalidPurpose");
    let both = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let purposes = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Own { usages: both, purposes, ..Own::default() }.write(dir, "server");
    meet(dir, &trusting(dir, "server"), "server", None).unwrap();

    // A client's the same way.
    Own { purposes: vec![ExtendedKeyUsagePurpose::ServerAuth], ..Own::default() }.write(dir, "client");
    let client = showing(dir, trusting(dir, "server"), "client");
    assert!(meet(dir, &client, "server", Some("client")).is_err());
    Own { purposes: vec![ExtendedKeyUsagePurpose::ClientAuth], ..Own::default() }.write(dir, "client");
    meet(dir, &client, "server", Some("client")).unwrap();
}

#[test]
fn a_server_that_hung_up_is_asked_why() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    Own::default().write(dir, "server");
    Own::default().write(dir, "client");
    let chain = certificates("cert", &dir.join("server.pem")).unwrap();
    let key = private_key(&dir.join("server.key")).unwrap();
    let verifier = Authorities::File(dir.join("client.pem")).client_verifier().unwrap();
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
            drop(stream.read(&mut [0]));
        }
    });
    let probe = |client: &Client, shown| Probe::new("127.0.0.1", port, "localhost", shown, &client.config().unwrap());
    let nobody = trusting(dir, "server");
    assert_eq!(probe(&nobody, false).reason(), Some(Trouble::Unknown));
    assert!(Probe::for_anybody("localhost", port).unwrap().speaks_tls());

    // One that speaks plain HTTP.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            drop(socket.read(&mut [0; 16]));
            drop(socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    assert!(!Probe::for_anybody("localhost", port).unwrap().speaks_tls());
    let probe = Probe::new("127.0.0.1", port, "localhost", false, &nobody.config().unwrap());
    assert_eq!(probe.reason(), Some(Trouble::OnlyWe));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("empty.pem"), "no certificate\n").unwrap();
    let error = trusting(dir, "none").config().unwrap_err().to_string();
    assert!(error.starts_with("`ca_cert` ") && error.contains("none.pem: No such file"), "{error}");
    let error = trusting(dir, "empty").config().unwrap_err().to_string();
    assert!(error.contains("there is no certificate in PEM form in it"), "{error}");
    let directory = Client { authorities: Some(Authorities::Directory(dir.to_owned())), ..Client::default() };
    assert!(directory.config().unwrap_err().to_string().starts_with("`ca_path` "));
    let error = showing(dir, Client::default(), "none").config().unwrap_err().to_string();
    assert!(error.starts_with("`cert` "), "{error}");
}

#[test]
fn the_names_of_a_certificate_are_read_in_their_order() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "ops");
    params.subject_alt_names = vec![
        rcgen::SanType::DnsName("ops.example".try_into().unwrap()),
        rcgen::SanType::URI("spiffe://edge/ops".try_into().unwrap()),
        rcgen::SanType::IpAddress("10.0.0.1".parse().unwrap()),
        rcgen::SanType::DnsName("ops".try_into().unwrap()),
    ];
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(super::names(certificate.der()), ["ops", "ops.example", "spiffe://edge/ops", "10.0.0.1"]);
    assert!(super::names(b"no certificate").is_empty());
}
