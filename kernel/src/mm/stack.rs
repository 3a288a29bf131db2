//! Kernel stacks, with an unmapped page below each and room for FP/SIMD state on top.
//!
//! They have an area of their own in the kernel's mappings, cut into slots of a guard page and a stack. A stack that is
//! given up stays mapped and waits for the next thread; only what exceeds [`CACHED`] is unmapped, because that needs an
//! answer of every CPU.

use super::frame::Frame;
use super::shootdown;
use crate::arch::context;
use crate::arch::paging::{self, PageFlags};
use crate::arch::{KERNEL_MAPPINGS, PAGE_SIZE};
use alloc::vec::Vec;
use libsyscall::abi::Errno;
use sync::SpinLock;

/// The stack and what lies on top of it.
pub const STACK_SIZE: usize = 32 * 1024;
const SLOT_SIZE: usize = STACK_SIZE + PAGE_SIZE;
/// The area lies in the second quarter of the kernel's mappings; devices have the upper half.
const AREA: usize = KERNEL_MAPPINGS + (1 << 37);
/// More threads than there can be.
const SLOTS: usize = 1 << 20;
/// Stacks kept mapped for the next thread.
const CACHED: usize = 64;

struct Slots {
    /// Mapped and free.
    ready: Vec<usize>,
    /// Unmapped and free, below `fresh`.
    bare: Vec<usize>,
    /// Slots from here on were never used.
    fresh: usize,
}

static SLOTS_LOCK: SpinLock<Slots> = SpinLock::new(Slots {
    ready: Vec::new(),
    bare: Vec::new(),
    fresh: 0,
});

/// A mapped stack; freed (cached for the next thread) when dropped, which its own thread must not do.
#[derive(Debug)]
pub struct KernelStack {
    slot: usize,
}

fn bottom(slot: usize) -> usize {
    AREA + slot * SLOT_SIZE + PAGE_SIZE
}

impl KernelStack {
    pub fn new() -> Result<KernelStack, Errno> {
        let slot = {
            let mut slots = SLOTS_LOCK.lock();
            if let Some(slot) = slots.ready.pop() {
                return Ok(KernelStack { slot });
            }
            // Room to give the slot back is made now, when it can still be refused.
            let Slots { ready, bare, .. } = &mut *slots;
            ready.try_reserve(CACHED).map_err(|_| Errno::ENOMEM)?;
            match bare.pop() {
                Some(slot) => slot,
                None if slots.fresh == SLOTS => return Err(Errno::ENOMEM),
                None => {
                    let needed = slots.fresh + 1 - slots.bare.len();
                    slots.bare.try_reserve(needed).map_err(|_| Errno::ENOMEM)?;
                    slots.fresh += 1;
                    slots.fresh - 1
                }
            }
        };
        let start = bottom(slot);
        for address in (start..start + STACK_SIZE).step_by(PAGE_SIZE) {
            if let Err(error) = map(address) {
                unmap(start, address);
                SLOTS_LOCK.lock().bare.push(slot);
                return Err(error);
            }
        }
        let stack = KernelStack { slot };
        // SAFETY: just mapped, and nobody's yet.
        unsafe { stack.state().write_bytes(0, context::state_size()) };
        Ok(stack)
    }

    /// One past its highest byte; 64-byte aligned.
    pub fn top(&self) -> usize {
        bottom(self.slot) + STACK_SIZE - context::state_size()
    }

    /// Where its thread's FP/SIMD state lies when it is not in the registers: zeroes, or what the last thread's was.
    pub fn state(&self) -> *mut u8 {
        self.top() as *mut u8
    }

    /// Its lowest byte; the page below is the guard.
    #[cfg(feature = "ktest")]
    pub fn bottom(&self) -> usize {
        bottom(self.slot)
    }
}

fn map(address: usize) -> Result<(), Errno> {
    let frame = Frame::new().map_err(|_| Errno::ENOMEM)?;
    paging::map_kernel(address, frame.physical(), PageFlags::READ | PageFlags::WRITE).map_err(|_| Errno::ENOMEM)?;
    frame.into_raw();
    Ok(())
}

/// Takes the pages away, and only when every CPU has forgotten them gives their frames back.
fn unmap(start: usize, end: usize) {
    let mut frames: [Option<Frame>; STACK_SIZE / PAGE_SIZE] = [const { None }; STACK_SIZE / PAGE_SIZE];
    for (slot, address) in frames.iter_mut().zip((start..end).step_by(PAGE_SIZE)) {
        // SAFETY: `map` gave the share to this mapping, which is gone.
        *slot = paging::unmap_kernel(address).map(|frame| unsafe { Frame::from_raw(frame) });
    }
    shootdown::forget_kernel(start, end);
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        {
            let mut slots = SLOTS_LOCK.lock();
            if slots.ready.len() < CACHED {
                slots.ready.push(self.slot);
                return;
            }
        }
        unmap(bottom(self.slot), bottom(self.slot) + STACK_SIZE);
        SLOTS_LOCK.lock().bare.push(self.slot);
    }
}

/// Whether an address lies in the guard page below some stack.
#[cfg(feature = "ktest")]
pub fn is_guard(address: usize) -> bool {
    (AREA..AREA + SLOTS * SLOT_SIZE).contains(&address) && (address - AREA) % SLOT_SIZE < PAGE_SIZE
}
