//! TLB shootdown: before a frame is given back, every CPU that may still translate to it forgets.
//!
//! Each CPU has a mailbox with two counters, requests and answers. An initiator changes the page tables, adds one to
//! `requested` of every CPU on which the address space is active, sends an interrupt, and waits until `answered` has caught
//! up. An answer forgets all user translations, so one answer serves every request made before it.
//!
//! A machine whose flushes reach every CPU by themselves ([`arch::FLUSHES_EVERYWHERE`]) needs none of this for translations;
//! membarrier(2) and the end of an address space ask on both.
//!
//! The kernel runs with interrupts masked, so the interrupt reaches user code and idle only. A CPU inside the kernel
//! answers when it spins: on a lock (the relax hook) or for an answer of its own.
//!
//! ```text
//!   CPU A                                    CPU B
//!   holds the lock L                         spins on L: each turn runs answer()
//!   asks B, spins: each turn runs answer()   asks A (it had a request under way), spins: each turn runs answer()
//! ```
//!
//! Neither waits without answering, so no circle of waits closes. What must not happen is a CPU that waits for another one
//! in a loop that does not call `sync::relax`.
//!
//! A space that becomes active while another CPU changes its tables is not forgotten:
//!
//! ```text
//!   initiator                                CPU that activates
//!   change the entry                         add itself to `active`
//!   --- full fence ---                       --- full fence ---
//!   read `active`                            load the table root, walk the tables
//! ```
//!
//! Either the initiator sees the bit and asks, or the other one's walk comes after the change.

use super::{frame, space};
use crate::arch::{self, MAX_CPUS, PAGE_SIZE, paging};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use sync::SpinLock;

#[repr(align(64))]
struct Mailbox {
    requested: AtomicU64,
    answered: AtomicU64,
}

static MAILBOXES: [Mailbox; MAX_CPUS] = [const {
    Mailbox {
        requested: AtomicU64::new(0),
        answered: AtomicU64::new(0),
    }
}; MAX_CPUS];

/// The kernel mappings that are being taken away, as start and end; empty but for the time of a [`forget_kernel`].
static KERNEL_START: AtomicUsize = AtomicUsize::new(0);
static KERNEL_END: AtomicUsize = AtomicUsize::new(0);
static KERNEL_REQUEST: SpinLock<()> = SpinLock::new(());

/// Answers requests meant for this CPU; the relax hook of all locks and the inter-processor interrupt end here.
pub fn answer() {
    let cpu = frame::this_cpu();
    let mailbox = &MAILBOXES[cpu];
    let requested = mailbox.requested.load(Ordering::Acquire);
    if requested == mailbox.answered.load(Ordering::Relaxed) {
        return;
    }
    space::leave_if_dying(cpu);
    paging::flush_user();
    for address in (KERNEL_START.load(Ordering::Relaxed)..KERNEL_END.load(Ordering::Relaxed)).step_by(PAGE_SIZE) {
        paging::flush_kernel(address);
    }
    // A full fence: membarrier(2) counts on it.
    fence(Ordering::SeqCst);
    mailbox.answered.store(requested, Ordering::Release);
}

/// Makes the CPUs in `cpus`, a bit for each, but not this one, answer.
pub(super) fn ask(cpus: u32) {
    fence(Ordering::SeqCst);
    let others = cpus & !(1 << frame::this_cpu());
    if others == 0 {
        return;
    }
    let mut tickets = [0; MAX_CPUS];
    for cpu in bits(others) {
        tickets[cpu] = MAILBOXES[cpu].requested.fetch_add(1, Ordering::SeqCst) + 1;
        arch::irq::send_shootdown(cpu);
    }
    for cpu in bits(others) {
        while MAILBOXES[cpu].answered.load(Ordering::Acquire) < tickets[cpu] {
            sync::relax();
        }
    }
}

/// Makes every other CPU answer.
pub fn ask_everyone() {
    ask(((1u64 << arch::cpu::online()) - 1) as u32);
}

/// Makes every CPU forget kernel mappings that are gone from the tables.
pub(super) fn forget_kernel(start: usize, end: usize) {
    for address in (start..end).step_by(PAGE_SIZE) {
        paging::flush_kernel(address);
    }
    if arch::FLUSHES_EVERYWHERE {
        return;
    }
    let _one_at_a_time = KERNEL_REQUEST.lock();
    KERNEL_START.store(start, Ordering::Relaxed);
    KERNEL_END.store(end, Ordering::Relaxed);
    ask_everyone();
    KERNEL_END.store(0, Ordering::Relaxed);
    KERNEL_START.store(0, Ordering::Relaxed);
}

/// The numbers of the bits that are set.
fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (bit < u32::BITS).then_some(bit as usize)
    })
}
