//! Signatures as Standard Webhooks has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::DeliveryError;

/// What the text of a secret begins with; it may be left out.
const PREFIX: &str = "whsec_";

/// The value of `webhook-signature`: HMAC-SHA256 over id, time and body, in base64.
pub(super) fn signature(secret: &str, id: &str, timestamp: u64, body: &str) -> Result<String, DeliveryError> {
    // The errors of the decoder tell bytes of what they could not decode.
    let unusable = || DeliveryError::permanent("the webhook's secret is no base64, with whsec_ before it or without");
    let key = STANDARD.decode(secret.strip_prefix(PREFIX).unwrap_or(secret)).map_err(|_| unusable())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| unusable())?;
    for part in [id, ".", &timestamp.to_string(), ".", body] {
        mac.update(part.as_bytes());
    }
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_vector_of_the_specification_holds() {
        let sign = |secret| signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        let due = Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned());
        assert_eq!((sign(SECRET), sign(&SECRET[PREFIX.len()..])), (due.clone(), due));
    }

    #[test]
    fn the_specifications_own_library_signs_the_same() {
        let theirs = standardwebhooks::Webhook::new(SECRET).expect("a secret");
        for (id, timestamp, body) in [("a", 0, ""), ("b", 1_777_573_302, "{}"), ("é", 4_000_000_000, "\u{1F50A}\n.")] {
            let due = theirs.sign(id, timestamp, body.as_bytes()).expect("a signature");
            assert_eq!(signature(SECRET, id, timestamp as u64, body), Ok(due));
        }
    }

    #[test]
    fn a_secret_that_is_none_is_refused_for_good_and_not_told() {
        for secret in ["whsec_hunter-2", "hunter!", "whsec_a"] {
            let error = signature(secret, "a", 0, "").expect_err(secret);
            assert!(error.is_permanent() && !error.to_string().contains("hunter"), "{error}");
        }
    }
}
