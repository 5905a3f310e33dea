//! What a connection owns, in bytes: docs/robustness.md quotes these, and they must not grow unseen.

use jackfield_rsocket::{engine::Connection, net::FrameIo};

use super::super::{
    accept, handle::Handle, line::Line, link::Link, routes::Routes, splice::Splice,
};

/// The size of what a function returns: of the future of an `async` one.
const fn returned<A, B, R>(_: &impl Fn(A, B) -> R) -> usize {
    size_of::<R>()
}

#[test]
fn a_connection_owns_little() {
    let task = returned(&accept::serve);
    for (what, size, most) in [
        ("task", task, 2304),
        ("Link", size_of::<Link>(), 1536),
        ("Line", size_of::<Line>(), 512),
        ("FrameIo", size_of::<FrameIo>(), 384),
        ("Connection", size_of::<Connection<Splice>>(), 256),
        ("Routes", size_of::<Routes>(), 128),
        ("Handle", size_of::<Handle>(), 512),
    ] {
        println!("{what}: {size} bytes");
        assert!(size <= most, "{what} has {size} bytes, of {most}");
    }
}
