//! Announcements over HTTP.

mod address;
mod sign;

pub use address::Addresses;

use std::fmt;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;

use super::{Delivery, DeliveryError, Transport};
use crate::error::{Error, Result};
use crate::time::Duration;
use address::Guarded;

/// How long a delivery may take as a whole where nothing else is asked for.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Most bytes of an answer's head. Its body is not read at all.
const HEAD_BYTES: usize = 16 << 10;

/// Which URLs a [`WebhookTransport`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schemes {
    /// `https` alone.
    Https,
    /// `http` too: tokens and messages can be read on the way.
    HttpToo,
}

/// Delivers by HTTP: a `POST` of the [body](Delivery::body) to the webhook's URL.
///
/// * Where there is a token, with `Authorization: Bearer`.
/// * Where there is a secret, with the headers of [Standard Webhooks](https://www.standardwebhooks.com): `webhook-id` (the
///   turn's), `webhook-timestamp` and `webhook-signature`. The secret is the text that receivers verify with: `whsec_`
///   and base64, or base64 alone.
/// * Any answer but a 2xx is a failure, so is a redirect, which is not followed, and no answer within the time limit.
/// * Only `https` by default, and only to [public addresses](Addresses::Public). A name is resolved once, and the
///   address that was checked is the one that is connected to. No proxy is used.
///
/// Certificates are checked against the roots of Mozilla's, which are built in, or against [roots of your own](Self::roots).
///
/// ```no_run
/// use parlor::{Engine, WebhookTransport};
///
/// # fn main() -> parlor::Result<()> {
/// let engine = Engine::builder("support.parlor").transport(WebhookTransport::new()).open()?;
/// # engine.close()
/// # }
/// ```
pub struct WebhookTransport {
    schemes: Schemes,
    addresses: Addresses,
    time_limit: Duration,
    roots: RootCerts,
    agent: ureq::Agent,
}

impl WebhookTransport {
    /// One that takes `https` URLs at public addresses, with a time limit of 10 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Schemes::Https, Addresses::Public, TIME_LIMIT, RootCerts::WebPki)
    }

    /// Which URLs it takes.
    #[must_use]
    pub fn schemes(self, schemes: Schemes) -> Self {
        Self::with(schemes, self.addresses, self.time_limit, self.roots)
    }

    /// Which addresses it connects to.
    #[must_use]
    pub fn addresses(self, addresses: Addresses) -> Self {
        Self::with(self.schemes, addresses, self.time_limit, self.roots)
    }

    /// How long a delivery may take as a whole, from looking up the name to the answer.
    #[must_use]
    pub fn time_limit(self, time_limit: Duration) -> Self {
        Self::with(self.schemes, self.addresses, time_limit, self.roots)
    }

    /// The roots that certificates are checked against, as PEM, in place of those that are built in: for receivers whose
    /// certificates are of an authority of your own. Whoever is to trust both gives both.
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a text that is no PEM, or that has no certificate, which
    /// would trust nobody.
    pub fn roots(self, pem: impl AsRef<[u8]>) -> Result<Self> {
        let mut roots = Vec::new();
        for item in parse_pem(pem.as_ref()) {
            let item = item.map_err(|why| Error::invalid("the roots are no PEM").with_source(why))?;
            if let PemItem::Certificate(root) = item {
                roots.push(root);
            }
        }
        if roots.is_empty() {
            return Err(Error::invalid("the roots have no certificate; there must be 1 or more"));
        }
        Ok(Self::with(self.schemes, self.addresses, self.time_limit, RootCerts::from(roots)))
    }

    fn with(schemes: Schemes, addresses: Addresses, time_limit: Duration, roots: RootCerts) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .https_only(schemes == Schemes::Https)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // A proxy would resolve names by itself.
            .proxy(None)
            .timeout_global(Some(time_limit))
            .max_response_header_size(HEAD_BYTES)
            // A connection that is used again was checked long ago.
            .max_idle_connections(0)
            .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
            .user_agent(concat!("parlor/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Guarded::new(addresses));
        WebhookTransport { schemes, addresses, time_limit, roots, agent }
    }
}

impl Default for WebhookTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WebhookTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookTransport")
            .field("schemes", &self.schemes)
            .field("addresses", &self.addresses)
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}

impl Transport for WebhookTransport {
    fn deliver(&self, delivery: &Delivery) -> Result<(), DeliveryError> {
        let hook = &delivery.webhook;
        if self.schemes == Schemes::Https && !hook.url.starts_with("https://") {
            return Err(DeliveryError::permanent("the URL is not https, and nothing else is allowed"));
        }
        let mut request = self.agent.post(&hook.url).header("content-type", "application/json");
        if let Some(token) = &hook.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(secret) = &hook.secret {
            let (id, timestamp) = (delivery.turn_id.to_string(), delivery.at.as_millis() / 1000);
            let signature = sign::signature(secret, &id, timestamp, &delivery.body)?;
            request = request
                .header("webhook-id", id)
                .header("webhook-timestamp", timestamp.to_string())
                .header("webhook-signature", signature);
        }
        let answer = request.send(delivery.body.as_bytes()).map_err(|error| match error {
            ureq::Error::Other(ours) => DeliveryError::new(ours.to_string()),
            error => DeliveryError::new(error.to_string()),
        })?;
        match answer.status().as_u16() {
            200..300 => Ok(()),
            status @ 300..400 => Err(DeliveryError::new(format!("answered {status}; redirects are not followed"))),
            status => Err(DeliveryError::new(format!("answered {status}"))),
        }
    }
}

#[cfg(test)]
mod tests;
