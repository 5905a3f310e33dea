//! The plugins that are embedded in the binary; `build.rs` puts them there.

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// What can be named as `builtin:NAME`.
pub fn names() -> impl Iterator<Item = &'static str> {
    EMBEDDED.iter().map(|(name, _)| *name)
}

/// Whether these are the bytes of one of them.
pub(super) fn holds(bytes: &[u8]) -> bool {
    EMBEDDED.iter().any(|(_, embedded)| *embedded == bytes)
}

/// The component of that name; none when this build left it out.
pub fn component(name: &str) -> Option<&'static [u8]> {
    EMBEDDED
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, bytes)| *bytes)
}

/// Shipped with the source, but this build had no Wasm target at hand.
pub(super) fn is_left_out(name: &str) -> bool {
    LEFT_OUT.contains(&name)
}
