use jackfield_rsocket::metadata::{
    AcceptMimeTypes, AppMetadata, Auth, BinaryRouting, Composite, Edit, Entry, MetadataError, Mime,
    Route, RouteEdit, RoutingEntries, Scan, Service, ServiceRegistry, TagEdit, Tags,
    decode_mime_type, encode_mime_type, encode_tags,
};

use crate::input::Input;

/// A metadata block and an edit of it: no panic, entries survive as they are, and an edit touches
/// what it names and nothing else.
pub fn composite(data: &[u8]) {
    let mut input = Input::new(data);
    let edit = input.byte();
    let words = input.byte();
    let block = input.rest();
    let entries: Result<Vec<Entry<'_>>, MetadataError> = Composite::new(block).collect();
    scan(block, entries.is_ok());
    if let Ok(entries) = &entries {
        let raw: Vec<u8> = entries
            .iter()
            .flat_map(|entry| entry.raw)
            .copied()
            .collect();
        assert_eq!(raw, block, "entries lie end to end");
        entries.iter().for_each(content);
    }
    contents(block);
    change(block, entries.ok().as_deref(), edit, words);
}

/// What is found in a part of the block is what is found in the whole.
fn scan(block: &[u8], well_formed: bool) {
    let whole = RoutingEntries::scan(block, true);
    if well_formed {
        let crowded = matches!(whole, Err(MetadataError::TooManyEntries { .. }));
        assert!(whole.is_ok() || crowded);
    }
    // Where it was cut must not matter; all cuts of a long block would take too long.
    let step = 1 + block.len() / 64;
    for cut in (0..=block.len()).step_by(step) {
        match (RoutingEntries::scan(&block[..cut], false), &whole) {
            (Ok(Scan::NeedMore), _) | (Err(_), Err(_)) => {}
            (Ok(found @ Scan::Found(_)), Ok(whole)) => assert_eq!(found, *whole, "cut at {cut}"),
            // Both were there before what is malformed.
            (Ok(Scan::Found(_)), Err(_)) => {}
            (found, whole) => panic!("cut at {cut}: {found:?}, in the whole {whole:?}"),
        }
    }
    if let Ok(Scan::Found(entries)) = whole {
        let _ = entries.target();
    }
}

fn content(entry: &Entry<'_>) {
    let _ = (entry.mime.name(), entry.mime.well_known());
    contents(entry.content);
}

/// Anything may stand in any entry, so every reader is given everything.
fn contents(bytes: &[u8]) {
    if let Ok(tags) = Tags::new(bytes).collect::<Result<Vec<_>, _>>() {
        assert_eq!(encode_tags(tags.iter().copied()).as_deref(), Ok(bytes));
    }
    if let Ok(Some(route)) = Route::from_tags(bytes) {
        let _ = (
            route.whole(),
            route.key(),
            route.service_id(),
            route.handler_id(),
        );
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Route::parse(text).key();
        if let Ok(service) = Service::parse(text) {
            assert_eq!(Service::parse(&service.to_string()), Ok(service));
        }
    }
    if let Ok(binary) = BinaryRouting::decode(bytes) {
        assert_eq!(BinaryRouting::decode(&binary.encode()), Ok(binary));
    }
    // A name that is not ASCII is read, and not written.
    if let Ok(auth) = Auth::decode(bytes)
        && let Ok(written) = auth.encode()
    {
        assert_eq!(Auth::decode(&written), Ok(auth));
    }
    if let Ok(app) = AppMetadata::decode(bytes) {
        let written = app.encode().expect("what was read can be written");
        assert_eq!(AppMetadata::decode(&written), Ok(app));
    }
    if let Ok(registry) = ServiceRegistry::decode(bytes) {
        let written = registry.encode().expect("what was read can be written");
        assert_eq!(ServiceRegistry::decode(&written), Ok(registry));
    }
    if let Ok(mime) = decode_mime_type(bytes) {
        // Behind it may stand what nobody reads.
        let written = encode_mime_type(mime).expect("what was read can be written");
        assert_eq!(decode_mime_type(&written), Ok(mime));
    }
    AcceptMimeTypes::new(bytes).for_each(drop);
}

const NAMES: [(&str, &str); 4] = [
    ("shop.Orders", "list"),
    ("a", ""),
    ("", "m"),
    ("x.y.Z", "\u{e9}"),
];

fn change(block: &[u8], entries: Option<&[Entry<'_>]>, edit: u8, words: u8) {
    let tags = [
        TagEdit {
            key: "e",
            value: (words & 1 == 1).then_some("ip:10.0.0.1"),
        },
        TagEdit {
            key: "version",
            value: (words & 2 == 2).then_some(""),
        },
    ];
    let route = RouteEdit {
        name: (edit & 1 == 1).then_some(NAMES[usize::from(words >> 2) % 4]),
        tags: &tags[..usize::from(edit >> 1) % 3],
    };
    let edit = Edit {
        route: (edit & 8 == 8).then_some(route),
        data_encoding: (edit & 16 == 16).then_some(Mime::from_id(5).into()),
    };
    let Ok(out) = edit.apply(block) else { return };
    let entries = entries.expect("only a well-formed block can be edited");
    let changed: Vec<Entry<'_>> = Composite::new(&out)
        .collect::<Result<_, _>>()
        .expect("it stays well-formed");
    let added = changed.len() - entries.len();
    assert!(added <= usize::from(edit.data_encoding.is_some()));
    for (old, new) in entries.iter().zip(&changed) {
        let routing = old.is(Mime::ROUTING) || old.is(Mime::BINARY_ROUTING);
        if !(routing && edit.route.is_some()) {
            assert_eq!(old.raw, new.raw);
        }
        assert_eq!(old.mime, new.mime);
    }
}
