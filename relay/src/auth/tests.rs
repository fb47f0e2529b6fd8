//! Tokens good and bad, with keys of every kind.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use crdt_core::id::{DocumentId, DocumentName};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::*;
use crate::access::Right;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn secret() -> Secret {
    Secret::new(vec![7; 32]).unwrap()
}

fn claims() -> Claims {
    Claims::user("student-7", 1_700_000_600)
}

fn tokens() -> Tokens {
    Tokens::new(Keys::from_secret(&secret()), Rules::default())
}

/// A key pair of an identity provider, and its public half as a file would have it.
struct Pair {
    algorithm: Algorithm,
    private: EncodingKey,
    pem: Vec<u8>,
    /// As X.509 writes public keys: that of an Edwards curve is its end.
    public: Vec<u8>,
}

impl Pair {
    fn new(algorithm: Algorithm, private: EncodingKey, public: &[u8]) -> Self {
        let body = STANDARD.encode(public);
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n").into_bytes();
        Self { algorithm, private, pem, public: public.to_vec() }
    }

    fn all() -> [Self; 3] {
        let random = SystemRandom::new();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let rsa_private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let curve = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let edwards_pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let edwards = Ed25519KeyPair::from_pkcs8(edwards_pkcs8.as_ref()).unwrap();
        [
            Self::new(
                Algorithm::RS256,
                rsa_key(rsa_private.as_ref()),
                rsa.public_key().as_der().unwrap().as_ref(),
            ),
            Self::new(
                Algorithm::ES256,
                EncodingKey::from_ec_der(pkcs8.as_ref()),
                curve.public_key().as_der().unwrap().as_ref(),
            ),
            Self::new(
                Algorithm::EdDSA,
                EncodingKey::from_ed_der(edwards_pkcs8.as_ref()),
                edwards.public_key().as_der().unwrap().as_ref(),
            ),
        ]
    }

    fn sign(&self, key_id: Option<&str>) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = key_id.map(str::to_owned);
        encode(&header, &claims(), &self.private).unwrap()
    }

    fn jwk(&self, key_id: &str) -> Jwk {
        let mut jwk = if self.algorithm == Algorithm::EdDSA {
            let x = URL_SAFE_NO_PAD.encode(&self.public[self.public.len() - 32..]);
            serde_json::from_value(json!({"kty": "OKP", "crv": "Ed25519", "x": x})).unwrap()
        } else {
            Jwk::from_encoding_key(&self.private, self.algorithm).unwrap()
        };
        jwk.common.key_id = Some(key_id.to_owned());
        jwk
    }
}

fn rsa_key(pkcs8: &[u8]) -> EncodingKey {
    let body = STANDARD.encode(pkcs8);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
}

#[test]
fn a_users_token_is_an_ordinary_permit_that_ends() {
    let permit = tokens().permit(&secret().sign(&claims()).unwrap(), NOW).unwrap();
    let subject = crate::id::Subject::new("student-7").unwrap();
    let expires = Timestamp::from_millis(1_700_000_600_000) + LEEWAY;
    assert_eq!(permit, Permit { expires, ..Permit::user(Tenant::new("main").unwrap(), subject) });
}

#[test]
fn roles_and_grants_become_rights() {
    let mut claims = claims();
    claims.tenant = Some("academy".to_owned());
    let document = DocumentId::from_bytes([7; 16]);
    let named = |right| Grant::Named {
        kind: "cart".to_owned(),
        owner: "family-3".to_owned(),
        name: "groceries".to_owned(),
        right,
    };
    claims.grants =
        vec![Grant::Document { document, right: Right::Read }, named(Right::Write), named(Right::Read)];
    let permit = tokens().permit(&secret().sign(&claims).unwrap(), NOW).unwrap();
    let name = DocumentName { tenant: "academy", kind: "cart", owner: "family-3", name: "groceries" };
    let rights = [(document, Right::Read), (DocumentId::derive(&name), Right::Write)];
    assert_eq!(permit.documents, rights.into());
    assert_eq!((permit.tenant.as_str(), permit.everywhere), ("academy", None));
    for (role, everywhere) in
        [(Role::Reader, Right::Read), (Role::Service, Right::Write), (Role::Admin, Right::Admin)]
    {
        claims.role = role;
        let permit = tokens().permit(&secret().sign(&claims).unwrap(), NOW).unwrap();
        assert_eq!((permit.everywhere, permit.may_follow), (Some(everywhere), true));
    }
}

#[test]
fn tokens_of_every_kind_of_key_are_accepted_from_pem_and_from_a_key_set() {
    for pair in Pair::all() {
        let tokens = Tokens::new(Keys::from_pem(&pair.pem).unwrap(), Rules::default());
        assert!(tokens.permit(&pair.sign(None), NOW).is_ok(), "{:?}", pair.algorithm);
        assert!(tokens.permit(&pair.sign(Some("any")), NOW).is_ok(), "{:?}", pair.algorithm);
    }
    let pairs = Pair::all();
    let keys = pairs.iter().zip(["rsa", "curve", "edwards"]).map(|(pair, id)| pair.jwk(id)).collect();
    let set = serde_json::to_vec(&JwkSet { keys }).unwrap();
    let tokens = Tokens::new(Keys::from_jwks(&set).unwrap(), Rules::default());
    for (pair, id) in pairs.iter().zip(["rsa", "curve", "edwards"]) {
        assert!(tokens.permit(&pair.sign(Some(id)), NOW).is_ok(), "{id}");
        assert!(tokens.permit(&pair.sign(None), NOW).is_ok(), "{id}");
        assert_eq!(tokens.permit(&pair.sign(Some("retired")), NOW), Err(Unauthorized::UnknownKey));
    }
    let [rsa, curve, _] = &pairs;
    assert_eq!(tokens.permit(&rsa.sign(Some("curve")), NOW), Err(Unauthorized::WrongAlgorithm));
    let stranger = &Pair::all()[1];
    assert_eq!(stranger.algorithm, curve.algorithm);
    assert_eq!(tokens.permit(&stranger.sign(Some("curve")), NOW), Err(Unauthorized::WrongSignature));
}

#[test]
fn a_public_key_is_not_a_shared_secret() {
    for pair in Pair::all() {
        let forged =
            encode(&Header::new(Algorithm::HS256), &claims(), &EncodingKey::from_secret(&pair.pem)).unwrap();
        let tokens = Tokens::new(Keys::from_pem(&pair.pem).unwrap(), Rules::default());
        assert_eq!(tokens.permit(&forged, NOW), Err(Unauthorized::WrongAlgorithm), "{:?}", pair.algorithm);
    }
}

#[test]
fn unsigned_tokens_are_nothing() {
    let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let body = encode(json!({"sub": "student-7", "exp": 1_700_000_600}));
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        let token = format!("{}.{body}.", encode(json!({"alg": algorithm, "typ": "JWT"})));
        assert_eq!(tokens().permit(&token, NOW), Err(Unauthorized::Malformed), "{algorithm}");
    }
    let signed = secret().sign(&claims()).unwrap();
    let unsigned = signed.rsplit_once('.').unwrap().0;
    assert!(tokens().permit(&format!("{unsigned}."), NOW).is_err());
    assert_eq!(tokens().permit(unsigned, NOW), Err(Unauthorized::Malformed));
    assert_eq!(tokens().permit("", NOW), Err(Unauthorized::Malformed));
    assert_eq!(
        tokens().permit(&"a".repeat(TOKEN_BYTES_MAX + 1), NOW),
        Err(Unauthorized::TooLong { bytes: TOKEN_BYTES_MAX + 1 })
    );
}

#[test]
fn whatever_is_changed_in_a_token_makes_it_worthless() {
    let token = secret().sign(&claims()).unwrap();
    for index in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(bytes).unwrap();
        // The last character of the signature has bits to spare, which a strict decoder refuses.
        assert!(tokens().permit(&tampered, NOW).is_err(), "{index}");
    }
    let other = Secret::new(vec![8; 32]).unwrap();
    assert_eq!(tokens().permit(&other.sign(&claims()).unwrap(), NOW), Err(Unauthorized::WrongSignature));
}

#[test]
fn time_is_an_argument_and_clocks_may_differ_a_little() {
    let mut claims = claims();
    claims.nbf = Some(1_700_000_000);
    let token = secret().sign(&claims).unwrap();
    let at = |seconds: u64| tokens().permit(&token, Timestamp::from_millis(seconds * 1000));
    assert_eq!(at(1_699_999_969), Err(Unauthorized::NotYet { from: 1_700_000_000 }));
    assert!(at(1_699_999_970).is_ok());
    assert!(at(1_700_000_629).is_ok());
    assert_eq!(at(1_700_000_630), Err(Unauthorized::Expired { at: 1_700_000_600 }));
    claims.exp = u64::MAX;
    assert!(tokens().permit(&secret().sign(&claims).unwrap(), NOW).is_ok());
}

#[test]
fn issuer_and_audience_have_to_be_the_ones_asked_for() {
    let rules = Rules {
        issuer: Some("https://login.shop".to_owned()),
        audience: Some("relay".to_owned()),
        ..Rules::default()
    };
    let tokens = Tokens::new(Keys::from_secret(&secret()), rules);
    let permit = |iss: Option<&str>, aud: Option<claims::Audience>| {
        let claims = Claims { iss: iss.map(str::to_owned), aud, ..claims() };
        tokens.permit(&secret().sign(&claims).unwrap(), NOW).map(|_| ())
    };
    let one = |name: &str| Some(claims::Audience::One(name.to_owned()));
    let several = claims::Audience::Several(vec!["shop".to_owned(), "relay".to_owned()]);
    assert_eq!(permit(Some("https://login.shop"), one("relay")), Ok(()));
    assert_eq!(permit(Some("https://login.shop"), Some(several)), Ok(()));
    assert_eq!(permit(Some("https://elsewhere"), one("relay")), Err(Unauthorized::WrongIssuer));
    assert_eq!(permit(None, one("relay")), Err(Unauthorized::WrongIssuer));
    assert_eq!(permit(Some("https://login.shop"), one("shop")), Err(Unauthorized::WrongAudience));
    assert_eq!(permit(Some("https://login.shop"), None), Err(Unauthorized::WrongAudience));
    let claims = Claims { aud: one("shop"), ..claims() };
    let refused = self::tokens().permit(&secret().sign(&claims).unwrap(), NOW);
    assert_eq!(refused, Err(Unauthorized::WrongAudience), "it is meant for somebody, and nobody said for us");
}

#[test]
fn the_revoked_are_turned_away() {
    let revoked = Revoked::parse("# lost phones\njti a1\n\nsub student-8\n").unwrap();
    let tokens = tokens().with_revoked(revoked);
    let permit = |sub: &str, jti: Option<&str>| {
        let claims = Claims { jti: jti.map(str::to_owned), ..Claims::user(sub, 1_700_000_600) };
        tokens.permit(&secret().sign(&claims).unwrap(), NOW).map(|_| ())
    };
    assert_eq!(permit("student-7", Some("a2")), Ok(()));
    assert_eq!(permit("student-7", Some("a1")), Err(Unauthorized::Revoked));
    assert_eq!(permit("student-8", None), Err(Unauthorized::Revoked));
    assert_eq!(Revoked::parse("jti a1\nstudent-8"), Err(RevokedError::Line { number: 2 }));
}

#[test]
fn claims_that_make_no_sense_are_named() {
    let bad = |value: serde_json::Value| {
        let key = EncodingKey::from_secret(&[7; 32]);
        let token = encode(&Header::new(Algorithm::HS256), &value, &key).unwrap();
        match tokens().permit(&token, NOW) {
            Err(Unauthorized::BadClaims { why }) => why,
            other => panic!("{other:?}"),
        }
    };
    assert!(bad(json!({"sub": "student-7"})).contains("exp"));
    assert!(bad(json!({"exp": 1_700_000_600})).contains("sub"));
    assert!(bad(json!({"sub": "", "exp": 1_700_000_600})).contains("subject"));
    assert!(bad(json!({"sub": "a", "exp": 1_700_000_600, "tenant": "a\u{0}b"})).contains("tenant"));
    assert!(bad(json!({"sub": "a", "exp": 1_700_000_600, "role": "root"})).contains("root"));
    assert!(
        !bad(json!({"sub": "a", "exp": 1_700_000_600, "grants": [{"document": "x", "right": "read"}]}))
            .is_empty()
    );
    let grant = json!({"document": DocumentId::from_bytes([7; 16]), "right": "read"});
    assert!(bad(json!({"sub": "a", "exp": 1_700_000_600, "grants": vec![grant; 129]})).contains("128"));
}

#[test]
fn weak_secrets_and_files_that_are_not_keys_are_refused() {
    assert_eq!(Secret::new(vec![7; 31]).unwrap_err(), WeakSecret { bytes: 31 });
    assert_eq!(Keys::from_pem(b"ssh-ed25519 AAAA").unwrap_err(), KeysError::NotPem);
    assert!(matches!(Keys::from_jwks(b"[]").unwrap_err(), KeysError::NotJwks { .. }));
    assert_eq!(Keys::from_jwks(br#"{"keys": []}"#).unwrap_err(), KeysError::NoneUsable);
    let secret = json!({"keys": [{"kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32]), "alg": "HS256"}]});
    assert_eq!(Keys::from_jwks(secret.to_string().as_bytes()).unwrap_err(), KeysError::NoneUsable);
    assert_eq!(format!("{:?} {:?}", self::secret(), Keys::from_secret(&self::secret())), "Secret Keys(1)");
}
