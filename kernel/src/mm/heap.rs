//! The kernel heap: size classes over linked_list_allocator; the global allocator.

#[global_allocator]
static HEAP: linked_list_allocator::LockedHeap = linked_list_allocator::LockedHeap::empty();
