//! Buffers between uses, one small stock per thread.
//!
//! A connection takes a buffer when it starts to read or to queue and puts it back when it is
//! drained, so thousands of idle connections share a handful. A buffer that frames still point
//! into is not given out again.

use std::cell::RefCell;

use bytes::BytesMut;

/// The size of every buffer in the stock.
pub(super) const BUFFER: usize = 16 * 1024;

/// Buffers kept per thread.
const STOCK: usize = 64;

thread_local! {
    static BUFFERS: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer with room for at least [`BUFFER`] bytes.
pub(super) fn take() -> BytesMut {
    let kept = BUFFERS.with_borrow_mut(Vec::pop);
    kept.and_then(reclaim)
        .unwrap_or_else(|| BytesMut::with_capacity(BUFFER))
}

/// Puts a buffer back; only those that came from [`take`] and did not grow.
pub(super) fn put(buffer: BytesMut) {
    BUFFERS.with_borrow_mut(|stock| {
        if stock.len() < STOCK {
            stock.push(buffer);
        }
    });
}

/// The whole buffer again, unless somebody still holds a slice of it.
fn reclaim(mut buffer: BytesMut) -> Option<BytesMut> {
    buffer.clear();
    buffer.try_reclaim(BUFFER).then_some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_whole_and_never_shared() {
        let mut buffer = take();
        buffer.extend_from_slice(b"frame and rest");
        let frame = buffer.split_to(5).freeze();
        let place = frame.as_ptr();
        put(buffer);
        let other = take();
        assert_ne!(other.as_ptr(), place, "a slice still points into the first");
        assert!(other.capacity() >= BUFFER);

        put(other);
        let mut again = take();
        again.extend_from_slice(b"frame");
        let place = again.as_ptr();
        drop(again.split().freeze());
        put(again);
        assert_eq!(take().as_ptr(), place);
    }
}
