//! Golden bytes are what version 1.1.6 of the Java client library writes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{super::value::Object, super::value::Value, decode, encode};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::List(items.into_iter().collect())
}

fn texts(items: &[&str]) -> Value {
    list(items.iter().map(|text| Value::from(*text)))
}

#[test]
fn arguments_as_java_clients_send_them() {
    let numbers = [
        1,
        -1,
        47,
        48,
        -17,
        2047,
        2048,
        -262_144,
        262_144,
        1 << 40,
        5,
        -9,
        70_000,
    ];
    let many = numbers.map(Value::Int).into_iter();
    let many = many.chain([Value::Bool(true), Value::Bool(false)]);
    let map = Value::Map(BTreeMap::from([("k".to_owned(), "v".into())]));
    for (bytes, value) in [
        ("71075b6f626a656374012a", texts(&["*"])),
        (
            "72075b6f626a65637403752d3103c3a9eda0b4edb49e",
            texts(&["u-1", "é𝄞"]),
        ),
        ("71075b6f626a6563744e", list([Value::Null])),
        (
            "56075b6f626a6563749f918fbfc830c7efcfffd40800d0000049000400004c0000010000000000e5f7f73d11705446",
            list(many),
        ),
        (
            "71146a6176612e7574696c2e4c696e6b65644c6973740161",
            texts(&["a"]),
        ),
        ("72045b696e749192", list([Value::Int(1), Value::Int(2)])),
        (
            "72075b6f626a65637479016148016b01765a",
            list([texts(&["a"]), map]),
        ),
        // Lists of no known length, typed and not.
        ("57 0161 5a", texts(&["a"])),
        ("55 03 666f6f 0161 0162 5a", texts(&["a", "b"])),
        // A string in two chunks, and one that begins with a long head.
        ("52 0001 61 53 0001 62", "ab".into()),
        ("3001 61", "a".into()),
        (
            "4d 03 666f6f 016b 0176 5a",
            Value::Map(BTreeMap::from([("k".to_owned(), "v".into())])),
        ),
        // Objects are read as maps: by the number of their class, short and long.
        (
            "43 0141 91 016b 60 0176",
            Value::Map(BTreeMap::from([("k".to_owned(), "v".into())])),
        ),
        (
            "43 0141 91 016b 4f 90 0176",
            Value::Map(BTreeMap::from([("k".to_owned(), "v".into())])),
        ),
        ("59 00000005", Value::Int(5)),
    ] {
        assert_eq!(decode(&hex(bytes)), Ok(value), "{bytes}");
    }
}

#[test]
fn answers_as_the_archived_broker_writes_them() {
    let map = Value::Map(BTreeMap::from([("k".to_owned(), "v".into())]));
    let nine: Vec<String> = (1..=9).map(|n| n.to_string()).collect();
    let nine: Vec<&str> = nine.iter().map(String::as_str).collect();
    for (value, bytes) in [
        (Value::Int(1), "91"),
        (Value::Int(0), "90"),
        (Value::Int(-1), "8f"),
        (Value::Null, "4e"),
        (Value::Bool(true), "54"),
        (Value::Bool(false), "46"),
        (texts(&["a", "b"]), "7a01610162"),
        (texts(&nine), "5899013101320133013401350136013701380139"),
        (map, "48016b01765a"),
        ("é𝄞".into(), "03c3a9eda0b4edb49e"),
    ] {
        assert_eq!(encode(&value), hex(bytes), "{value:?}");
    }
    assert_eq!(encode(&"x".repeat(40).into())[..3], *b"\x30\x28x");
    let numbers = [47, 48, -17, 2047, 2048, -262_144, 262_144, 1 << 40];
    let written: Vec<u8> = numbers
        .iter()
        .flat_map(|n| encode(&Value::Int(*n)))
        .collect();
    assert_eq!(
        written,
        hex("bfc830c7efcfffd40800d0000049000400004c0000010000000000")
    );
}

fn instance(id: &str) -> Value {
    Value::Object(Object {
        class: "com.alibaba.rsocket.discovery.RSocketServiceInstance",
        fields: vec![
            ("instanceId", id.into()),
            ("serviceId", "orders".into()),
            ("host", "10.0.0.1".into()),
            ("port", Value::Int(42252)),
            ("schema", "tcp".into()),
            ("uri", "tcp://10.0.0.1:42252".into()),
            ("secure", Value::Bool(false)),
            ("metadata", Value::Map(BTreeMap::new())),
        ],
    })
}

#[test]
fn a_class_is_defined_once() {
    let class = "433034636f6d2e616c69626162612e72736f636b65742e646973636f766572792e52536f636b65745365727669
        6365496e7374616e6365980a696e7374616e636549640973657276696365496404686f737404706f727406736368656d6103757269
        06736563757265086d65746164617461";
    let body = "066f72646572730831302e302e302e31d4a50c03746370147463703a2f2f31302e302e302e313a343232353246485a";
    let expected = format!("7a{class}6003752d31{body}6003752d32{body}");
    assert_eq!(
        encode(&list([instance("u-1"), instance("u-2")])),
        hex(&expected)
    );
}

/// A text longer than one chunk, cut where a pair of surrogates would be torn apart.
#[test]
fn long_texts_go_in_chunks() {
    let text = format!("{}𝄞{}", "y".repeat(0x7FFF), "z".repeat(40_000));
    let bytes = encode(&text.as_str().into());
    assert_eq!(bytes[..4], hex("527fff79"));
    assert_eq!(decode(&bytes), Ok(text.into()));
}

/// A class names fields in a byte each, and every object has them all.
#[test]
fn fields_of_classes_count_as_values() {
    let mut bytes = b"C\x01cI".to_vec();
    bytes.extend(200_000_i32.to_be_bytes());
    bytes.extend([0; 200_000]);
    assert_eq!(decode(&bytes), Err("it is too deep or too large"));
}

#[test]
fn every_fault_is_reached() {
    for (bytes, fault) in [
        ("", "it ends too early"),
        ("0261", "it ends too early"),
        ("9191", "bytes are left behind the value"),
        ("5d01", "it holds a type that no argument here has"),
        ("5190", "it holds a type that no argument here has"),
        ("01ff", "a text is no UTF-8"),
        ("01eda0b4", "a text is no UTF-16"),
        ("48915a", "a map has a key that is no text"),
        ("60", "an object is of no class"),
        ("4f0161", "it has no number where one is needed"),
        ("4391", "it has no text where one is needed"),
        ("5849 7fffffff", "it ends too early"),
    ] {
        assert_eq!(decode(&hex(bytes)), Err(fault), "{bytes}");
    }
    let deep = [0x79; 40];
    assert_eq!(decode(&deep), Err("it is too deep or too large"));
    let mut wide = hex("5849 000fffff");
    wide.extend(vec![b'N'; 0xF_FFFF]);
    assert_eq!(decode(&wide), Err("it is too deep or too large"));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-300_000i64..300_000).prop_map(Value::Int),
        "\\PC{0,40}".prop_map(Value::Text),
    ];
    leaf.prop_recursive(3, 20, 10, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..10).prop_map(Value::List),
            proptest::collection::btree_map("\\PC{0,5}", inner, 0..4).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn values_read_back(value in value()) {
        prop_assert_eq!(decode(&encode(&value)), Ok(value));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }
}
