//! Signatures: what is accepted, and each way in which something is not.
#![forbid(unsafe_code)]

use jiff::{Timestamp, ToSpan};
use teneral_contract::Digest;
use teneral_control::trust::*;

const PART: &str = r#"{"format":1,"kind":"counter","version":"1.0.0","sha256":"DIGEST","bytes":9,"abi":[1,0],
"schemas":{"runs":{"schema":1,"fingerprint":"00000000000000000000000000000001"},"from":[],"down":[]}}"#;

fn release() -> Vec<u8> {
    PART.replace("DIGEST", &Digest([7; 32]).to_string()).into_bytes()
}

fn now() -> Timestamp {
    "2026-11-26T12:00:00Z".parse().expect("a time")
}

fn key() -> (SecretKey, TrustedKey) {
    let (secret, files) = SecretKey::generate(None).expect("a key");
    let public = PublicKey::parse(&files.public).expect("its own file");
    assert_eq!(public.id(), secret.public().expect("its half").id());
    let (name, purpose) = ("ada".to_owned(), KeyPurpose::Release);
    (secret, TrustedKey { public, name, purpose, added: now(), by: "ops".to_owned(), expires: None })
}

fn refused(signed: &Signed, keys: &[TrustedKey], profile: Profile) -> TrustError {
    vouch(signed, keys, profile, now()).expect_err("refused")
}

#[test]
fn what_a_trusted_key_signed_is_accepted_and_says_who_signed() {
    let (secret, trusted) = key();
    let signed = secret.sign(release(), "counter 1.0.0").expect("signed");
    assert!(signed.signature.contains("trusted comment: counter 1.0.0"), "{}", signed.signature);
    let vouched = vouch(&signed, std::slice::from_ref(&trusted), Profile::Production, now()).expect("accepted");
    assert_eq!((vouched.key, vouched.release.kind.as_str()), (trusted.public.id(), "counter"));
    // An id is a name: it reads back as it is written.
    assert_eq!(trusted.public.id().to_string().parse(), Ok(trusted.public.id()));
}

#[test]
fn each_reason_to_refuse_is_told_from_the_others() {
    let ((secret, trusted), (other, _)) = (key(), key());
    let keys = [trusted.clone()];
    let signed = secret.sign(release(), "").expect("signed");
    let by = |signature: &str| Signed { release: release(), signature: signature.to_owned() };
    let id = trusted.public.id();
    assert_eq!(refused(&by(""), &keys, Profile::Development), TrustError::Unsigned);
    assert!(matches!(refused(&by("no signature"), &keys, Profile::Development), TrustError::Form(_)));
    assert!(matches!(refused(&by(&"x\n".repeat(3000)), &keys, Profile::Development), TrustError::Size { .. }));
    let huge = Signed { release: vec![b' '; RELEASE_BYTES_MAX + 1], ..signed.clone() };
    assert!(matches!(refused(&huge, &keys, Profile::Development), TrustError::Size { .. }));
    let stranger = other.sign(release(), "").expect("signed");
    let unknown = TrustError::UnknownKey(other.public().expect("its half").id());
    assert_eq!(refused(&stranger, &keys, Profile::Development), unknown);
    // Of other bytes, by the very key; and with the comment changed, which is signed as well.
    let mut bytes = release();
    bytes[30] ^= 1;
    let changed = Signed { release: bytes, ..signed.clone() };
    assert_eq!(refused(&changed, &keys, Profile::Development), TrustError::Mismatch(id));
    let told = secret.sign(release(), "to ada").expect("signed").signature.replace("to ada", "to eve");
    assert_eq!(refused(&by(&told), &keys, Profile::Development), TrustError::Mismatch(id));
    let expires = Some(now() - 1.second());
    let over = [TrustedKey { expires, ..trusted.clone() }];
    assert!(matches!(refused(&signed, &over, Profile::Development), TrustError::KeyExpired { key, .. } if key == id));
    let development = [TrustedKey { purpose: KeyPurpose::Development, ..trusted }];
    assert!(vouch(&signed, &development, Profile::Development, now()).is_ok());
    assert_eq!(refused(&signed, &development, Profile::Production), TrustError::DevelopmentKey(id));
}

#[test]
fn a_signed_release_file_is_read_strictly() {
    let (secret, trusted) = key();
    let keys = [trusted];
    let text = String::from_utf8(release()).expect("text");
    let refused = |text: &str| {
        let signed = secret.sign(text.as_bytes().to_vec(), "").expect("signed");
        refused(&signed, &keys, Profile::Development)
    };
    let newer = TrustError::Format { found: 2, supported: 1 };
    assert_eq!(refused(&text.replace("\"format\":1", "\"format\":2,\"new\":1")), newer);
    for bad in ["", "{", "[]", &text.replace("\"kind\"", "\"kin\""), &text.replace("\"bytes\":9", "\"bytes\":-9")] {
        assert!(matches!(refused(bad), TrustError::Release(_)), "{bad}");
    }
}

#[test]
fn a_password_guards_a_secret_key() {
    let (_, files) = SecretKey::generate(Some("hunter2")).expect("a key");
    assert_eq!(SecretKey::wants_password(&files.secret), Ok(true));
    assert!(matches!(SecretKey::open(&files.secret, Some("hunter3")), Err(TrustError::Password(_))));
    let key = SecretKey::open(&files.secret, Some("hunter2")).expect("opened");
    assert_eq!(key.public().expect("its half").id(), PublicKey::parse(&files.public).expect("a key").id());
    assert!(matches!(SecretKey::open("no key", None), Err(TrustError::Key(_))));
}

#[test]
fn a_release_is_about_one_artifact_and_current_until_it_expires() {
    let (secret, trusted) = key();
    let signed = secret.sign(release(), "").expect("signed");
    let mut release = vouch(&signed, &[trusted], Profile::Production, now()).expect("accepted").release;
    assert_eq!(release.is_current(now()), Ok(()));
    release.expires = Some(now());
    assert_eq!(release.is_current(now()), Err(TrustError::Expired(now())));
    assert_eq!(release.is_current(now() - 1.second()), Ok(()));
}
