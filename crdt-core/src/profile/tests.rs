use super::*;

fn key(n: u8) -> AuthorityKey {
    AuthorityKey::from_seed([n; 32])
}

fn device(n: u8) -> Profile {
    let mut trust = TrustSet::default();
    trust.trust(key(1).public(), Role::System);
    trust.trust(key(2).public(), Role::Instructor);
    Profile::create(ActorId::from_bytes([n; 16]), StudentId::new("student-7").unwrap(), trust)
}

fn name() -> Field {
    Field::new("name").unwrap()
}

fn text(text: &str) -> FieldValue {
    FieldValue::text(text).unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn sync(one: &mut Profile, other: &mut Profile) {
    one.document_mut().merge(other.document_mut()).unwrap();
    other.document_mut().merge(one.document_mut()).unwrap();
    assert_eq!(one.view(), other.view());
}

/// A client's value and a newer one of the server's, and the other way round in another field.
fn rivals() -> (Profile, Profile) {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.set(&name(), &text("client"), at(1)).unwrap();
    laptop.set_as_server(&name(), &text("server"), &key(1), at(2)).unwrap();
    sync(&mut phone, &mut laptop);
    (phone, laptop)
}

fn shown(profile: &mut Profile) -> FieldView {
    profile.view().fields[&name()].clone()
}

#[test]
fn strategies_go_by_the_authors_role() {
    for (strategy, value, conflict) in [
        (Strategy::ClientWins, "client", false),
        (Strategy::ServerWins, "server", false),
        (Strategy::LastModifiedWins, "server", false),
        (Strategy::PromptUser, "server", true),
        (
            Strategy::merge(|all| {
                text(&all.iter().filter_map(|one| one.value.as_text()).collect::<String>())
            }),
            "clientserver",
            false,
        ),
    ] {
        let (mut phone, mut laptop) = rivals();
        for profile in [&mut phone, &mut laptop] {
            profile.set_strategy(&name(), strategy.clone());
            let shown = shown(profile);
            assert_eq!((shown.value, shown.conflict), (text(value), conflict), "{strategy:?}");
            assert_eq!(shown.candidates.len(), 2);
        }
        laptop.set_strategy(&name(), Strategy::default());
        laptop.set_default_strategy(strategy);
        assert_eq!(shown(&mut laptop).candidates.len(), 2);
    }
}

#[test]
fn a_conflict_is_resolved_once_for_all() {
    let (mut phone, mut laptop) = rivals();
    phone.set_default_strategy(Strategy::PromptUser);
    laptop.set_default_strategy(Strategy::PromptUser);
    let resolved = laptop.resolve(&name(), &text("client"), at(3)).unwrap();
    assert_eq!((resolved.before, resolved.after), (Some(text("server")), Some(text("client"))));
    sync(&mut phone, &mut laptop);
    assert_eq!((shown(&mut phone).value, shown(&mut phone).conflict), (text("client"), false));
    let again = phone.resolve(&name(), &text("other"), at(4));
    assert_eq!(again, Err(ProfileError::NothingToResolve { field: name() }));
    assert_eq!(phone.set(&name(), &text("client"), at(5)).unwrap().id, None);
    phone.clear(&name(), at(6));
    assert!(phone.view().fields.is_empty());
}

#[test]
fn the_same_value_written_twice_is_no_conflict() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.set_default_strategy(Strategy::PromptUser);
    laptop.set_default_strategy(Strategy::PromptUser);
    phone.set(&name(), &text("same"), at(1)).unwrap();
    laptop.set(&name(), &text("same"), at(2)).unwrap();
    sync(&mut phone, &mut laptop);
    assert!(!shown(&mut phone).conflict);
}

#[test]
fn nobody_but_the_trusted_speaks_for_the_server() {
    let mut phone = device(1);
    let refused = phone.set_as_server(&name(), &text("x"), &key(2), at(1));
    assert_eq!(refused, Err(ProfileError::NotTrusted { by: key(2).public() }));
    let signed = |by: &AuthorityKey, field: &str| {
        let candidate = Candidate {
            value: text("x"),
            role: FieldRole::Server,
            author: FieldAuthor::Key(by.public()),
            at: at(9),
        };
        candidate.to_signed_text(&StudentId::new("student-7").unwrap(), field, by)
    };
    let claim = format!(r#"{{"at":1,"by":"{}","role":"server","value":"x"}}"#, key(1).public());
    for stored in [
        signed(&key(2), "u/name"),
        signed(&key(3), "u/name"),
        signed(&key(1), "u/other"),
        claim,
        r#"{"at":1,"by":"01","role":"owner","value":"x"}"#.into(),
        r#"{"at":1,"by":"01","role":"client"}"#.into(),
        r#"{"at":1,"by":"01","role":"client","value":0.5}"#.into(),
        format!(r#"{{"at":1,"by":"01","role":"client","value":"{}"}}"#, "x".repeat(FIELD_BYTES)),
        "null".into(),
    ] {
        let mut edit = phone.document_mut().edit();
        edit.put("u/name", &stored);
        edit.commit().unwrap();
        assert_eq!(phone.view(), &ProfileView::default(), "{stored}");
        assert_eq!(phone.inert().facts().len(), 1, "{stored}");
    }
    phone.set_as_server(&name(), &text("x"), &key(1), at(9)).unwrap();
    assert_eq!(shown(&mut phone).role, FieldRole::Server);
    assert!(phone.inert().is_empty());
    phone.set_trust(TrustSet::default());
    assert_eq!(phone.view(), &ProfileView::default());
}

const FIELD_BYTES: usize = crate::limits::FIELD_BYTES_MAX;

#[test]
fn values_are_bounded_and_hold_no_floats() {
    assert_eq!(FieldValue::new(serde_json::json!([0.5])), Err(InvalidValue::Float));
    let long = FieldValue::new("x".repeat(FIELD_BYTES).into());
    assert_eq!(long, Err(InvalidValue::TooLong { bytes: FIELD_BYTES + 2 }));
    assert!(FieldValue::text("x".repeat(FIELD_BYTES)).is_err());
    assert_eq!(text("short").as_text(), Some("short"));
}

#[test]
fn what_others_did_is_told_once() {
    let (mut phone, mut laptop) = (device(1), device(2));
    phone.set(&name(), &text("ann"), at(1)).unwrap();
    assert_eq!(phone.refresh(), [], "whoever did it knows");
    laptop.set(&name(), &text("bob"), at(2)).unwrap();
    let told = FieldChange { field: name(), before: Some(text("ann")), after: Some(text("bob")) };
    assert_eq!(phone.merge(&mut laptop).unwrap(), [told]);
    assert_eq!(phone.refresh(), []);
    phone.set_strategy(&name(), Strategy::PromptUser);
    assert_eq!(phone.refresh()[0].after, Some(text("bob")), "a conflict is something else to show");
}
