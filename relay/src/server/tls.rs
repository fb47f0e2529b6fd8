//! The relay's certificate: read from files, and read again when they change.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, bail};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::modified::Modified;
use crate::config::TlsFiles;

/// What connections are made private with.
pub(super) struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    read: Modified,
}

impl Tls {
    pub(super) fn open(files: TlsFiles) -> Result<Self> {
        let read = Modified::of(files.paths());
        let current = RwLock::new(Arc::new(read_files(&files)?));
        Ok(Self { files, current, read })
    }

    /// For one connection. Those that are open keep what they began with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Reads the files again, if they have changed or `must` be. What can't be used changes nothing.
    pub(super) fn look_again(&self, must: bool) {
        if !self.read.has_changed() && !must {
            return;
        }
        match read_files(&self.files) {
            Ok(fresh) => {
                tracing::info!("the certificate has been read again");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the certificate stays as it was");
            }
        }
    }
}

/// Whether the files hold a certificate and its key.
pub(super) fn check(files: &TlsFiles) -> Result<()> {
    read_files(files).map(|_| ())
}

fn read_files(files: &TlsFiles) -> Result<ServerConfig> {
    let named = |path: &PathBuf| path.display().to_string();
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect);
    let chain = chain.with_context(|| format!("{} is not a certificate (PEM)", named(&files.certificate)))?;
    if chain.is_empty() {
        bail!("{} has no certificate (PEM) in it", named(&files.certificate));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("{} is not a private key (PEM)", named(&files.key)))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("{} and {} are no pair", named(&files.certificate), named(&files.key)))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
