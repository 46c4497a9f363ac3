//! `Stripe-Signature`: HMAC-SHA256 over `<unix seconds>.<raw body>`. It signs and verifies bytes; what they mean is
//! [`crate::webhook`]'s affair. Source: Stripe's description of manual webhook verification.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::error::PaymentError;

/// Header that carries time and signatures: `t=1700000000,v1=<64 hex>[,v1=<64 hex>]`.
pub const HEADER: &str = "stripe-signature";

/// How far the time in the header may be from ours, seconds, to both sides: an older one may be a replay, a newer one a
/// broken clock. Source: CONTRACT section 2.
pub const TOLERANCE_S: i64 = 300;

/// Signatures that are looked at in one header. Stripe sends one per live secret, at most two.
pub const SIGNATURES_MAX: usize = 8;

/// Why a signature was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// No time, two times, or a time that is no number.
    #[error("the header is not t=<seconds>,v1=<hex>")]
    Malformed,
    /// The time is too far from ours.
    #[error("the time is {off_s} s from ours, more than 300 s")]
    OutsideTolerance {
        /// Ours minus the header's, seconds.
        off_s: i64,
    },
    /// No signature fits any secret.
    #[error("no signature fits")]
    NoMatch,
    /// The secret is empty: everybody could sign.
    #[error("the webhook secret is empty")]
    EmptySecret,
}

/// The header's value for `body`, sent at `at`.
///
/// # Errors
/// [`SignatureFault::EmptySecret`].
pub fn sign(secret: &SecretString, at: Timestamp, body: &[u8]) -> Result<String, PaymentError> {
    let seconds = at.as_second();
    let mac = mac(secret, &seconds.to_string(), body).ok_or(PaymentError::Signature {
        cause: SignatureFault::EmptySecret,
    })?;
    Ok(format!(
        "t={seconds},v1={}",
        hex::encode(mac.finalize().into_bytes())
    ))
}

/// Accepts `body` if any `v1` of `header` fits any of `secrets` (two while one is rotated) and the time is near `now`.
/// Returns the time in the header.
///
/// # Errors
/// [`PaymentError::Signature`].
pub fn verify(
    secrets: &[SecretString],
    header: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Timestamp, PaymentError> {
    check(secrets, header, body, now).map_err(|cause| PaymentError::Signature { cause })
}

fn check(
    secrets: &[SecretString],
    header: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Timestamp, SignatureFault> {
    let (seconds, signatures) = read(header)?;
    let at = seconds
        .parse()
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or(SignatureFault::Malformed)?;
    // The signature first: a stranger learns nothing about our clock.
    let fits = |secret: &SecretString| {
        signatures.iter().any(|signature| {
            // `verify_slice` takes the same time wherever the first wrong byte is.
            mac(secret, seconds, body).is_some_and(|mac| mac.verify_slice(signature).is_ok())
        })
    };
    if !secrets.iter().any(fits) {
        return Err(SignatureFault::NoMatch);
    }
    let off_s = now.as_second() - at.as_second();
    if off_s.abs() > TOLERANCE_S {
        return Err(SignatureFault::OutsideTolerance { off_s });
    }
    Ok(at)
}

/// Time as it was written, and the decoded `v1` signatures. Other schemes (`v0`) are passed over.
fn read(header: &str) -> Result<(&str, Vec<Vec<u8>>), SignatureFault> {
    let mut seconds = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", value)) if seconds.is_none() => seconds = Some(value),
            Some(("t", _)) | None => return Err(SignatureFault::Malformed),
            Some(("v1", value)) if signatures.len() < SIGNATURES_MAX => {
                // What is no hex fits no secret.
                signatures.extend(hex::decode(value).ok());
            }
            Some(_) => {}
        }
    }
    let seconds = seconds.ok_or(SignatureFault::Malformed)?;
    let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(SignatureFault::Malformed);
    }
    Ok((seconds, signatures))
}

/// `None` for an empty secret. HMAC takes every other length.
fn mac(secret: &SecretString, seconds: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let secret = secret.expose_secret().as_bytes();
    if secret.is_empty() {
        return None;
    }
    let mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    Some(
        mac.chain_update(seconds)
            .chain_update(b".")
            .chain_update(body),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const NOW_S: i64 = 1_700_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    fn fault(secrets: &[SecretString], header: &str, body: &[u8], now_s: i64) -> SignatureFault {
        match verify(secrets, header, body, at(now_s)) {
            Err(PaymentError::Signature { cause }) => cause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_known_signature_is_made_and_accepted() {
        // Made with: printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_1
        let known = "86d9cb9088d7cce050b0134e2d515d0fc05e8c00073612d3451480c6291f4dcd";
        let header = sign(&secret("whsec_1"), at(NOW_S), BODY).unwrap();
        assert_eq!(header, format!("t={NOW_S},v1={known}"));
        assert_eq!(
            verify(&[secret("whsec_1")], &header, BODY, at(NOW_S)).unwrap(),
            at(NOW_S)
        );
    }

    #[test]
    fn the_time_may_be_300_s_off_to_both_sides_and_no_more() {
        let secrets = [secret("whsec_1")];
        let header = sign(&secrets[0], at(NOW_S), BODY).unwrap();
        for now_s in [NOW_S - 300, NOW_S + 300] {
            assert!(
                verify(&secrets, &header, BODY, at(now_s)).is_ok(),
                "{now_s}"
            );
        }
        for off_s in [-301, 301] {
            let fault = fault(&secrets, &header, BODY, NOW_S + off_s);
            assert_eq!(fault, SignatureFault::OutsideTolerance { off_s });
        }
    }

    #[test]
    fn any_live_secret_and_any_signature_will_do() {
        let (old, new) = (secret("whsec_old"), secret("whsec_new"));
        let header = sign(&old, at(NOW_S), BODY).unwrap();
        assert!(verify(&[new.clone(), old.clone()], &header, BODY, at(NOW_S)).is_ok());
        assert_eq!(
            fault(std::slice::from_ref(&new), &header, BODY, NOW_S),
            SignatureFault::NoMatch
        );

        let second = sign(&new, at(NOW_S), BODY).unwrap();
        let (_, second) = second.split_once(',').unwrap();
        let both = format!("{header},{second},v0=00");
        assert!(verify(&[new], &both, BODY, at(NOW_S)).is_ok());
        assert!(verify(&[old], &both, BODY, at(NOW_S)).is_ok());
    }

    #[test]
    fn what_was_tampered_with_is_refused() {
        let secrets = [secret("whsec_1")];
        let header = sign(&secrets[0], at(NOW_S), BODY).unwrap();
        assert_eq!(
            fault(&secrets, &header, b"{}", NOW_S),
            SignatureFault::NoMatch
        );
        let later = header.replace("1700000000", "1700000001");
        assert_eq!(
            fault(&secrets, &later, BODY, NOW_S),
            SignatureFault::NoMatch
        );
        let cut = &header[..header.len() - 2];
        assert_eq!(fault(&secrets, cut, BODY, NOW_S), SignatureFault::NoMatch);
        assert_eq!(fault(&[], &header, BODY, NOW_S), SignatureFault::NoMatch);
    }

    #[test]
    fn an_empty_secret_neither_signs_nor_verifies() {
        assert!(sign(&secret(""), at(NOW_S), BODY).is_err());
        // What HMAC with an empty key gives is no valid signature here.
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        let mac = mac
            .chain_update(b"1700000000.")
            .chain_update(BODY)
            .finalize()
            .into_bytes();
        let header = format!("t={NOW_S},v1={}", hex::encode(mac));
        assert_eq!(
            fault(&[secret("")], &header, BODY, NOW_S),
            SignatureFault::NoMatch
        );
    }

    #[test]
    fn a_header_of_another_shape_is_malformed() {
        let secrets = [secret("whsec_1")];
        for header in [
            "",
            "v1=00",
            "t=,v1=00",
            "t=-5,v1=00",
            "t=x,v1=00",
            "t=1,t=2,v1=00",
            "junk",
        ] {
            assert_eq!(
                fault(&secrets, header, BODY, NOW_S),
                SignatureFault::Malformed,
                "{header}"
            );
        }
        let without = format!("t={NOW_S}");
        assert_eq!(
            fault(&secrets, &without, BODY, NOW_S),
            SignatureFault::NoMatch
        );
    }
}
