//! TLB shootdown: before a frame is given back, every CPU that may still translate to it forgets.

/// Answers requests meant for this CPU; the relax hook of all locks and the inter-processor interrupt end here.
pub fn answer() {
    todo!()
}
