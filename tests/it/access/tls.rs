//! TLS, certificates of clients, and those that have expired.

use std::path::PathBuf;
use std::sync::Arc;

use orrery::gateway::access::Access;
use orrery::gateway::tls::{Tls, TlsError, TlsFiles};
use orrery::gateway::{Door, LIMITS};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::served::{Served, T0};
use crate::support::Orrery;

/// An issuer and what it signs, in a folder of its own.
struct Issuer {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Issuer {
    fn new() -> Issuer {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an issuer");
        let made = Issuer { issuer, folder };
        std::fs::write(made.path("ca"), made.issuer.pem()).expect("written");
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    /// A certificate that ends in a year, and its key.
    fn sign(&self, name: &str, ends: i32) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("parameters");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(ends, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let (at, key_at) = (self.path(name), self.path(&format!("{name}-key")));
        std::fs::write(&at, certificate.pem()).expect("written");
        std::fs::write(&key_at, key.serialize_pem()).expect("written");
        (at, key_at)
    }

    fn files(&self, ends: i32, asks_clients: bool) -> TlsFiles {
        let (certificate, key) = self.sign("server", ends);
        TlsFiles { certificate, key, client_ca: asks_clients.then(|| self.path("ca")) }
    }

    fn serve(&self, asks_clients: bool) -> Served {
        let tls = Tls::load(&self.files(2090, asks_clients), T0 / 1_000_000).expect("TLS");
        let access = Access { tls: true, ..Access::default() };
        Served::behind(Door { limits: LIMITS, access, tls: Some(tls) })
    }

    /// What a client of this issuer hears, with a certificate or without.
    fn talk(&self, served: &Served, with: Option<(PathBuf, PathBuf)>) -> std::io::Result<String> {
        use tokio_rustls::rustls::pki_types::pem::PemObject as _;
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match with {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain =
                    vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                config.with_client_auth_cert(chain, key).expect("they fit")
            }
        };
        served.runtime.block_on(async {
            let socket = tokio::net::TcpStream::connect(served.address).await?;
            let name = ServerName::try_from("localhost").expect("a name");
            let connector = TlsConnector::from(Arc::new(config));
            let mut stream = connector.connect(name, socket).await?;
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok(text)
        })
    }
}

#[test]
fn a_listener_speaks_tls_and_nothing_else() {
    let issuer = Issuer::new();
    let served = issuer.serve(false);
    let said = issuer.talk(&served, None).expect("an answer");
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("ok\n"), "{said}");
    let stranger = Issuer::new();
    let refused = stranger.talk(&served, None).expect_err("not the client's issuer");
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    let plain = served.agent().get(format!("http://{}/healthz", served.address)).call();
    assert!(plain.is_err(), "{plain:?}");
    let said = issuer.talk(&served, None).expect("others go on");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[test]
fn only_clients_with_a_certificate_of_ours_that_has_not_expired_come_in() {
    let issuer = Issuer::new();
    let served = issuer.serve(true);
    let good = issuer.talk(&served, Some(issuer.sign("good", 2090))).expect("an answer");
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    let none = issuer.talk(&served, None).expect_err("no certificate");
    assert!(none.to_string().contains("ertificateRequired"), "{none}");
    let expired = issuer.talk(&served, Some(issuer.sign("old", 2021))).expect_err("expired");
    assert!(expired.to_string().contains("ertificateExpired"), "{expired}");
    let stranger = Issuer::new();
    let other = stranger.sign("other", 2090);
    assert!(issuer.talk(&served, Some(other)).is_err(), "of another issuer");
}

#[test]
fn a_servers_own_certificate_is_looked_at_before_anybody_calls() {
    let issuer = Issuer::new();
    let now_ms = T0 / 1_000_000;
    let refused = |files: &TlsFiles| match Tls::load(files, now_ms) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error,
    };
    let old = issuer.files(2024, false);
    let told = refused(&old);
    assert!(matches!(told, TlsError::Expired { .. }), "{told}");
    assert!(told.to_string().contains("has expired"), "{told}");
    let good = issuer.files(2090, false);
    let (_, other_key) = issuer.sign("other", 2090);
    let swapped = TlsFiles { key: other_key, ..good.clone() };
    assert!(matches!(refused(&swapped), TlsError::Unusable(_)));
    let missing = TlsFiles { key: issuer.path("nothing"), ..good.clone() };
    assert!(matches!(refused(&missing), TlsError::File { what: "private key", .. }));
    let no_pem = TlsFiles { certificate: good.key.clone(), ..good };
    assert!(matches!(refused(&no_pem), TlsError::File { what: "certificate", .. }));
    // The same from the command line, before anything is journaled.
    let orrery = Orrery::new();
    let (cert, key) = issuer.sign("server", 2024);
    let [cert, key] = [&cert, &key].map(|p| p.to_str().expect("UTF-8"));
    let args = ["serve", "--feed", "simulate", "--listen", "127.0.0.1:0", "--tls-cert", cert];
    let ended = orrery.run(&[&args[..], &["--tls-key", key]].concat()).expect(2);
    assert!(
        ended.stderr.contains("has expired") && ended.stderr.contains(cert),
        "{}",
        ended.stderr
    );
    let alone = orrery.run(&args).expect(2);
    assert!(alone.stderr.contains("--tls-key"), "{}", alone.stderr);
}

#[test]
fn an_expired_client_is_logged_once_however_often_it_comes() {
    let issuer = Issuer::new();
    let orrery = Orrery::new();
    let log = orrery.file("log", "");
    let files = issuer.files(2090, true);
    let mut command = orrery.command(&["serve", "--feed", "simulate", "--listen", "127.0.0.1:0"]);
    command.arg("--tls-cert").arg(&files.certificate).arg("--tls-key").arg(&files.key);
    command.arg("--tls-client-ca").arg(issuer.path("ca"));
    command.stderr(std::fs::File::options().append(true).open(&log).expect("a file"));
    let live = crate::live::Live::of(command);
    assert!(live.url.starts_with("https://"), "{}", live.url);
    let mut served = Served::start();
    served.address = live.url.trim_start_matches("https://").parse().expect("an address");
    let expired = issuer.sign("old", 2021);
    for _ in 0..3 {
        issuer.talk(&served, Some(expired.clone())).expect_err("expired");
    }
    issuer.talk(&served, Some(issuer.sign("good", 2090))).expect("an answer");
    assert_eq!(live.terminate(), 0);
    let log = std::fs::read_to_string(log).expect("a log");
    assert_eq!(log.matches("certificate has expired").count(), 1, "{log}");
}

#[test]
fn the_command_line_shows_its_token_and_believes_whom_it_is_told_to() {
    let (issuer, orrery) = (Issuer::new(), Orrery::new());
    let files = issuer.files(2090, false);
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let tokens = orrery.file("tokens", "ann read ann-0123456789abcdefgh\n");
    let mut command = orrery.command(&["serve", "--feed", "simulate", "--listen", "127.0.0.1:0"]);
    command.arg("--tls-cert").arg(&files.certificate).arg("--tls-key").arg(&files.key);
    let live = crate::live::Live::of({
        command.arg("--tokens").arg(&tokens);
        command
    });
    let address = live.url.replace("127.0.0.1", "localhost");
    let (ca, token) = (text(&issuer.path("ca")), orrery.file("token", "ann-0123456789abcdefgh\n"));
    let ask =
        |what: &[&str], with: &[&str]| orrery.run(&[what, &["--connect", &address], with].concat());
    let token = text(&token);
    let (with_ca, with_both) = (["--tls-ca", &ca], ["--tls-ca", &ca, "--token-file", &token]);
    let stat = ask(&["journal", "stat", "--json"], &with_both).expect(0);
    let stat = stat.json();
    assert!(stat["head_seq"].as_u64().or(stat["head"]["seq"].as_u64()).is_some(), "{stat:#}");
    for (what, with, why) in [
        (&["journal", "stat"][..], &with_ca[..], "Not authenticated"),
        (&["compact"][..], &with_both[..], "lacks the scope control"),
        (&["journal", "stat"][..], &[][..], "--tls-ca"),
    ] {
        let refused = ask(what, with);
        assert_ne!(refused.code, 0, "{what:?}");
        assert!(refused.stderr.contains(why), "{what:?}: {}", refused.stderr);
        assert!(!refused.stderr.contains("ann-0123"), "{}", refused.stderr);
    }
    assert_eq!(live.terminate(), 0);
}
